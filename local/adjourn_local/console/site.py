"""The console as an ASGI application: its routes, and what every request has to pass."""

from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adjourn.errors import AdjournError, DeclarationError, UnknownNameError
from adjourn_local.console.costs import counting
from adjourn_local.console.deployment import Deployment
from adjourn_local.console.formats import AddressError
from adjourn_local.console.pages import (
    audit,
    batches,
    clock,
    datastore,
    dead_letters,
    flows,
    iterations,
    now,
    periodic,
    queues,
    schedules,
    settings,
    start,
)
from adjourn_local.console.rendering import PREFIX, Site, in_thread, site_of
from adjourn_local.errors import UsageError

_PAGES = (
    queues,
    dead_letters,
    batches,
    flows,
    iterations,
    periodic,
    schedules,
    start,
    audit,
    settings,
)
_LAPTOP = (clock, datastore)

# Nothing from elsewhere, nothing inline: what a task wrote into an error text cannot run.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def console(deployment: Deployment) -> Starlette:
    """Return the console of a deployment, to be served at `/console`."""
    shown = _PAGES if deployment.control is None else (*_PAGES, *_LAPTOP)
    if deployment.activity is not None:
        shown = (now, *shown)
    pages = {page.TITLE: f"{PREFIX}{page.PATH}" for page in shown}
    first = next(iter(pages.values()))
    routes: list[BaseRoute] = [
        Route("/", lambda _: RedirectResponse(first)),
        *(route for page in shown for route in page.routes()),
        Mount("/static", StaticFiles(packages=[("adjourn_local.console", "static")])),
    ]
    site = Starlette(
        routes=[Mount(PREFIX, routes=routes)],
        middleware=[Middleware(_Passage)],
        exception_handlers={
            AddressError: _failed(400),
            UsageError: _failed(400),
            UnknownNameError: _failed(404),
            DeclarationError: _failed(409),
            AdjournError: _failed(503),
            HTTPException: _refused,
        },
    )
    site.state.site = Site(deployment, pages)
    return site


def _failed(status: int) -> Any:
    async def handle(request: Request, error: Exception) -> Response:
        return await in_thread(site_of(request).refuse, request, status, f"{error}")

    return handle


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as it is registered
    site = site_of(request)
    return await in_thread(site.refuse, request, error.status_code, f"{error.detail}.")


class _Passage:
    """Counts what a request costs, and adds the headers that protect every page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_encoded(_HEADERS)]}
            await send(message)

        with counting():
            await self._app(scope, receive, guarded)


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]

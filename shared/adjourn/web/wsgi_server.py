"""The functions in a WSGI application, such as one of Flask or Django."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from adjourn.app import App
from adjourn.requests.responses import text
from adjourn.requests.wsgi import Application, Environ, with_closed_body
from adjourn.settings import PREFIX
from adjourn.web.mount import Mount, Place


def wsgi(app: App, others: Application | None = None, *, prefix: str = PREFIX) -> Application:
    """Return a WSGI application that serves the three functions under a prefix.

    Their URLs are the prefix followed by `/deferred`, `/cron` and `/queryiter`. Set
    `ADJOURN_SERVICE_URL` to that of the service with the prefix, such as
    `https://shop.example/_adjourn`.

    Args:
        app: The application whose tasks are served.
        others: Answers all other requests, such as `get_wsgi_application()` of Django; None where a
            framework mounts what is returned at the prefix.
        prefix: Begins the paths that are ours.

    Raises:
        ConfigurationError: The prefix is wrong or, where a deployment is set in the environment, a
            setting is; the message says what to change.
        DeclarationError: A task cannot run in this deployment.
    """
    mount, application = Mount(app, prefix), others or _not_found

    def serve(environ: Environ, start_response: Any) -> Iterable[bytes]:
        place = mount.find(environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", ""))
        if place is None:
            return application(environ, start_response)
        ours = _Ours(mount, place)
        return with_closed_body(ours, environ, start_response)

    return serve


class _Ours:
    """Answers one request that is ours."""

    def __init__(self, mount: Mount, place: Place) -> None:
        self._mount = mount
        self._place = place

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        response = self._mount.respond(self._place, environ)
        start_response(_line(response.status), response.headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]


def _not_found(environ: Environ, start_response: Any) -> Iterable[bytes]:  # noqa: ARG001 - WSGI's
    response = text(404, "not found\n")
    start_response(_line(response.status), response.headers)
    return [response.body]


def _line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"

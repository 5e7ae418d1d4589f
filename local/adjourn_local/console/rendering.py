"""What every page is made with: templates, the token of forms, notices of what was done."""

import hmac
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlencode

from anyio.to_thread import run_sync
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from adjourn_local.console import formats
from adjourn_local.console.costs import Costs, current
from adjourn_local.console.deployment import Deployment

P = ParamSpec("P")
T = TypeVar("T")

PREFIX = "/console"
CSRF = "csrf"
_NOTICES = 100


class Site:
    """Renders the pages of a console.

    Args:
        deployment: What it shows.
        pages: Title and path of each page, for the navigation.

    Attributes:
        instance: Tells this console from one that was here before or will be.
    """

    def __init__(self, deployment: Deployment, pages: Mapping[str, str]) -> None:
        self.deployment = deployment
        self.instance = secrets.token_hex(8)
        self._token = secrets.token_hex(16)
        self._notices: dict[str, str] = {}
        templates = Environment(
            loader=PackageLoader("adjourn_local.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        templates.filters |= {
            "visible": formats.visible,
            "first_line": formats.first_line,
            "time": formats.time,
            "machine_time": formats.machine_time,
            "span": formats.span,
            "number": formats.number,
            "ago": lambda at: formats.ago(at, deployment.adapters.clock.now()),
        }
        templates.globals |= {
            "prefix": PREFIX,
            "pages": pages,
            "settings": deployment.settings,
            "is_writable": deployment.is_writable,
            "csrf": self._token,
            "instance": self.instance,
        }
        self._templates = templates

    def render(
        self, request: Request, template: str, context: Mapping[str, Any], status: int = 200
    ) -> HTMLResponse:
        """Return a page."""
        notice = self._notices.get(request.query_params.get("notice", ""))
        costs: Costs = current()
        page = self._templates.get_template(template).render(
            {"path": request.url.path, "notice": notice, "costs": costs, **context}
        )
        return HTMLResponse(page, status)

    def fragment(self, template: str, context: Mapping[str, Any]) -> str:
        """Return a part of a page."""
        return self._templates.get_template(template).render(context)

    def refuse(self, request: Request, status: int, reason: str) -> HTMLResponse:
        """Return a page that says why something was not done."""
        return self.render(request, "refused.html", {"reason": reason}, status)

    def is_own_form(self, token: str) -> bool:
        """Return whether a form was made by this console since its start."""
        return hmac.compare_digest(token.encode(), self._token.encode())

    def with_notice(self, path: str, text: str) -> str:
        """Return a path that shows a text above its page."""
        key = secrets.token_hex(8)
        self._notices[key] = text
        while len(self._notices) > _NOTICES:
            del self._notices[next(iter(self._notices))]
        return f"{path}{'&' if '?' in path else '?'}{urlencode({'notice': key})}"


def site_of(request: Request) -> Site:
    """Return the site that a request belongs to."""
    site: Site = request.app.state.site
    return site


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run what waits for services in a thread, in the context of the request."""
    return await run_sync(partial(function, *args, **kwargs))

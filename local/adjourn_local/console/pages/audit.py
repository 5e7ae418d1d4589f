"""The page of the audit: what was changed by the console, by whom and when."""

from itertools import islice

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adjourn_local.console.formats import parse_time
from adjourn_local.console.rendering import site_of

TITLE = "Audit"
PATH = "/audit"
_ROWS = 100


def routes() -> list[Route]:
    """Return the routes of the page."""
    return [Route(PATH, _list)]


def _list(request: Request) -> Response:
    site = site_of(request)
    before = parse_time(request.query_params.get("before"))
    entries = list(islice(site.deployment.audit.find(before), _ROWS))
    context = {
        "title": TITLE,
        "entries": entries,
        "next": entries[-1].at.isoformat() if len(entries) == _ROWS else None,
    }
    return site.render(request, "audit.html", context)

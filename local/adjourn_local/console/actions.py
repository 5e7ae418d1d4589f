"""Changes made by the console: each asks first, is checked, and is written down."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from adjourn.errors import AdjournError
from adjourn_local.console.rendering import CSRF, Site, in_thread, site_of

CONFIRMED = "confirmed"
_FORBIDDEN = 403


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A change that somebody is asked to confirm.

    Attributes:
        name: What the audit calls it, such as "replay".
        subject: What it is done to, such as the id of a dead letter.
        question: What is asked, such as "Replay 12 dead letters?".
        effect: What it will do, in a sentence or two.
        run: Does it, and returns what came of it in a sentence.
        back: The path to which the browser goes then.
    """

    name: str
    subject: str
    question: str
    effect: str
    run: Callable[[], str]
    back: str


Make = Callable[[Request, Mapping[str, str]], Action]
"""Makes an action of a request and the fields of its form."""


def perform(make: Make) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that asks about an action, and carries it out once it is confirmed."""

    async def endpoint(request: Request) -> Response:
        fields = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        return await in_thread(_respond, request, make, fields)

    return endpoint


def _respond(request: Request, make: Make, fields: dict[str, str]) -> Response:
    site = site_of(request)
    if not site.deployment.is_writable:
        reason = "This console is read-only; start it with --write."
        return site.refuse(request, _FORBIDDEN, reason)
    if not site.is_own_form(fields.pop(CSRF, "")):
        reason = "The console was restarted since; go back and reload the page."
        return site.refuse(request, _FORBIDDEN, reason)
    is_confirmed = fields.pop(CONFIRMED, "") == "yes"
    action = make(request, fields)
    if not is_confirmed:
        return site.render(request, "confirm.html", {"action": action, "fields": fields})
    return _do(site, action)


def _do(site: Site, action: Action) -> Response:
    audit = site.deployment.audit
    try:
        result = action.run()
    except AdjournError as error:
        audit.record(action.name, action.subject, f"failed: {error}")
        raise
    audit.record(action.name, action.subject, result)
    return RedirectResponse(site.with_notice(action.back, result), status_code=303)

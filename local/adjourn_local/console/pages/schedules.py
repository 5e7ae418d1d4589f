"""The page of schedules that the application has made at run time: when each is due, and pauses."""

from collections.abc import Mapping
from itertools import islice

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adjourn.errors import UnknownNameError
from adjourn.schedules.control import Schedules
from adjourn.schedules.schedule import Schedule
from adjourn_local.clients.call_text import call_text
from adjourn_local.console.actions import Action, perform
from adjourn_local.console.rendering import PREFIX, site_of

TITLE = "Schedules"
PATH = "/schedules"
_HOME = f"{PREFIX}{PATH}"
_ROWS = 50
_CHANGES = {
    "pause": "It is due no more until it is resumed. A run that is queued goes on.",
    "resume": "It is due again. Times that have passed meanwhile are left out; an interval that "
    "has passed is due at once.",
    "delete": "It is gone for good. A run that is queued goes on.",
}


def routes() -> list[Route]:
    """Return the routes of the page."""
    return [
        Route(PATH, _list),
        Route(f"{PATH}/change", perform(_change), methods=["POST"]),
    ]


def _list(request: Request) -> Response:
    prefix, schedules = request.query_params.get("prefix", ""), _schedules(request)
    found = list(islice(schedules.list(prefix), _ROWS + 1)) if schedules else None
    context = {
        "title": TITLE,
        "begins": prefix,
        "schedules": None if found is None else [(each, _call(each)) for each in found[:_ROWS]],
        "more": bool(found and found[_ROWS:]),
    }
    return site_of(request).render(request, "schedules.html", context)


def _schedules(request: Request) -> Schedules | None:
    """Return the schedules, read by counted adapters; None if the application is not known."""
    wiring = site_of(request).deployment.wiring
    return None if wiring is None else Schedules([], lambda: wiring.scheduled_calls)


def _call(schedule: Schedule) -> str:
    return call_text(schedule.task, schedule.args, schedule.kwargs)


def _change(request: Request, fields: Mapping[str, str]) -> Action:
    name, change = fields.get("name", ""), fields.get("change", "")
    schedules = _schedules(request)
    if schedules is None or schedules.get(name) is None:
        raise UnknownNameError(f"There is no schedule {name!r:.100}.")
    if change not in _CHANGES:
        raise UnknownNameError(f"A schedule cannot be told to {change!r}.")

    def run() -> str:
        if change == "delete":
            return f"{name} is {'deleted' if schedules.delete(name) else 'gone already'}."
        done = schedules.pause(name) if change == "pause" else schedules.resume(name)
        return f"{name} is {done.status}."

    return Action(
        name=f"{change} schedule",
        subject=name,
        question=f"{change.capitalize()} {name}?",
        effect=_CHANGES[change],
        run=run,
        back=_HOME,
    )

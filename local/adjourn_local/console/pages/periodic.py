"""The page of periodic functions: when each is due, how the last run went, the Scheduler's jobs."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adjourn.concurrency import in_parallel
from adjourn.cron.forecast import upcoming
from adjourn.cron.jobs import differences
from adjourn.cron.outcomes import past_slots
from adjourn.cron.periodic import Periodic
from adjourn.cron.states import set_paused
from adjourn.cron.tick import PeriodicRunner, PeriodicStatus
from adjourn.errors import UnknownNameError
from adjourn_local.console import calendars
from adjourn_local.console.actions import Action, perform
from adjourn_local.console.rendering import PREFIX, site_of

TITLE = "Periodic"
PATH = "/periodic"
_HOME = f"{PREFIX}{PATH}"
_NEXT = 10
_PAUSES = {
    "pause": "What falls due until it is resumed is left out for good, with a log event. A slot "
    "that is claimed already runs, and it can be run by hand. Others of its cron name go on.",
    "resume": "It runs again from its next due time on. What was left out is not made up for.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A periodic function as the page shows it."""

    name: str
    cron_name: str
    timing: str
    last: dt.datetime | None
    state: str
    is_paused: bool
    next: dt.datetime | None


def routes() -> list[Route]:
    """Return the routes of the page."""
    return [
        Route(PATH, _list),
        Route(f"{PATH}/run", perform(_run), methods=["POST"]),
        Route(f"{PATH}/function", _function),
        Route(f"{PATH}/pause", perform(_pause), methods=["POST"]),
        Route(f"{PATH}/job", perform(_job), methods=["POST"]),
    ]


def _list(request: Request) -> Response:
    site = site_of(request)
    deployment = site.deployment
    context: dict[str, object] = {"title": TITLE, "rows": None, "jobs": [], "differences": []}
    if (wiring := deployment.wiring) is not None:
        now = deployment.adapters.clock.now()
        first = calendars.parse_month(request.query_params.get("month"), now)
        statuses = in_parallel(wiring.cron.status, list(wiring.cron.periodics()))
        jobs = deployment.adapters.jobs.list()
        names = {status.periodic.timing.cron_name for status in statuses}
        context |= {
            "rows": sorted((_row(each, now) for each in statuses), key=lambda row: row.name),
            "calendar": calendars.next_day(statuses, now),
            "month": calendars.month(statuses, first, now),
            "jobs": jobs,
            "differences": [each.text for each in differences(jobs, names, deployment.settings)],
        }
    return site.render(request, "periodic.html", context)


def _function(request: Request) -> Response:
    site = site_of(request)
    cron, periodic = _found(request, request.query_params.get("name", ""))
    status, now = cron.status(periodic), site.deployment.adapters.clock.now()
    context = {
        "title": TITLE,
        "row": _row(status, now),
        "slots": past_slots(cron, status),
        "next": list(islice(upcoming(periodic.timing, status.state, now), _NEXT)),
    }
    return site.render(request, "periodic_function.html", context)


def _row(status: PeriodicStatus, now: dt.datetime) -> Row:
    timing, state = status.periodic.timing, status.state
    return Row(
        name=status.periodic.name,
        cron_name=timing.cron_name,
        timing=timing.text,
        last=state.slot if state and state.task else None,
        state=_state(status),
        is_paused=bool(state and state.is_paused),
        next=next(upcoming(timing, state, now), None),
    )


def _state(status: PeriodicStatus) -> str:
    if status.state is not None and not status.state.is_enqueued:
        return "not enqueued"
    if status.task is None:
        return "ended" if status.state and status.state.task else "never ran"
    return f"attempt {status.task.attempts}" if status.task.attempts else "queued"


def _found(request: Request, name: str) -> tuple[PeriodicRunner, Periodic]:
    wiring = site_of(request).deployment.wiring
    found = [each for each in wiring.cron.periodics() if each.name == name] if wiring else []
    if not found or wiring is None:
        raise UnknownNameError(f"No periodic function is named {name!r}.")
    return wiring.cron, found[0]


def _pause(request: Request, fields: Mapping[str, str]) -> Action:
    name, change = fields.get("name", ""), fields.get("change", "")
    cron, periodic = _found(request, name)
    if change not in _PAUSES:
        raise UnknownNameError(f"A function cannot be told to {change!r}.")

    def run() -> str:
        is_paused = change == "pause"
        set_paused(cron.store, periodic, cron.clock.now(), is_paused=is_paused)
        return f"{name} is {'paused' if is_paused else 'resumed'}."

    return Action(
        name=f"{change} periodic function",
        subject=name,
        question=f"{change.capitalize()} {name}?",
        effect=_PAUSES[change],
        run=run,
        back=_HOME,
    )


def _run(request: Request, fields: Mapping[str, str]) -> Action:
    name = fields.get("name", "")
    cron, periodic = _found(request, name)

    def run() -> str:
        handle = cron.run(periodic)
        return f"{name} is the task {handle.name} now."

    return Action(
        name="run periodic function",
        subject=name,
        question=f"Run {name} now?",
        effect="It runs once, as a task. Its due times stay as they are; where runs do not "
        "overlap, the next one waits for this to end.",
        run=run,
        back=_HOME,
    )


def _job(request: Request, fields: Mapping[str, str]) -> Action:
    jobs = site_of(request).deployment.adapters.jobs
    changes = {
        "pause": (jobs.pause, "It calls no more until it is resumed; what falls due waits."),
        "resume": (jobs.resume, "It calls again; the first call finds what has fallen due."),
        "trigger": (jobs.run, "It calls the cron function now, as if it were time."),
    }
    change, name = fields.get("change", ""), fields.get("name", "")
    if change not in changes:
        raise UnknownNameError(f"A job cannot be told to {change!r}.")
    do, effect = changes[change]

    def run() -> str:
        return f"The job {name} is {do(name).state}."

    return Action(
        name=f"{change} job",
        subject=name,
        question=f"{change.capitalize()} the job {name}?",
        effect=effect,
        run=run,
        back=_HOME,
    )

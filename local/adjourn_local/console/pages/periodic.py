"""The page of periodic functions: when each is due, how the last run went, the Scheduler's jobs."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adjourn.cron.forecast import upcoming
from adjourn.cron.jobs import differences
from adjourn.cron.tick import PeriodicStatus
from adjourn.errors import UnknownNameError
from adjourn_local.console.actions import Action, perform
from adjourn_local.console.rendering import PREFIX, site_of

TITLE = "Periodic"
PATH = "/periodic"
_HOME = f"{PREFIX}{PATH}"
_DAY = dt.timedelta(days=1)
_MOST_A_DAY = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A periodic function as the page shows it."""

    name: str
    cron_name: str
    timing: str
    last: dt.datetime | None
    state: str
    next: dt.datetime | None


def routes() -> list[Route]:
    """Return the routes of the page."""
    return [
        Route(PATH, _list),
        Route(f"{PATH}/run", perform(_run), methods=["POST"]),
        Route(f"{PATH}/job", perform(_job), methods=["POST"]),
    ]


def _list(request: Request) -> Response:
    site = site_of(request)
    deployment = site.deployment
    context: dict[str, object] = {"title": TITLE, "rows": None, "jobs": [], "differences": []}
    if (wiring := deployment.wiring) is not None:
        now = deployment.adapters.clock.now()
        statuses = [wiring.cron.status(each) for each in wiring.cron.periodics()]
        jobs = deployment.adapters.jobs.list()
        names = {status.periodic.timing.cron_name for status in statuses}
        context |= {
            "rows": sorted((_row(each, now) for each in statuses), key=lambda row: row.name),
            "calendar": _calendar(statuses, now),
            "jobs": jobs,
            "differences": [each.text for each in differences(jobs, names, deployment.settings)],
        }
    return site.render(request, "periodic.html", context)


def _calendar(
    statuses: list[PeriodicStatus], now: dt.datetime
) -> list[tuple[dt.datetime, str, bool]]:
    """Return what is due in the next 24 hours: when, what, and whether more follow that day."""
    due = []
    for status in statuses:
        times = upcoming(status.periodic.timing, status.state, now)
        today = [at for at in islice(times, _MOST_A_DAY) if at <= now + _DAY]
        often = len(today) == _MOST_A_DAY
        due += [(at, status.periodic.name, often) for at in (today[:1] if often else today)]
    return sorted(due)


def _row(status: PeriodicStatus, now: dt.datetime) -> Row:
    timing, state = status.periodic.timing, status.state
    return Row(
        name=status.periodic.name,
        cron_name=timing.cron_name,
        timing=timing.text,
        last=state.slot if state and state.task else None,
        state=_state(status),
        next=next(upcoming(timing, state, now), None),
    )


def _state(status: PeriodicStatus) -> str:
    if status.state is not None and not status.state.is_enqueued:
        return "not enqueued"
    if status.task is None:
        return "ended" if status.state and status.state.task else "never ran"
    return f"attempt {status.task.attempts}" if status.task.attempts else "queued"


def _run(request: Request, fields: Mapping[str, str]) -> Action:
    name = fields.get("name", "")
    wiring = site_of(request).deployment.wiring
    found = [each for each in wiring.cron.periodics() if each.name == name] if wiring else []
    if not found or wiring is None:
        raise UnknownNameError(f"No periodic function is named {name!r}.")
    cron = wiring.cron

    def run() -> str:
        handle = cron.run(found[0])
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

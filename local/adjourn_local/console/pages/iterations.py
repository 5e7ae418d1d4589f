"""The page of iterations: how far each run is, what failed, and what can be done about it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adjourn.errors import UnknownNameError
from adjourn.iteration.progress import RunState
from adjourn.iteration.run_handle import RunHandle
from adjourn.iteration.status import Status
from adjourn_local.console.actions import Action, perform
from adjourn_local.console.formats import parse_time
from adjourn_local.console.rendering import PREFIX, site_of

TITLE = "Iterations"
PATH = "/iterations"
_ROWS = 25
_FAILURES = 200
_HOME = f"{PREFIX}{PATH}"


@dataclass(frozen=True, slots=True)
class Control:
    """Something that can be done to a run.

    Attributes:
        label: What the button says.
        possible: The statuses in which it can be done.
        effect: What it does.
        change: Does it; returns whether it was possible.
    """

    label: str
    possible: frozenset[Status]
    effect: str
    change: Callable[[RunHandle], object]


_ENDED = frozenset({Status.FINISHED, Status.STOPPED, Status.CANCELLED})
CONTROLS = {
    "pause": Control(
        "Pause",
        frozenset({Status.STARTING, Status.RUNNING}),
        "Steps under way end within a second, or with the hook that runs. Nothing is lost.",
        RunHandle.pause,
    ),
    "resume": Control(
        "Resume",
        frozenset({Status.PAUSING, Status.PAUSED}),
        "The run goes on where it was.",
        RunHandle.resume,
    ),
    "retry": Control(
        "Retry",
        frozenset({Status.STOPPED}),
        "The run goes on at the entity at which it stopped.",
        RunHandle.retry,
    ),
    "cancel": Control(
        "Cancel",
        frozenset({Status.STARTING, Status.RUNNING, Status.PAUSING, Status.PAUSED, Status.STOPPED}),
        "The run ends for good within a second, or with the hook that runs. What is done stays.",
        RunHandle.cancel,
    ),
    "rerun": Control(
        "Rerun failed",
        _ENDED,
        "A new run is started over exactly the entities that were given up.",
        lambda handle: handle.rerun_failed(),
    ),
}


def routes() -> list[Route]:
    """Return the routes of the page."""
    return [
        Route(PATH, _list),
        Route(f"{PATH}/control", perform(_control), methods=["POST"]),
        Route(f"{PATH}/run/{{id}}", _run),
    ]


def possible(state: RunState) -> list[tuple[str, Control]]:
    """Return what can be done to a run now."""
    return [
        (name, control)
        for name, control in CONTROLS.items()
        if state.status in control.possible and (name != "rerun" or state.errors)
    ]


def _list(request: Request) -> Response:
    site = site_of(request)
    before = parse_time(request.query_params.get("before"))
    states = site.deployment.runs.latest(_ROWS, before)
    context = {
        "title": TITLE,
        "runs": states,
        "next": states[-1].started_at.isoformat() if len(states) == _ROWS else None,
    }
    return site.render(request, "iterations.html", context)


def _run(request: Request) -> Response:
    site = site_of(request)
    runs = site.deployment.runs
    handle = runs.get(request.path_params["id"])
    state = handle.fetch()
    if state is None:
        raise UnknownNameError(f"There is no run {handle.id}.")
    context = {
        "title": TITLE,
        "run": state,
        "failures": list(islice(handle.failures(), _FAILURES)) if state.errors else [],
        "controls": possible(state),
    }
    template = "run_state.html" if "hx-request" in request.headers else "run.html"
    return site.render(request, template, context)


def _control(request: Request, fields: Mapping[str, str]) -> Action:
    handle = site_of(request).deployment.runs.get(fields.get("id", ""))
    name = fields.get("control", "")
    if name not in CONTROLS:
        raise UnknownNameError(f"A run cannot be told to {name!r}.")
    control = CONTROLS[name]

    def run() -> str:
        done = control.change(handle)
        if isinstance(done, RunHandle):
            return f"The run {done.id} is started."
        state = handle.fetch()
        status = state.status if state else "gone"
        return f"The run is {status}." if done else f"Not possible any more: the run is {status}."

    return Action(
        name=f"{name} run",
        subject=handle.id,
        question=f"{control.label}: the run {handle.id}?",
        effect=control.effect,
        run=run,
        back=f"{_HOME}/run/{handle.id}",
    )

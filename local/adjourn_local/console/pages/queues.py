"""The page of queues: what waits in each, and what can be done about it."""

from collections.abc import Mapping
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adjourn.concurrency import in_parallel
from adjourn.errors import AdjournError, UnknownNameError
from adjourn_local.clients.queues import MOST_RUN, Queues
from adjourn_local.console.actions import Action, perform
from adjourn_local.console.rendering import PREFIX, site_of

TITLE = "Queues"
PATH = "/queues"
_HOME = f"{PREFIX}{PATH}"
_ROWS = 50
_QUEUE_EFFECTS = {
    "pause": "Nothing of it is dispatched any more until it is resumed; new tasks are taken.",
    "resume": "Its tasks are dispatched again; Cloud Tasks speeds up slowly.",
    "purge": "All its tasks are deleted for good, without dead letters.",
}
_DUE = {
    "due": "These are tasks whose next attempt may be made by now: it waits because the queue is "
    "paused or at its limits.",
    "all": "These are tasks that are due, and those whose start or next attempt is still ahead.",
}
_TASK_EFFECTS = {
    "run": "It is attempted now, whatever its schedule; the attempt counts like any other.",
    "cancel": "It is deleted for good, without a dead letter. An attempt that runs goes on.",
}


def routes() -> list[Route]:
    """Return the routes of the page."""
    return [
        Route(PATH, _list),
        Route(f"{PATH}/change", perform(_change_queue), methods=["POST"]),
        Route(f"{PATH}/due", perform(_run_due), methods=["POST"]),
        Route(f"{PATH}/task", perform(_change_task), methods=["POST"]),
        Route(f"{PATH}/queue/{{queue}}", _queue),
        Route(f"{PATH}/queue/{{queue}}/{{task}}", _task),
    ]


def _list(request: Request) -> Response:
    site = site_of(request)
    context = {"title": TITLE, "queues": site.deployment.queues.list()}
    return site.render(request, "queues.html", context)


def _queue(request: Request) -> Response:
    site = site_of(request)
    name = request.path_params["queue"]
    page = site.deployment.queues.tasks(
        name, size=_ROWS, after=request.query_params.get("after", "")
    )
    context = {"title": TITLE, "queue": name, "page": page, "most_run": MOST_RUN}
    return site.render(request, "queue.html", context)


def _task(request: Request) -> Response:
    site = site_of(request)
    task = site.deployment.queues.task(request.path_params["queue"], request.path_params["task"])
    return site.render(request, "task.html", {"title": TITLE, "task": task})


def _change_queue(request: Request, fields: Mapping[str, str]) -> Action:
    queues = site_of(request).deployment.queues
    change, queue = fields.get("change", ""), fields.get("queue", "")
    if change not in _QUEUE_EFFECTS:
        raise UnknownNameError(f"A queue cannot be told to {change!r}.")

    def run() -> str:
        getattr(queues, change)(queue)
        return f"{change.capitalize()}: done with {queue}."

    return Action(
        name=f"{change} queue",
        subject=queue,
        question=f"{change.capitalize()} the queue {queue}?",
        effect=_QUEUE_EFFECTS[change],
        run=run,
        back=_HOME,
    )


def _run_due(request: Request, fields: Mapping[str, str]) -> Action:
    deployment = site_of(request).deployment
    queues, queue, which = deployment.queues, fields.get("queue", ""), fields.get("which", "")
    if which not in _DUE:
        raise UnknownNameError(f"Tasks are due or delayed, and not {which!r}.")
    until = deployment.adapters.clock.now() if which == "due" else None
    found = queues.due(queue, until)

    def run() -> str:
        failures = [each for each in in_parallel(partial(_tried, queues, queue), found) if each]
        text = f"{len(found) - len(failures)} are attempted now"
        return f"{text}; {len(failures)} failed: {failures[0]}" if failures else f"{text}."

    return Action(
        name=f"run {which} tasks",
        subject=f"{len(found)} of {queue}",
        question=f"Run {len(found)} tasks of {queue} now?",
        effect=f"{_DUE[which]} Each is attempted at once, though the queue is paused and whatever "
        f"its limits are; the attempt counts like any other. At most {MOST_RUN} at a time, of the "
        "first 10,000 of the queue. One that is being attempted is left alone.",
        run=run,
        back=f"{_HOME}/queue/{queue}",
    )


def _tried(queues: Queues, queue: str, task: str) -> AdjournError | None:
    """Run one task; return why it could not be, which must not keep the others."""
    try:
        queues.run(queue, task)
    except UnknownNameError:
        return None  # it has ended meanwhile
    except AdjournError as error:
        return error
    return None


def _change_task(request: Request, fields: Mapping[str, str]) -> Action:
    queues = site_of(request).deployment.queues
    change, queue, task = (fields.get(name, "") for name in ("change", "queue", "task"))
    if change not in _TASK_EFFECTS:
        raise UnknownNameError(f"A task cannot be told to {change!r}.")

    def run() -> str:
        getattr(queues, change)(queue, task)
        return f"{change.capitalize()}: done with {task}."

    return Action(
        name=f"{change} task",
        subject=f"{queue} {task}",
        question=f"{change.capitalize()} the task {task}?",
        effect=_TASK_EFFECTS[change],
        run=run,
        back=f"{_HOME}/queue/{queue}",
    )

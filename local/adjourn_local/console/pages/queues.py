"""The page of queues: what waits in each, and what can be done about it."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adjourn.errors import UnknownNameError
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
_TASK_EFFECTS = {
    "run": "It is attempted now, whatever its schedule; the attempt counts like any other.",
    "cancel": "It is deleted for good, without a dead letter. An attempt that runs goes on.",
}


def routes() -> list[Route]:
    """Return the routes of the page."""
    return [
        Route(PATH, _list),
        Route(f"{PATH}/change", perform(_change_queue), methods=["POST"]),
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
    return site.render(request, "queue.html", {"title": TITLE, "queue": name, "page": page})


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

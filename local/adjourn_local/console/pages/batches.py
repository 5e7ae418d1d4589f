"""The page of batches: how far each is, which children failed, and what can be done about it."""

from collections.abc import Mapping
from itertools import islice

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adjourn.batches.control import Batches, BatchHandle
from adjourn.errors import UnknownNameError
from adjourn_local.console.actions import Action, perform
from adjourn_local.console.rendering import PREFIX, site_of

TITLE = "Batches"
PATH = "/batches"
_HOME = f"{PREFIX}{PATH}"
_ROWS = 25
_CHILDREN = 200
_CHANGES = {
    "cancel": "None of its children begins any more, or is retried. Calls that run are not "
    "stopped; runs and nested batches are cancelled. When all have ended, on_done is called.",
    "retry": "Failed calls are replayed from their dead letters; stopped runs and nested batches "
    "go on. At the end, on_done is called once more.",
}


def routes() -> list[Route]:
    """Return the routes of the page."""
    return [
        Route(PATH, _list),
        Route(f"{PATH}/batch/{{id}}", _batch),
        Route(f"{PATH}/change", perform(_change), methods=["POST"]),
    ]


def _list(request: Request) -> Response:
    context = {"title": TITLE, "batches": list(islice(_batches(request).find(), _ROWS))}
    return site_of(request).render(request, "batches.html", context)


def _batch(request: Request) -> Response:
    handle = _batches(request).get(request.path_params["id"])
    failed = list(islice(handle.children("failed"), _CHILDREN + 1))
    context = {
        "title": TITLE,
        "batch": handle.fetch(),
        "failed": failed[:_CHILDREN],
        "more": len(failed) > _CHILDREN,
    }
    return site_of(request).render(request, "batch.html", context)


def _batches(request: Request) -> Batches:
    return Batches(adapters=site_of(request).deployment.adapters)


def _change(request: Request, fields: Mapping[str, str]) -> Action:
    change, handle = fields.get("change", ""), _batches(request).get(fields.get("id", ""))
    if change not in _CHANGES:
        raise UnknownNameError(f"A batch cannot be told to {change!r}.")
    name = handle.fetch()["name"] or handle.id

    return Action(
        name=f"{change} batch",
        subject=name,
        question=f"{change.capitalize()} the batch {name}?",
        effect=_CHANGES[change],
        run=lambda: _changed(handle, change, name),
        back=f"{_HOME}/batch/{handle.id}",
    )


def _changed(handle: BatchHandle, change: str, name: str) -> str:
    if change == "retry":
        return f"{handle.retry():,} failed children of {name} run again."
    return f"{name} is cancelled." if handle.cancel() else f"{name} has ended already."

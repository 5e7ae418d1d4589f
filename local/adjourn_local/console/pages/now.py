"""The first page of a laptop stack: what is attempted, as it happens, and all about one task."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from adjourn.errors import UnknownNameError
from adjourn_local.clients.call_text import call_lines
from adjourn_local.console import edited_calls
from adjourn_local.console.actions import Action, perform
from adjourn_local.console.activity import Activity, SeenAttempt
from adjourn_local.console.rendering import PREFIX, Site, in_thread, site_of

TITLE = "Now"
PATH = "/now"
_ROWS = 100
_LOOK_EVERY = 0.3  # seconds


def routes() -> list[Route]:
    """Return the routes of the page."""
    return [
        Route(PATH, _list),
        Route(f"{PATH}/events", _events),
        Route(f"{PATH}/again", perform(_again), methods=["POST"]),
        Route(f"{PATH}/task/{{queue}}/{{task}}", _task),
    ]


def _list(request: Request) -> Response:
    site = site_of(request)
    found = _activity(site).latest(_ROWS, **_filters(request))
    context = {
        "title": TITLE,
        "attempts": found,
        "calls": _calls(found),
        "filters": _filters(request),
        "events": f"{PREFIX}{PATH}/events?{request.url.query}",
        "last": found[0].number if found else 0,
        "troubles": site.deployment.troubles(),
    }
    return site.render(request, "now.html", context)


async def _events(request: Request) -> Response:
    """Stream the rows of attempts as they end; an event's id is the number of the last one."""
    asked = request.headers.get("last-event-id") or request.query_params.get("after", "0")
    instance, _, number = asked.rpartition("-")
    # A stack that has started again counts its attempts from 1.
    is_ours = instance in {"", site_of(request).instance}
    after = int(number) if is_ours and number.isdecimal() and len(number) < 16 else 0  # noqa: PLR2004
    stopping: asyncio.Event = request.scope["state"]["stopping"]
    return StreamingResponse(
        _stream(request, after, stopping),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store"},
    )


async def _stream(request: Request, after: int, stopping: asyncio.Event) -> AsyncIterator[str]:
    site, filters = site_of(request), _filters(request)
    yield ": hello\n\n"
    yield f"event: instance\ndata: {site.instance}\n\n"
    told: Sequence[str] | None = None
    while not stopping.is_set():
        if (troubles := site.deployment.troubles()) != told:
            told = troubles
            yield await _event(site, "troubles.html", {"troubles": troubles}, "event: troubles\n")
        found = _activity(site).latest(_ROWS, after=after, **filters)
        if found:
            after = found[0].number
            context = {"attempts": found, "calls": _calls(found)}
            head = f"id: {site.instance}-{after}\n"
            yield await _event(site, "attempts.html", context, head)
        try:
            async with asyncio.timeout(_LOOK_EVERY):
                await stopping.wait()
        except TimeoutError:
            continue


async def _event(site: Site, template: str, context: Mapping[str, Any], head: str) -> str:
    """Return an event of a stream: a part of a page."""
    text = await in_thread(site.fragment, template, context)
    return head + "".join(f"data: {line}\n" for line in text.splitlines() or [""]) + "\n"


def _task(request: Request) -> Response:
    site = site_of(request)
    activity = _activity(site)
    queue, task_id = request.path_params["queue"], request.path_params["task"]
    attempts = activity.of_task(queue, task_id)
    if not attempts:
        raise UnknownNameError(f"No attempt at {task_id} of {queue} was seen of late.")
    call = _call(attempts[0])
    context = {
        "title": TITLE,
        "queue": queue,
        "task_id": task_id,
        "task": attempts[0].task,
        "call": call,
        "attempts": [(each, activity.lines(each)) for each in attempts],
        "test": _test(attempts[0].task, call),
        "editing": edited_calls.of_body(site.deployment, attempts[0].attempt.body or b""),
    }
    return site.render(request, "attempted.html", context)


def _again(request: Request, fields: Mapping[str, str]) -> Action:
    deployment = site_of(request).deployment
    call = edited_calls.checked(deployment, fields.get("task", ""), fields.get("arguments", ""))
    return Action(
        name="call task again",
        subject=call.text,
        question=f"Call {call.task.name} again?",
        effect=f"It is a call of its own, {call.text}, with the options of the task. What was "
        "called before stays as it is.",
        run=lambda: f"It is the task {edited_calls.enqueue(deployment, call)} now.",
        back=f"{PREFIX}{PATH}",
    )


def _filters(request: Request) -> dict[str, Any]:
    asked = request.query_params
    names = ("queue", "task")
    return {**{name: asked.get(name, "") for name in names}, "failed": asked.get("failed") == "1"}


def _activity(site: Site) -> Activity:
    activity = site.deployment.activity
    if activity is None:
        raise UnknownNameError("The attempts of a project are in Cloud Logging.")
    return activity


def _calls(found: Sequence[SeenAttempt]) -> Mapping[int, str]:
    return {each.number: next(iter(_call(each)), "") or each.task for each in found}


def _call(seen: SeenAttempt) -> Sequence[str]:
    body = seen.attempt.body
    return call_lines(body) if body else ()


def _test(task: str, call: Sequence[str]) -> str:
    """Return a test that runs the call, for one that can be written in Python."""
    module, _, name = task.rpartition(".")
    if not (call and module and call[0].startswith(f"{task}(")):
        return ""
    arguments = call[0].removeprefix(f"{task}(")
    return (
        f"from {module} import {name}\n\n\n"
        f"def test_{name.lower()}(adjourn_app):\n    {name}.call_local({arguments}\n"
    )

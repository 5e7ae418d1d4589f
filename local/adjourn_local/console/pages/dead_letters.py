"""The page of dead letters: what was given up, grouped by task, to be replayed or discarded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adjourn.errors import AdjournError, DecodeError, UnknownNameError
from adjourn.execution.dead_letters import KIND
from adjourn.execution.replay import StoredDeadLetters
from adjourn_local.clients.call_text import call_lines
from adjourn_local.console.actions import Action, perform
from adjourn_local.console.rendering import PREFIX, site_of

TITLE = "Dead letters"
PATH = "/dead-letters"
_ROWS = 50
_AT_ONCE = 500
_HOME = f"{PREFIX}{PATH}"


@dataclass(frozen=True, slots=True)
class Group:
    """The dead letters of one task.

    Attributes:
        task: Its registered name; empty for bodies that could not be read.
        count: How many there are.
    """

    task: str
    count: int


def routes() -> list[Route]:
    """Return the routes of the page."""
    return [
        Route(PATH, _list),
        Route(f"{PATH}/replay", perform(_replay), methods=["POST"]),
        Route(f"{PATH}/discard", perform(_discard), methods=["POST"]),
        Route(f"{PATH}/letter/{{id}}", _letter),
    ]


def _list(request: Request) -> Response:
    site = site_of(request)
    records = site.deployment.records
    task, after = request.query_params.get("task"), request.query_params.get("after")
    groups = [Group(each, records.count(KIND, {"task": each})) for each in _tasks(request)]
    page = records.page(
        KIND,
        size=_ROWS,
        latest="buried_at" if task is None else None,
        equal=None if task is None else {"task": task},
        after=after,
    )
    context = {
        "title": TITLE,
        "groups": sorted(groups, key=lambda group: -group.count),
        "task": task,
        "letters": [{"id": name, **record} for name, record in page.rows],
        "next": page.next,
        "at_once": _AT_ONCE,
    }
    return site.render(request, "dead_letters.html", context)


def _tasks(request: Request) -> Sequence[str]:
    return site_of(request).deployment.records.values(KIND, "task")


def _letter(request: Request) -> Response:
    site = site_of(request)
    letters = site.deployment.dead_letters
    letter = letters.get(request.path_params["id"])
    call = call_lines(letter.body, letters.sealer, letter.queue, letter.name)
    context = {"title": TITLE, "letter": letter, "call": call}
    return site.render(request, "dead_letter.html", context)


def _replay(request: Request, fields: Mapping[str, str]) -> Action:
    return _action(
        request,
        fields,
        name="replay",
        effect="The call is enqueued again with its arguments, and its attempts count from 1. "
        "Then the letter is removed. What fails again leaves a new one.",
        change=StoredDeadLetters.replay,
        done="enqueued again",
    )


def _discard(request: Request, fields: Mapping[str, str]) -> Action:
    return _action(
        request,
        fields,
        name="discard",
        effect="The letter is deleted for good, and with it the only record of the call.",
        change=StoredDeadLetters.discard,
        done="discarded",
    )


def _action(
    request: Request,
    fields: Mapping[str, str],
    *,
    name: str,
    effect: str,
    change: Callable[[StoredDeadLetters, str], Any],
    done: str,
) -> Action:
    """Return the action for one letter, or for those of a task."""
    deployment = site_of(request).deployment
    letters = deployment.dead_letters
    if "id" in fields:
        letter = letters.get(fields["id"])
        ids, subject = [letter.task_id], f"{letter.task} {letter.task_id}"
        question = f"{name.capitalize()} the call of {letter.task or 'an unreadable body'}?"
    else:
        task = fields.get("task", "")
        page = deployment.records.page(KIND, size=_AT_ONCE, equal={"task": task})
        ids, subject = [found for found, _ in page.rows], f"{len(page.rows)} of {task}"
        question = f"{name.capitalize()} {len(ids)} dead letters of {task}?"

    def run() -> str:
        failures = [error for each in ids if (error := _tried(change, letters, each))]
        text = f"{len(ids) - len(failures)} {done}"
        return f"{text}; {len(failures)} failed: {failures[0]}" if failures else f"{text}."

    return Action(
        name=f"{name} dead letters",
        subject=subject,
        question=question,
        effect=effect,
        run=run,
        back=_HOME,
    )


def _tried(
    change: Callable[[StoredDeadLetters, str], Any], letters: StoredDeadLetters, task_id: str
) -> AdjournError | None:
    """Change one letter; return why it could not be, which must not keep the others."""
    try:
        change(letters, task_id)
    except UnknownNameError:
        return None  # somebody else has done it
    except (DecodeError, AdjournError) as error:
        return error
    return None

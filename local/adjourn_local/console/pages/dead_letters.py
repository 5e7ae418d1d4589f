"""The page of dead letters: what was given up, in groups, to be replayed, edited or discarded."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adjourn.errors import AdjournError, DecodeError, UnknownNameError
from adjourn.execution.dead_letters import KIND
from adjourn.execution.replay import StoredDeadLetters
from adjourn.execution.stored_letters import letter_of
from adjourn_local.clients.call_text import call_lines
from adjourn_local.console import edited_calls, letter_groups
from adjourn_local.console.actions import Action, perform
from adjourn_local.console.letter_groups import GroupPage
from adjourn_local.console.records import Page, Records
from adjourn_local.console.rendering import PREFIX, site_of
from adjourn_local.errors import UsageError

TITLE = "Dead letters"
PATH = "/dead-letters"
_ROWS = 50
_AT_ONCE = 500
_HOME = f"{PREFIX}{PATH}"


@dataclass(frozen=True, slots=True)
class TaskLetters:
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
        Route(f"{PATH}/edit", perform(_edit), methods=["POST"]),
        Route(f"{PATH}/letter/{{id}}", _letter),
    ]


def _list(request: Request) -> Response:
    site, asked = site_of(request), request.query_params
    task, group = asked.get("task"), asked.get("group")
    page = _page(request, task, group)
    chosen = {"group": group} if group else {} if task is None else {"task": task}
    is_overview = not chosen and "after" not in asked
    context = {
        "title": TITLE,
        "overview": _overview(request) if is_overview else None,
        "task": task,
        "group": group,
        "chosen": chosen,
        "letters": [{**record, "id": name} for name, record in page.rows],
        "next": page.next,
        "at_once": _AT_ONCE,
    }
    return site.render(request, "dead_letters.html", context)


def _overview(request: Request) -> Mapping[str, object]:
    """Return the numbers by task and by group, which lists of letters do without."""
    records = site_of(request).deployment.records
    found = letter_groups.find(records, request.query_params.get("groups_after", ""))
    return {
        "tasks": sorted(_tasks(records, found), key=lambda each: -each.count),
        "groups": found.groups,
        "next": found.next,
    }


def _tasks(records: Records, found: GroupPage) -> Sequence[TaskLetters]:
    """Return the tasks with their numbers; those of the groups where all letters are in them."""
    sums: Counter[str] = Counter()
    for group in found.groups:
        sums[group.last.task] += group.count
    if sums.total() != records.count(KIND):
        names = records.values(KIND, "task")
        counts = records.together(lambda name: records.count(KIND, {"task": name}), names)
        sums = Counter(dict(zip(names, counts, strict=True)))
    return [TaskLetters(*each) for each in sums.items()]


def _page(request: Request, task: str | None, group: str | None) -> Page:
    records, after = site_of(request).deployment.records, request.query_params.get("after")
    if group:
        return letter_groups.letters(records, group, size=_ROWS, after=after)
    return records.page(
        KIND,
        size=_ROWS,
        latest="buried_at" if task is None else None,
        equal=None if task is None else {"task": task},
        after=after,
    )


def _letter(request: Request) -> Response:
    site = site_of(request)
    letters = site.deployment.dead_letters
    letter = letters.get(request.path_params["id"])
    call = call_lines(letter.body, letters.sealer, letter.queue, letter.name)
    editing = edited_calls.of_letter(site.deployment, letter)
    context = {"title": TITLE, "letter": letter, "call": call, "editing": editing}
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
    """Return the action for one letter, for those of a group or for those of a task."""
    deployment = site_of(request).deployment
    letters = deployment.dead_letters
    if "id" in fields:
        letter = letters.get(fields["id"])
        ids, subject = [letter.task_id], f"{letter.task} {letter.task_id}"
        question = f"{name.capitalize()} the call of {letter.task or 'an unreadable body'}?"
    elif "group" in fields:
        page = letter_groups.letters(deployment.records, fields["group"], size=_AT_ONCE)
        ids = [found for found, _ in page.rows]
        of = letter_of(*page.rows[0]) if ids else None
        subject = f"{len(ids)} of {of.task}: {of.error}" if of else "none"
        error = of.error.partition("\n")[0] if of else "a group that is gone"
        question = f"{name.capitalize()} {len(ids)} dead letters like {error}?"
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


def _edit(request: Request, fields: Mapping[str, str]) -> Action:
    deployment, text = site_of(request).deployment, fields.get("arguments", "")
    letter = deployment.dead_letters.get(fields.get("id", ""))
    call = edited_calls.checked(deployment, letter.task, text)
    before = edited_calls.of_letter(deployment, letter)
    if before.reason:
        raise UsageError(before.reason)
    return Action(
        name="edit and replay dead letter",
        subject=f"{letter.task_id}: {call.text}, before ({before.text})",
        question=f"Replay the call of {letter.task} with other arguments?",
        effect=f"The letter's call becomes {call.text}, with an id of its own. Then it is "
        "enqueued, its attempts count from 1, and the letter is removed.",
        run=lambda: f"It is the task {edited_calls.replay(deployment, letter, call)} now.",
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

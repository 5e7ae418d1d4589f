"""Look for tasks in queues, page by page, however many wait."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from adjourn.concurrency import in_parallel
from adjourn.errors import UnknownNameError
from adjourn_local.clients.queued_task import QueuedTask, called, last_status
from adjourn_local.clients.queues import Queues, TaskPage
from adjourn_local.errors import UsageError

LONGEST_PAGE = 1000  # of ListTasks


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks are looked for.

    Attributes:
        task: Only calls of this task, by its registered name; "" for all.
        failed: Only those of which an attempt has failed.
    """

    task: str = ""
    failed: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether it lets all tasks through."""
        return not self.task and not self.failed

    def lets_through(self, message: Any) -> bool:
        """Return whether a task is looked for, by its raw message without a body."""
        if self.task and called(message) != self.task.replace("/", "."):
            return False
        return not self.failed or bool(last_status(message))


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Where a search goes on: in a page of a queue, after a task.

    Tasks end meanwhile. If the task is not in its page any more, the page is read from its
    beginning, so that none is left out.
    """

    queue: str
    token: str = ""
    after: str = ""

    def __str__(self) -> str:
        content = json.dumps([self.queue, self.token, self.after])
        return base64.urlsafe_b64encode(content.encode()).decode()


def search(
    queues: Queues, names: Sequence[str], wanted: TaskFilter, *, limit: int, cursor: str = ""
) -> TaskPage:
    """Return tasks of some queues, one queue after the other.

    Args:
        queues: The queues of a region.
        names: Short names of those that are searched.
        wanted: Which tasks are looked for.
        limit: The largest number to return.
        cursor: The `next` of the page before; "" for the first.

    Raises:
        UsageError: The cursor is none of a search in these queues.
        UnknownNameError: There is no such queue.
        EnqueueError: Cloud Tasks could not be reached or refused.
    """
    # Bodies are asked for with the page, or for those alone that a filter lets through.
    with_bodies = wanted.is_empty
    size = min(limit, LONGEST_PAGE) if with_bodies else LONGEST_PAGE
    where = _parse(cursor, names) if cursor else _first(names)
    found: list[QueuedTask] = []
    while where and len(found) < limit:
        page, is_whole = queues.page(
            where.queue, size=size, after=where.token, with_bodies=with_bodies
        )
        messages = _behind(page.tasks, where.after)
        chosen = (number for number, each in enumerate(messages) if wanted.lets_through(each))
        taken = list(islice(chosen, limit - len(found)))
        found += [queues.described(messages[number], is_whole=is_whole) for number in taken]
        if len(found) == limit and taken[-1] + 1 < len(messages):
            where = replace(where, after=found[-1].id)
        else:
            where = _following(names, where.queue, page.next_page_token)
    tasks = found if with_bodies else _with_calls(queues, found)
    return TaskPage(tasks=tasks, next=str(where or ""))


def matching(queues: Queues, names: Sequence[str], wanted: TaskFilter) -> Sequence[tuple[str, str]]:
    """Return queue and id of all tasks that a filter lets through. Errors are those of `search`."""
    found = []
    where = _first(names)
    while where:
        page, _ = queues.page(where.queue, size=LONGEST_PAGE, after=where.token)
        chosen = (each.name for each in page.tasks if wanted.lets_through(each))
        found += [(where.queue, name.rpartition("/")[2]) for name in chosen]
        where = _following(names, where.queue, page.next_page_token)
    return found


def _with_calls(queues: Queues, tasks: Sequence[QueuedTask]) -> Sequence[QueuedTask]:
    """Return the tasks with their calls, without those that have ended meanwhile."""

    def whole(task: QueuedTask) -> QueuedTask | None:
        try:
            return queues.task(task.queue, task.id)
        except UnknownNameError:
            return None

    return [task for task in in_parallel(whole, tasks) if task is not None]


def _first(names: Sequence[str]) -> _Cursor | None:
    return _Cursor(names[0]) if names else None


def _following(names: Sequence[str], queue: str, token: str) -> _Cursor | None:
    """Return the beginning of the next page, or of the next queue; None after the last."""
    return _Cursor(queue, token) if token else _first(names[names.index(queue) + 1 :])


def _behind(messages: Sequence[Any], task_id: str) -> Sequence[Any]:
    """Return the messages behind that of a task; all if it is not there."""
    ids = [message.name.rpartition("/")[2] for message in messages] if task_id else []
    return messages[ids.index(task_id) + 1 :] if task_id in ids else messages


def _parse(text: str, names: Sequence[str]) -> _Cursor:
    try:
        queue, token, after = json.loads(base64.urlsafe_b64decode(text))
    except (ValueError, TypeError):
        queue = token = after = None
    if not all(isinstance(each, str) for each in (queue, token, after)) or queue not in names:
        raise UsageError(f"{text!r} is no cursor of a list of tasks in these queues.")
    return _Cursor(queue, token, after)

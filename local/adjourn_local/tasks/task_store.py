"""Store queues and tasks in SQLite: new tasks are written at once, other changes shortly after.

Changes by attempts are buffered, and written with the next new task or after a short delay. A
process that dies in between loses no task; it delivers one a second time. No transaction is open
during an `await`: the other servers of the stack share the file and the event loop, so an open
transaction would block them for ever.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.cloud.tasks_v2.types import queue as queue_types
from google.iam.v1 import policy_pb2  # type: ignore[import-untyped]
from google.longrunning import operations_pb2  # type: ignore[import-untyped]

from adjourn_local.database import connect, log_trouble
from adjourn_local.errors import StorageError
from adjourn_local.http.moved_urls import move
from adjourn_local.tasks.schema import END, INSERT, REPAIR, SCHEMA, UPDATE
from adjourn_local.tasks.task_names import short
from adjourn_local.tasks.task_record import COLUMNS, TaskRecord, from_row
from adjourn_local.tasks.task_schedule import ScheduleEntry

_Queue: Any = queue_types.Queue.pb()

_READ = f"SELECT {COLUMNS} FROM tasks_tasks"  # noqa: S608 - a constant of this package
_NEAR = (
    f"{_READ} NOT INDEXED WHERE id > ? AND id <= ? AND queue = ? AND gone IS NULL"
    " ORDER BY id LIMIT ?"
)
_FAR = (
    "SELECT id FROM tasks_tasks INDEXED BY tasks_by_due"
    " WHERE queue = ? AND gone IS NULL AND id > ? ORDER BY id LIMIT ?"
)
_PORTION = 20_000
_SOON = 0.02
_AGAIN = 1.0

_log = logging.getLogger(__name__)

_Write = tuple[str, tuple[Any, ...]]


class TaskStore:
    """The tables of queues, tasks, names of finished tasks, IAM policies and batch operations."""

    def __init__(self, path: Path) -> None:
        self._db = connect(path)
        self._db.executescript(SCHEMA)
        self._writes: list[_Write] = []
        self._dirty: set[int] = set()
        self._db.execute(REPAIR)
        self.last_id: int = self._one("SELECT coalesce(max(id), 0) FROM tasks_tasks")

    def add(
        self, queue: str, tasks: Sequence[Any], created: int, *, operation: Any | None = None
    ) -> list[TaskRecord]:
        """TaskStore new tasks, together with the operation of their batch, if any.

        Raises:
            StorageError: Nothing was stored.
        """
        records = [
            TaskRecord(
                id=self.last_id + n,
                queue=queue,
                task_id=short(task.name),
                created=created,
                task=task,
            )
            for n, task in enumerate(tasks, start=1)
        ]
        writes: list[_Write] = [
            (INSERT, (r.id, queue, r.task_id, r.due, created, r.task.SerializeToString()))
            for r in records
        ]
        if operation is not None:
            writes.append(_operation_write(operation, created))
        self.flush(writes)
        self.last_id += len(records)
        return records

    def update(self, record: TaskRecord) -> None:
        """Store what an attempt has changed in a task."""
        self._write(_updated(record), record.id)

    def end(self, record: TaskRecord, now: int) -> None:
        """Store that a task is done, deleted or given up; its name stays taken for a while."""
        if not record.gone:
            record.gone = True
            self._write((END, (now, record.id)), record.id)

    def is_taken(self, queue: str, task_id: str, since: int) -> bool:
        """Return whether a task of this name exists or has existed after `since`."""
        query = (
            "SELECT count(*) FROM tasks_tasks"
            " WHERE task_id = ? AND queue = ? AND coalesce(gone, ?) >= ?"
        )
        return bool(self._one(query, (task_id, queue, since, since)))

    def load(self, id_: int) -> TaskRecord | None:
        """Return a live task by its number, or None."""
        if id_ in self._dirty:
            self.flush()
        row = self._db.execute(f"{_READ} WHERE id = ? AND gone IS NULL", (id_,)).fetchone()
        return None if row is None else from_row(row)

    def find(self, queue: str, task_id: str) -> TaskRecord | None:
        """Return a live task by its name, or None."""
        self.flush()
        query = f"{_READ} WHERE task_id = ? AND queue = ? AND gone IS NULL"
        row = self._db.execute(query, (task_id, queue)).fetchone()
        return None if row is None else from_row(row)

    def tasks(self, queue: str, after: int, limit: int) -> Iterator[TaskRecord]:
        """Yield a queue's live tasks in the order of creation, beginning after number `after`."""
        self.flush()
        # Most often the next ones are near, and need not be looked for among all of the queue.
        near = after + _PORTION
        for row in self._db.execute(_NEAR, (after, near, queue, limit)):
            limit -= 1
            yield from_row(row)
        for (id_,) in self._db.execute(_FAR, (queue, near, limit)).fetchall():
            if (record := self.load(id_)) is not None:
                yield record

    def waiting(self, queue: str, after: ScheduleEntry, limit: int) -> list[ScheduleEntry]:
        """Return a queue's next entries by schedule time, beginning after `after`."""
        self.flush()
        return self._db.execute(
            "SELECT due, id FROM tasks_tasks WHERE queue = ? AND gone IS NULL"
            " AND (due, id) > (?, ?) ORDER BY due, id LIMIT ?",
            (queue, *after, limit),
        ).fetchall()

    def count(self, queue: str) -> tuple[int, int | None]:
        """Return how many live tasks a queue has, and the earliest schedule time of them."""
        self.flush()
        query = "SELECT count(*), min(due) FROM tasks_tasks WHERE queue = ? AND gone IS NULL"
        found: tuple[int, int | None] = self._db.execute(query, (queue,)).fetchone()
        return found

    def live(self) -> int:
        """Return the number of live tasks."""
        ending = sum(statement is END for statement, _ in self._writes)
        return self._one("SELECT count(*) FROM tasks_tasks WHERE gone IS NULL") - ending

    async def empty(self, queue: str, up_to: int, now: int) -> None:
        """End a queue's tasks up to a number, in portions so that the event loop is not blocked."""
        self.flush()
        first = self._one("SELECT coalesce(min(id), 0) FROM tasks_tasks")
        for start in range(first, up_to + 1, _PORTION):
            self._db.execute(
                "UPDATE tasks_tasks NOT INDEXED SET gone = ?, task = x''"
                " WHERE id BETWEEN ? AND ? AND queue = ? AND gone IS NULL",
                (now, start, min(start + _PORTION - 1, up_to), queue),
            )
            await asyncio.sleep(0)

    def move(self, bases: Mapping[str, str]) -> None:
        """Change the URLs of all tasks from former base URLs to new ones."""
        ids = self._db.execute("SELECT id FROM tasks_tasks WHERE gone IS NULL").fetchall()
        for start in range(0, len(ids), _PORTION):
            for (id_,) in ids[start : start + _PORTION]:
                record = self.load(id_)
                if record and move(record.task.http_request, "url", bases):
                    self._writes.append(_updated(record))
            self.flush()

    def queues(self) -> dict[str, Any]:
        """Return the messages of all queues by name."""
        rows = self._db.execute("SELECT name, queue FROM tasks_queues WHERE deleted IS NULL")
        return {name: _Queue.FromString(data) for name, data in rows}

    def put_queue(self, queue: Any) -> None:
        """Store a queue, new or changed."""
        self._db.execute(
            "INSERT OR REPLACE INTO tasks_queues (name, queue) VALUES (?, ?)",
            (queue.name, queue.SerializeToString()),
        )

    def delete_queue(self, name: str, now: int) -> None:
        """Delete a queue and its policy; its name stays taken for a while."""
        self.flush(
            [
                ("UPDATE tasks_queues SET deleted = ? WHERE name = ?", (now, name)),
                ("DELETE FROM tasks_policies WHERE queue = ?", (name,)),
            ]
        )

    def policy(self, queue: str) -> Any | None:
        """Return a queue's IAM policy, or None if it has none."""
        query = "SELECT policy FROM tasks_policies WHERE queue = ?"
        row = self._db.execute(query, (queue,)).fetchone()
        return None if row is None else policy_pb2.Policy.FromString(row[0])

    def put_policy(self, queue: str, policy: Any) -> None:
        """Store a queue's IAM policy."""
        values = (queue, policy.SerializeToString())
        self._db.execute("INSERT OR REPLACE INTO tasks_policies VALUES (?, ?)", values)

    def is_queue_name_taken(self, name: str, since: int) -> bool:
        """Return whether a queue of this name was deleted after `since`."""
        query = "SELECT count(*) FROM tasks_queues WHERE name = ? AND deleted >= ?"
        return bool(self._one(query, (name, since)))

    def put_operation(self, operation: Any, now: int) -> None:
        """Store the operation of a batch, together with the buffered changes of the batch."""
        self.flush([_operation_write(operation, now)])

    def operation(self, name: str) -> Any | None:
        """Return the operation of this name, or None."""
        query = "SELECT operation FROM tasks_operations WHERE name = ?"
        row = self._db.execute(query, (name,)).fetchone()
        return None if row is None else operations_pb2.Operation.FromString(row[0])

    async def sweep(self, *, gone_before: int, created_before: int) -> list[TaskRecord]:
        """Delete expired names, in portions, and return the tasks older than the retention time."""
        self.flush()
        self._db.execute("DELETE FROM tasks_operations WHERE created < ?", (gone_before,))
        while self._forget(gone_before):  # noqa: ASYNC110 - the rest is work
            await asyncio.sleep(0)
        old = f"{_READ} INDEXED BY tasks_by_due WHERE gone IS NULL AND created < ?"
        return [from_row(row) for row in self._db.execute(old, (created_before,))]

    def flush(self, new: Sequence[_Write] = ()) -> None:
        """Write the buffered changes and `new` in one transaction.

        Raises:
            StorageError: Nothing was written; the buffered changes are kept for the next flush.
        """
        writes = (*self._writes, *new)
        if not writes:
            return
        if len(writes) == 1:
            # A single statement is a transaction already; new tasks mostly come one by one.
            self._db.execute(*writes[0])
        else:
            with self._db.transaction():
                for statement, values in writes:
                    self._db.execute(statement, values)
        self._writes.clear()
        self._dirty.clear()

    def close(self) -> None:
        """Write the buffered changes and close the file."""
        try:
            self.flush()
        except StorageError as error:
            log_trouble(_log, error, "Tasks that have just ended will run again.")
        self._db.close()

    def _forget(self, gone_before: int) -> int:
        return self._db.execute(
            "DELETE FROM tasks_tasks WHERE id IN"
            " (SELECT id FROM tasks_tasks WHERE gone < ? LIMIT ?)",
            (gone_before, _PORTION),
        ).rowcount

    def _write(self, write: _Write, id_: int) -> None:
        if not self._writes:
            asyncio.get_running_loop().call_later(_SOON, self._flush_soon)
        self._writes.append(write)
        self._dirty.add(id_)

    def _flush_soon(self) -> None:
        try:
            self.flush()
        except StorageError as error:
            log_trouble(_log, error, "It is tried again.")
            asyncio.get_running_loop().call_later(_AGAIN, self._flush_soon)

    def _one(self, query: str, values: tuple[Any, ...] = ()) -> int:
        value: int = self._db.execute(query, values).fetchone()[0]
        return value


def _updated(record: TaskRecord) -> _Write:
    data = record.task.SerializeToString()
    return UPDATE, (record.due, record.executions, record.previous, data, record.id)


def _operation_write(operation: Any, now: int) -> _Write:
    values = (operation.name, now, operation.SerializeToString())
    return "INSERT OR REPLACE INTO tasks_operations VALUES (?, ?, ?)", values

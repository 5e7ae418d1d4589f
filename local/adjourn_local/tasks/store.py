"""The tables of the Cloud Tasks server, written once per turn of the event loop.

Writes are gathered and go to disk together in one transaction that opens and ends within one
callback: the other servers of the stack share the file and the loop, so a transaction left open
over an `await` would block them for good. Whoever must know that a write is safe awaits `saved`;
what nobody waits for may be lost with the process, which costs no more than a second delivery.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.cloud.tasks_v2.types import queue as queue_types
from google.cloud.tasks_v2.types import task as task_types
from google.longrunning import operations_pb2  # type: ignore[import-untyped]

from adjourn_local.database import connect
from adjourn_local.tasks.agenda import Entry
from adjourn_local.tasks.moment import read

_Task: Any = task_types.Task.pb()
_Queue: Any = queue_types.Queue.pb()

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks_queues (
    name TEXT PRIMARY KEY,
    queue BLOB NOT NULL,
    deleted INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tasks_tasks (
    id INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    task_id TEXT NOT NULL,
    due INTEGER NOT NULL,
    created INTEGER NOT NULL,
    gone INTEGER,
    executions INTEGER NOT NULL DEFAULT 0,
    previous INTEGER NOT NULL DEFAULT 0,
    task BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS tasks_by_name ON tasks_tasks (task_id, queue);
CREATE INDEX IF NOT EXISTS tasks_by_due ON tasks_tasks (queue, due) WHERE gone IS NULL;
CREATE INDEX IF NOT EXISTS tasks_by_end ON tasks_tasks (gone) WHERE gone IS NOT NULL;
CREATE TABLE IF NOT EXISTS tasks_operations (
    request_id TEXT PRIMARY KEY,
    created INTEGER NOT NULL,
    operation BLOB NOT NULL
) WITHOUT ROWID;
"""
# A name that was gone long enough gives its row to the new task.
_INSERT = (
    "INSERT OR REPLACE INTO tasks_tasks (id, queue, task_id, due, created, task)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
_UPDATE = (
    "UPDATE tasks_tasks SET due = ?, executions = ?, previous = ?, task = ?"
    " WHERE id = ? AND gone IS NULL"
)
_END = "UPDATE tasks_tasks SET gone = ?, task = x'' WHERE id = ? AND gone IS NULL"
_READ = "SELECT id, queue, created, executions, previous, task FROM tasks_tasks"
_SWEEP = 5_000
_UNHURRIED_SECONDS = 0.02


@dataclass(slots=True, kw_only=True, eq=False)
class Record:
    """A task that is queued or in flight; `task` is the message and holds the attempts too."""

    id: int
    queue: str
    created: int
    task: Any
    executions: int = 0
    previous: int = 0
    running: int = 0
    waiting: bool = True
    gone: bool = False

    @property
    def task_id(self) -> str:
        """Return the short name."""
        name: str = self.task.name
        return name.rpartition("/")[2]

    @property
    def due(self) -> int:
        """Return the schedule time."""
        return read(self.task.schedule_time)


class Store:
    """Queues, tasks, the names of tasks that are gone, and answered batches."""

    def __init__(self, path: Path) -> None:
        self._db = connect(path)
        self._db.executescript(_SCHEMA)
        self._writes: list[tuple[str, tuple[Any, ...]]] = []
        self._then: list[Callable[[], None]] = []
        self._dirty: set[int] = set()
        self._new_names: set[tuple[str, str]] = set()
        self._saved: asyncio.Future[None] | None = None
        self._last_id: int = self._one("SELECT coalesce(max(id), 0) FROM tasks_tasks")
        self.live: int = self._one("SELECT count(*) FROM tasks_tasks WHERE gone IS NULL")

    def add(self, queue: str, task: Any, created: int, then: Callable[[Record], None]) -> Record:
        """Note a new task; `then` is called with it as soon as it is safe."""
        self._last_id += 1
        record = Record(id=self._last_id, queue=queue, created=created, task=task)
        data = task.SerializeToString()
        key = (record.task_id, queue)
        self._new_names.add(key)
        self.live += 1
        self._write(_INSERT, (record.id, queue, key[0], record.due, created, data), record.id)
        self._then.append(lambda: then(record))
        return record

    def update(self, record: Record) -> None:
        """Note what an attempt has changed."""
        data = record.task.SerializeToString()
        values = (record.due, record.executions, record.previous, data, record.id)
        self._write(_UPDATE, values, record.id)

    def end(self, record: Record, now: int) -> None:
        """Note that a task is done, deleted or given up; its name stays taken for a while."""
        if not record.gone:
            record.gone = True
            self.live -= 1
            self._write(_END, (now, record.id), record.id)

    async def saved(self) -> None:
        """Return once everything noted so far would survive a kill of this process."""
        if not self._writes:
            return
        if self._saved is None:
            loop = asyncio.get_running_loop()
            self._saved = loop.create_future()
            loop.call_soon(self.flush)
        await asyncio.shield(self._saved)

    def is_taken(self, queue: str, task_id: str, since: int) -> bool:
        """Tell whether a task of this name exists or existed after `since`."""
        return (task_id, queue) in self._new_names or bool(
            self._one(
                "SELECT count(*) FROM tasks_tasks"
                " WHERE task_id = ? AND queue = ? AND coalesce(gone, ?) >= ?",
                (task_id, queue, since, since),
            )
        )

    def load(self, id_: int) -> Record | None:
        """Return a task that is not gone, by its number."""
        if id_ in self._dirty:
            self.flush()
        row = self._db.execute(f"{_READ} WHERE id = ? AND gone IS NULL", (id_,)).fetchone()
        return None if row is None else _record(row)

    def find(self, queue: str, task_id: str) -> Record | None:
        """Return a task that is not gone, by its name."""
        self.flush()
        row = self._db.execute(
            f"{_READ} WHERE task_id = ? AND queue = ? AND gone IS NULL", (task_id, queue)
        ).fetchone()
        return None if row is None else _record(row)

    def tasks(self, queue: str, after: int) -> Iterator[Record]:
        """Return a queue's tasks in the order of their creation, from number `after` on."""
        self.flush()
        rows = self._db.execute(
            f"{_READ} WHERE queue = ? AND id > ? AND gone IS NULL ORDER BY id", (queue, after)
        )
        return (_record(row) for row in rows)

    def waiting(self, queue: str, after: Entry, limit: int) -> list[Entry]:
        """Return a queue's next tasks by schedule time."""
        self.flush()
        return self._db.execute(
            "SELECT due, id FROM tasks_tasks WHERE queue = ? AND gone IS NULL"
            " AND (due, id) > (?, ?) ORDER BY due, id LIMIT ?",
            (queue, *after, limit),
        ).fetchall()

    def empty(self, queue: str, now: int) -> None:
        """End all tasks of a queue."""
        self.flush()
        ended = self._db.execute(
            "UPDATE tasks_tasks SET gone = ?, task = x'' WHERE queue = ? AND gone IS NULL",
            (now, queue),
        )
        self.live -= ended.rowcount

    def queues(self) -> dict[str, Any]:
        """Return every queue's message by its name."""
        rows = self._db.execute("SELECT name, queue FROM tasks_queues WHERE deleted IS NULL")
        return {name: _Queue.FromString(data) for name, data in rows}

    def put_queue(self, queue: Any) -> None:
        """Keep a queue as it now is."""
        self._db.execute(
            "INSERT OR REPLACE INTO tasks_queues (name, queue) VALUES (?, ?)",
            (queue.name, queue.SerializeToString()),
        )

    def delete_queue(self, name: str, now: int) -> None:
        """End a queue; its name stays taken for a while."""
        self._db.execute("UPDATE tasks_queues SET deleted = ? WHERE name = ?", (now, name))

    def is_queue_name_taken(self, name: str, since: int) -> bool:
        """Tell whether a queue of this name was deleted after `since`."""
        query = "SELECT count(*) FROM tasks_queues WHERE name = ? AND deleted >= ?"
        return bool(self._one(query, (name, since)))

    def put_operation(self, request_id: str, operation: Any, now: int) -> None:
        """Keep the answer to a batch, safe at the same instant as its tasks."""
        values = (request_id, now, operation.SerializeToString())
        self._write("INSERT OR REPLACE INTO tasks_operations VALUES (?, ?, ?)", values)

    def operation(self, request_id: str) -> Any | None:
        """Return the answer that a batch of this request id was given."""
        self.flush()
        row = self._db.execute(
            "SELECT operation FROM tasks_operations WHERE request_id = ?", (request_id,)
        ).fetchone()
        return None if row is None else operations_pb2.Operation.FromString(row[0])

    async def sweep(self, *, gone_before: int, created_before: int) -> list[Record]:
        """Forget expired names and return the tasks that are older than the retention."""
        self.flush()
        self._db.execute("DELETE FROM tasks_operations WHERE created < ?", (gone_before,))
        # In portions with others in between: an hour of a busy queue leaves millions of names.
        while self._forget(gone_before):  # noqa: ASYNC110 - the rest is work, not an event
            await asyncio.sleep(0)
        old = f"{_READ} INDEXED BY tasks_by_due WHERE gone IS NULL AND created < ?"
        return [_record(row) for row in self._db.execute(old, (created_before,))]

    def flush(self) -> None:
        """Write everything noted so far in one transaction.

        Raises:
            sqlite3.Error: It could not be written; whoever awaits `saved` is told so too.
        """
        if not self._writes:
            return
        writes, then, saved = self._writes, self._then, self._saved
        self._writes, self._then, self._saved = [], [], None
        self._dirty.clear()
        self._new_names.clear()
        try:
            self._commit(writes)
        except Exception as error:
            if saved is not None:
                saved.set_exception(error)
            raise
        if saved is not None:
            saved.set_result(None)
        if then:
            # Not from here: `flush` may run in the middle of what these callbacks would change.
            asyncio.get_running_loop().call_soon(_call_all, then)

    def close(self) -> None:
        """Write what is left and close the file."""
        self.flush()
        self._db.close()

    def _commit(self, writes: list[tuple[str, tuple[Any, ...]]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for statement, values in writes:
                self._db.execute(statement, values)
        except Exception:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _forget(self, gone_before: int) -> int:
        return self._db.execute(
            "DELETE FROM tasks_tasks WHERE id IN"
            " (SELECT id FROM tasks_tasks WHERE gone < ? LIMIT ?)",
            (gone_before, _SWEEP),
        ).rowcount

    def _write(self, statement: str, values: tuple[Any, ...], id_: int = 0) -> None:
        if not self._writes:
            asyncio.get_running_loop().call_later(_UNHURRIED_SECONDS, self.flush)
        self._writes.append((statement, values))
        self._dirty.add(id_)

    def _one(self, query: str, values: tuple[Any, ...] = ()) -> int:
        value: int = self._db.execute(query, values).fetchone()[0]
        return value


def _record(row: tuple[Any, ...]) -> Record:
    id_, queue, created, executions, previous, data = row
    return Record(
        id=id_,
        queue=queue,
        created=created,
        executions=executions,
        previous=previous,
        task=_Task.FromString(data),
    )


def _call_all(calls: list[Callable[[], None]]) -> None:
    for call in calls:
        call()

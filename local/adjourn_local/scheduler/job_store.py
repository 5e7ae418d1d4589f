"""Store jobs, and executions that have not ended, in SQLite.

Each method writes at once and leaves no transaction open, because the other servers of the stack
share the file and the event loop.
"""

import datetime as dt
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adjourn_local.database import connect
from adjourn_local.scheduler.execution import Execution
from adjourn_local.scheduler.job_definition import Job
from adjourn_local.timing.timestamps import instant, micros

_SCHEMA = """
CREATE TABLE IF NOT EXISTS scheduler_jobs (
    name TEXT PRIMARY KEY,
    tick INTEGER,
    job BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS scheduler_jobs_by_tick ON scheduler_jobs (tick);
CREATE TABLE IF NOT EXISTS scheduler_executions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL REFERENCES scheduler_jobs (name),
    scheduled INTEGER NOT NULL,
    is_manual INTEGER NOT NULL,
    began INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    retry_at INTEGER
);
CREATE INDEX IF NOT EXISTS scheduler_executions_by_job ON scheduler_executions (job);
CREATE INDEX IF NOT EXISTS scheduler_executions_by_retry ON scheduler_executions (retry_at);
"""
_EXECUTION = "SELECT id, job, scheduled, is_manual, began, attempts, retry_at"
# A job whose scheduled execution is in flight must not start another one.
_IDLE = """
    FROM scheduler_jobs AS j WHERE tick IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM scheduler_executions
        WHERE job = j.name AND NOT is_manual AND retry_at IS NULL
    )
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEntry:
    """A job as stored; `tick` is its next scheduled start, None unless it is enabled."""

    job: Any
    tick: dt.datetime | None


class JobStore:
    """The tables of jobs and of executions that have not ended."""

    def __init__(self, path: Path) -> None:
        self._db = connect(path)
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def get(self, name: str) -> JobEntry | None:
        """Return a job by its name, or None."""
        row = self._db.execute(
            "SELECT job, tick FROM scheduler_jobs WHERE name = ?", (name,)
        ).fetchone()
        return None if row is None else _entry(row)

    def count(self, location: str) -> int:
        """Return the number of jobs in a location."""
        number: int = self._db.execute(
            "SELECT count(*) FROM scheduler_jobs WHERE name > ? AND name < ?", _bounds(location)
        ).fetchone()[0]
        return number

    def page(self, location: str, after: str, limit: int) -> list[JobEntry]:
        """Return a location's jobs in the order of names, beginning after the name `after`."""
        first, end = _bounds(location)
        rows = self._db.execute(
            "SELECT job, tick FROM scheduler_jobs WHERE name > ? AND name < ?"
            " ORDER BY name LIMIT ?",
            (max(after, first), end, limit),
        )
        return [_entry(row) for row in rows]

    def every(self) -> list[JobEntry]:
        """Return all jobs."""
        return [_entry(row) for row in self._db.execute("SELECT job, tick FROM scheduler_jobs")]

    def put(self, entry: JobEntry) -> None:
        """Store a job, new or changed."""
        self._db.execute(
            "INSERT INTO scheduler_jobs (name, tick, job) VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET tick = excluded.tick, job = excluded.job",
            (entry.job.name, _micros_or_none(entry.tick), entry.job.SerializeToString()),
        )

    def delete(self, name: str) -> None:
        """Delete a job and its executions; results of attempts in flight are ignored."""
        with self._db.transaction():
            self._db.execute("DELETE FROM scheduler_executions WHERE job = ?", (name,))
            self._db.execute("DELETE FROM scheduler_jobs WHERE name = ?", (name,))

    def begin(self, entry: JobEntry, execution: Execution) -> Execution:
        """Store a job together with a new execution; return the execution with its id."""
        with self._db.transaction():
            self.put(entry)
            row = self._db.execute(
                "INSERT INTO scheduler_executions (job, scheduled, is_manual, began, attempts)"
                " VALUES (?, ?, ?, ?, ?)",
                (
                    execution.job,
                    _micros_or_none(execution.scheduled),
                    execution.is_manual,
                    _micros_or_none(execution.began),
                    execution.attempts,
                ),
            )
        if row.lastrowid is None:
            raise sqlite3.DatabaseError("SQLite gave the new row no id")
        return replace(execution, id=row.lastrowid)

    def proceed(self, entry: JobEntry, execution: Execution) -> None:
        """Store a job together with a changed execution."""
        with self._db.transaction():
            self.put(entry)
            self._db.execute(
                "UPDATE scheduler_executions SET attempts = ?, retry_at = ? WHERE id = ?",
                (execution.attempts, _micros_or_none(execution.retry_at), execution.id),
            )

    def finish(self, entry: JobEntry, execution: Execution) -> None:
        """Store a job, and delete an execution that has ended."""
        with self._db.transaction():
            self.put(entry)
            self._db.execute("DELETE FROM scheduler_executions WHERE id = ?", (execution.id,))

    def execution(self, execution_id: int) -> Execution | None:
        """Return an execution that has not ended, or None."""
        row = self._db.execute(
            f"{_EXECUTION} FROM scheduler_executions WHERE id = ?", (execution_id,)
        ).fetchone()
        return None if row is None else _execution(row)

    def in_flight(self) -> list[Execution]:
        """Return the executions whose attempt has no stored result yet."""
        rows = self._db.execute(f"{_EXECUTION} FROM scheduler_executions WHERE retry_at IS NULL")
        return [_execution(row) for row in rows]

    def forget_waiting(self, job: str) -> None:
        """Delete the executions of a job that wait for a retry."""
        self._db.execute(
            "DELETE FROM scheduler_executions WHERE job = ? AND retry_at IS NOT NULL", (job,)
        )

    def next_retry(self, job: str) -> dt.datetime | None:
        """Return the time of a job's next retry, or None."""
        row = self._db.execute(
            "SELECT min(retry_at) FROM scheduler_executions WHERE job = ?", (job,)
        ).fetchone()
        return _instant_or_none(row[0])

    def next_due(self) -> dt.datetime | None:
        """Return the time of the next start or retry of any job, or None."""
        row = self._db.execute(
            f"SELECT min(at) FROM (SELECT min(tick) AS at {_IDLE}"  # noqa: S608 - constants only
            " UNION ALL SELECT min(retry_at) FROM scheduler_executions)"
        ).fetchone()
        return _instant_or_none(row[0])

    def due_jobs(self, now: dt.datetime) -> list[JobEntry]:
        """Return the jobs whose next scheduled start is due."""
        rows = self._db.execute(
            f"SELECT job, tick {_IDLE} AND tick <= ? ORDER BY tick",
            (_micros_or_none(now),),
        )
        return [_entry(row) for row in rows.fetchall()]

    def due_retries(self, now: dt.datetime) -> list[Execution]:
        """Return the executions whose retry is due."""
        rows = self._db.execute(
            f"{_EXECUTION} FROM scheduler_executions WHERE retry_at <= ? ORDER BY retry_at",
            (_micros_or_none(now),),
        )
        return [_execution(row) for row in rows.fetchall()]


def _bounds(location: str) -> tuple[str, str]:
    """Return the exclusive bounds of the names of a location's jobs."""
    return f"{location}/jobs/", f"{location}/jobs0"


def _entry(row: tuple[bytes, int | None]) -> JobEntry:
    return JobEntry(job=Job.FromString(row[0]), tick=_instant_or_none(row[1]))


def _execution(row: tuple[int, str, int, int, int, int, int | None]) -> Execution:
    return Execution(
        id=row[0],
        job=row[1],
        scheduled=instant(row[2]),
        is_manual=bool(row[3]),
        began=instant(row[4]),
        attempts=row[5],
        retry_at=_instant_or_none(row[6]),
    )


def _micros_or_none(at: dt.datetime | None) -> int | None:
    return None if at is None else micros(at)


def _instant_or_none(at: int | None) -> dt.datetime | None:
    return None if at is None else instant(at)

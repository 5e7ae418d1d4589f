"""A dead letter, as hooks are told of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A task that was given up.

    Attributes:
        task_id: The call's identity, and the name of the record.
        task: Registered name of the task; empty if the body could not be read.
        queue: Short name of the queue.
        attempts: How often it was tried.
        error: Type and message of the last error.
    """

    task_id: str
    task: str
    queue: str
    attempts: int
    error: str

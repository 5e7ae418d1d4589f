"""Tell that a call holds up an event loop, with the line to write."""

from __future__ import annotations

import logging
from typing import Any

from adjourn.log import event
from adjourn.tasks.task import Task


def tell_blocking(task: Task[..., Any], told: set[str], line: str) -> None:
    """Tell once for each task that it is enqueued on an event loop, which waits meanwhile.

    Args:
        task: The task.
        told: The names of the tasks of which it was told.
        line: What to write instead, with `{}` for the task.
    """
    if task.name not in told:
        told.add(task.name)
        write = line.format(task.__qualname__)
        text = f"{task.name} is enqueued on an event loop, which waits for it; write: {write}"
        event("call.blocking", logging.WARNING, text)

"""A task in the server's hands: the message and what the message has no field for."""

from dataclasses import dataclass
from typing import Any

from google.cloud.tasks_v2.types import task as task_types

from adjourn_local.timing.timestamps import read

COLUMNS = "id, queue, task_id, created, executions, previous, task"

_Task: Any = task_types.Task.pb()


@dataclass(slots=True, kw_only=True, eq=False)
class TaskRecord:
    """A task that is queued or in flight; `task` is the message and holds the attempts too."""

    id: int
    queue: str
    task_id: str
    created: int
    task: Any
    executions: int = 0
    previous: int = 0
    running: int = 0
    waiting: bool = True
    gone: bool = False

    @property
    def due(self) -> int:
        """Return the schedule time."""
        return read(self.task.schedule_time)


def from_row(row: tuple[Any, ...]) -> TaskRecord:
    """Return the task that a row of `COLUMNS` holds."""
    id_, queue, task_id, created, executions, previous, data = row
    return TaskRecord(
        id=id_,
        queue=queue,
        task_id=task_id,
        created=created,
        executions=executions,
        previous=previous,
        task=_Task.FromString(data),
    )

"""A task that the server keeps: its message and the data that the message has no field for."""

from dataclasses import dataclass
from typing import Any

from google.cloud.tasks_v2.types import task as task_types

from adjourn_local.timing.timestamps import read

COLUMNS = "id, queue, task_id, created, executions, previous, task"

_Task: Any = task_types.Task.pb()


@dataclass(slots=True, kw_only=True, eq=False)
class TaskRecord:
    """A task that is queued or in flight; its message `task` records the attempts, too."""

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
        """The schedule time in microseconds."""
        return read(self.task.schedule_time)


def from_row(row: tuple[Any, ...]) -> TaskRecord:
    """Return the task in a row of `COLUMNS`."""
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

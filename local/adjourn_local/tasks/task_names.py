"""Parse resource names of queues and tasks, with the service's error messages."""

import re

from adjourn_local.http.resource_names import LOCATION, help_link, invalid

_QUEUE = re.compile(rf"({LOCATION})/queues/([^/]*)")
_TASK = re.compile(rf"({LOCATION}/queues/[^/]*)/tasks/([^/]*)")
_QUEUE_ID = re.compile(r"[A-Za-z0-9-]{1,100}")
_TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,500}")
_REFERENCE = "https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues"
_QUEUE_DOCUMENTATION = f"{_REFERENCE}#Queue.FIELDS.name"
_TASK_DOCUMENTATION = f"{_REFERENCE}.tasks#Task.FIELDS.name"


def split_queue(name: str) -> tuple[str, str]:
    """Split a queue's full name into its location and its id.

    Raises:
        RpcError: INVALID_ARGUMENT.
    """
    match = _QUEUE.fullmatch(name)
    if match is None:
        raise invalid(
            "Queue name must be formatted: "
            '"projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>".',
            help_link("Definition of queue name", _QUEUE_DOCUMENTATION),
        )
    if not _QUEUE_ID.fullmatch(match[2]):
        raise invalid(
            f'Queue ID "{match[2]}" can contain only letters ([A-Za-z]), numbers ([0-9]), '
            "or hyphens (-). Queue ID must be between 1 and 100 characters.",
            help_link("Definition of queue ID", _QUEUE_DOCUMENTATION),
        )
    return match[1], match[2]


def split_task(name: str) -> tuple[str, str]:
    """Split a task's full name into its queue's full name and its id.

    Raises:
        RpcError: INVALID_ARGUMENT.
    """
    match = _TASK.fullmatch(name)
    if match is None:
        raise invalid(
            "Task name must be formatted: "
            '"projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>/tasks/<TASK_ID>".',
            help_link("Definition of task name", _TASK_DOCUMENTATION),
        )
    if not _TASK_ID.fullmatch(match[2]):
        raise invalid(
            f'Task ID "{match[2]}" can contain only letters ([A-Za-z]), numbers ([0-9]), '
            "hyphens (-), or underscores (_). Task ID must between 1 and 500 characters.",
            help_link("Definition of task ID", _TASK_DOCUMENTATION),
        )
    return match[1], match[2]


def project_of(name: str) -> str:
    """Return the id of the project in a full name."""
    return name.split("/")[1]


def short(name: str) -> str:
    """Return the last part of a full name."""
    return name.rpartition("/")[2]

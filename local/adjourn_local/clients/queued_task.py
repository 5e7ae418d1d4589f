"""A task that waits in a queue, as Cloud Tasks describes it."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from adjourn.ports import Sealer
from adjourn_local.clients.call_text import call_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedTask:
    """A task that waits, or is being attempted.

    Attributes:
        name: Its full name.
        queue: Short name of its queue.
        task: The registered name of what it calls; "" for a task that is not adjourn's.
        call: The call in Python's syntax, or why it cannot be shown; empty without a body.
        is_whole: Whether the call may be seen; that takes `cloudtasks.tasks.fullView`.
        created: When it was created.
        next_attempt: Earliest time of the next attempt.
        attempts: Attempts so far, including a running one.
        answered: Those that were answered.
        is_running: Whether an attempt has no answer yet.
        last_attempt: When the last attempt was made; None for none.
        last_status: What the last answered attempt was answered; "" for none.
        url: Where it is delivered.
    """

    name: str
    queue: str
    task: str
    call: Sequence[str]
    is_whole: bool
    created: dt.datetime
    next_attempt: dt.datetime
    attempts: int
    answered: int
    is_running: bool
    last_attempt: dt.datetime | None
    last_status: str
    url: str

    @property
    def id(self) -> str:
        """The last part of its name."""
        return self.name.rpartition("/")[2]


def queued_task(message: Any, sealer: Sealer | None, *, is_whole: bool) -> QueuedTask:
    """Return the task that a raw protobuf message of Cloud Tasks describes.

    Args:
        message: The message.
        sealer: Opens the body if it is sealed; None without a key.
        is_whole: Whether the message would have a body.
    """
    last, body = message.last_attempt, message.http_request.body
    queue, _, task_id = message.name.split("/")[-3:]
    return QueuedTask(
        name=message.name,
        queue=queue,
        task=called(message),
        call=call_lines(body, sealer, queue, task_id) if body else (),
        is_whole=is_whole,
        created=time_of(message.create_time),
        next_attempt=time_of(message.schedule_time),
        attempts=message.dispatch_count,
        answered=message.response_count,
        is_running=is_running(message),
        last_attempt=time_of(last.dispatch_time) if last.HasField("dispatch_time") else None,
        last_status=last_status(message),
        url=message.http_request.url or message.app_engine_http_request.relative_uri,
    )


def called(message: Any) -> str:
    """Return the registered name of what a task calls, which ends its URL."""
    return unquote(message.http_request.url.rpartition("/")[2])


def last_status(message: Any) -> str:
    """Return what the last attempt was answered; "" if there was none, or it succeeded."""
    status = message.last_attempt.response_status
    return status.message or (f"code {status.code}" if status.code else "")


def is_running(message: Any) -> bool:
    """Return whether an attempt has no answer yet."""
    last = message.last_attempt
    return last.HasField("dispatch_time") and not last.HasField("response_time")


def time_of(stamp: Any) -> dt.datetime:
    """Return a protobuf Timestamp as a time in UTC."""
    at: dt.datetime = stamp.ToDatetime(tzinfo=dt.UTC)
    return at

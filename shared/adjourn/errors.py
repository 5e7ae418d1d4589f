"""Every exception that adjourn raises.

AdjournError
├── ConfigurationError      settings or the application are wrong; nothing starts
├── DeclarationError        a decorator, option or registration is wrong
├── EncodeError             a value cannot be encoded in a task
├── DecodeError             a body was not written by adjourn
│   └── UnknownTypeError    a value's type or member is not registered here
├── EnqueueError            a task was not accepted
│   ├── TaskExistsError     the name is taken, or was until recently
│   ├── QueueNotFoundError  the queue does not exist
│   └── UnavailableError    the service did not answer; a retry may help
├── UnknownNameError        nothing is registered under a name
├── TaskCrashedError        a task's process died or ran out of time too often
├── NoCurrentTaskError      no task is running here
├── NoCurrentBatchError     no child of a batch is running here
├── BatchSealedError        a batch takes no more children from here
├── ResultError             a call returned nothing that can be read
│   ├── ResultNotReadyError it has not ended yet
│   ├── ResultNotKeptError  it was not kept, or no longer is
│   ├── ResultRefusedError  what it returned is too large or cannot be encoded
│   ├── CallFailedError     it was given up
│   ├── CallCancelledError  it was cancelled
│   └── CallDroppedError    it expired, was not wanted any more, or its transaction rolled back
├── ConflictError           a transaction or write lost to contention
├── StoreError              Datastore could not be reached or refused
│   └── StoreRefusedError   refused for good; the same request is refused again
├── ProcessDiedError        the process died while an entity was handled
├── SchedulerError          Cloud Scheduler could not be reached or refused
├── KeysUnavailableError    the keys that verify callers could not be fetched
├── CallerError             a request is not from an accepted caller
│   ├── UnauthenticatedError
│   └── ForbiddenError
└── BodyError               the body of a request cannot be read
    ├── TooLongBodyError
    ├── BrokenBodyError
    └── SlowBodyError

Raised by the code of a running task, to control what happens to it:

PermanentTaskFailure        do not retry; keep a dead letter
Discard                     no longer wanted; end without a dead letter
RetryLater                  failed; retry after a given time
Snooze                      too early; run later, which does not count as an attempt

Raised in the code of a running task that takes too long:

TaskTimeoutError            it has used up its timeout
"""

from __future__ import annotations

import datetime as dt

_LONGEST_WAIT = dt.timedelta(days=36525)


class AdjournError(Exception):
    """The base of all errors that adjourn raises."""


class ConfigurationError(AdjournError, ValueError):
    """Settings or the application are wrong; the message lists every mistake with its fix."""


class DeclarationError(AdjournError, ValueError):
    """A decorator, an option or a registration is wrong; the message says the fix."""


class EncodeError(AdjournError, TypeError):
    """A value cannot be encoded in a task; the message names its path in the arguments."""


class DecodeError(AdjournError, ValueError):
    """A body cannot be read by this version of adjourn."""


class UnknownKeyError(DecodeError):
    """A body is sealed with a key that the running process does not have."""


class UnknownTypeError(DecodeError):
    """A value is of a type, or an enum's member, that is not known in the running application."""


class EnqueueError(AdjournError):
    """The queue service did not accept a task."""


class TaskExistsError(EnqueueError):
    """A task of this name exists, or existed until recently."""


class QueueNotFoundError(EnqueueError):
    """The queue does not exist; create it before tasks are enqueued."""


class UnavailableError(EnqueueError):
    """The queue service could not be reached, or asked to be called less often; retry later."""


class UnknownNameError(AdjournError, LookupError):
    """Nothing is registered under this name in the running application."""


class TaskCrashedError(AdjournError):
    """The attempts at a task began and never ended, as often as the task may be tried.

    Args:
        crashes: How often that was noticed.
    """

    def __init__(self, crashes: int) -> None:
        often = "once" if crashes == 1 else f"{crashes} times"
        super().__init__(f"Its process died or ran out of time {often}.")


class NoCurrentTaskError(AdjournError, LookupError):
    """`current_task()` was called outside of a task."""


class NoCurrentBatchError(AdjournError, LookupError):
    """`current_batch()` was called outside of a call that is a child of a batch."""


class BatchSealedError(AdjournError):
    """A batch takes no more children from here: its block, or the call that adds, has ended."""


class ResultError(AdjournError):
    """A call returned nothing that can be read; the class of the error says why."""


class ResultNotReadyError(ResultError, TimeoutError):
    """The call has not ended within the time that was waited."""


class ResultNotKeptError(ResultError):
    """The result is not kept: the call keeps none, or the time for which it was kept is over."""


class ResultRefusedError(ResultError):
    """The call has done its work, but what it returned is too large or cannot be encoded."""


class CallFailedError(ResultError):
    """The call was given up; a dead letter tells more.

    Attributes:
        error: Type and message of its last error.
    """

    error: str = ""


class CallCancelledError(ResultError):
    """The call was cancelled before it ended."""


class CallDroppedError(ResultError):
    """The call expired, raised `Discard`, or its transaction was rolled back."""


class ConflictError(AdjournError):
    """A transaction or write was refused because of another one; nothing was written."""


class StoreError(AdjournError):
    """Datastore could not be reached or refused the operation."""


class StoreRefusedError(StoreError):
    """Datastore refused the operation for good, such as for lack of an index or a permission."""


class ProcessDiedError(AdjournError):
    """The process died, ran out of memory or was cut off while an entity was handled."""


class SchedulerError(AdjournError):
    """Cloud Scheduler could not be reached, refused, or has no such job."""


class KeysUnavailableError(AdjournError):
    """The keys that verify callers could not be fetched; the caller may be an accepted one."""


class CallerError(AdjournError):
    """A request is not from an accepted caller; the reason is only for the log."""


class UnauthenticatedError(CallerError):
    """A request has no identity that can be verified."""


class ForbiddenError(CallerError):
    """A request has a verified identity that is not accepted."""


class BodyError(AdjournError):
    """The body of a request cannot be read."""


class TooLongBodyError(BodyError):
    """The body of a request is longer than any that is accepted."""


class BrokenBodyError(BodyError):
    """The body of a request ended early, or its framing is wrong."""


class SlowBodyError(BodyError):
    """The body of a request did not arrive in time."""


class PermanentTaskFailure(Exception):  # noqa: N818 - the name that App Engine and ViUR gave it
    """Raise it in a task to give up at once: there are no further attempts."""


class Discard(Exception):  # noqa: N818 - controls the task, is not an error
    """Raise it in a task that is no longer wanted: it ends without a dead letter."""


class RetryLater(Exception):  # noqa: N818 - controls the task
    """Raise it in a task that failed and knows when to retry; this counts as an attempt.

    Args:
        after: How long to wait, as a timedelta or in seconds.
    """

    def __init__(self, after: dt.timedelta | float) -> None:
        super().__init__(f"try again in {after}")
        self.after = _checked_wait("RetryLater(after", after)


class Snooze(Exception):  # noqa: N818 - controls the task
    """Raise it in a task that runs too early: it runs later, which does not count as an attempt.

    Args:
        for_: How long to wait, as a timedelta or in seconds.
    """

    def __init__(self, for_: dt.timedelta | float) -> None:
        super().__init__(f"come back in {for_}")
        self.after = _checked_wait("Snooze(for_", for_)


class TaskTimeoutError(BaseException):
    """Raised in a task that has used up its timeout; the attempt has failed.

    It is no `Exception`, so that a task which handles every error ends all the same.
    """

    def __init__(self, message: str = "The task has used up its timeout.") -> None:
        super().__init__(message)


def _checked_wait(given: str, time: object) -> dt.timedelta:
    if isinstance(time, bool) or not isinstance(time, dt.timedelta | int | float):
        raise TypeError(
            f"{given}={time!r:.80}): a time to wait is a timedelta or a number of seconds."
        )
    try:
        wait = time if isinstance(time, dt.timedelta) else dt.timedelta(seconds=time)
    except (OverflowError, ValueError):
        wait = -_LONGEST_WAIT
    if not dt.timedelta() <= wait <= _LONGEST_WAIT:
        raise ValueError(f"{given}={time}): a time to wait is between nothing and a hundred years.")
    return wait

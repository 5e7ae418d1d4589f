"""Every exception that adjourn raises.

AdjournError
├── ConfigurationError      settings or the application are wrong; nothing starts
├── DeclarationError        a decorator, option or registration is wrong
├── EncodeError             a value cannot be carried in a task
├── DecodeError             a body is not one of ours
├── EnqueueError            a task was not accepted
│   ├── TaskExistsError     the name is taken, or was until recently
│   ├── QueueNotFoundError  the queue does not exist
│   └── UnavailableError    the service did not answer; trying again may help
├── UnknownNameError        nothing is registered under a name
├── NoCurrentTaskError      no task is running here
├── ConflictError           a transaction met another one
├── StoreError              Datastore did not do what was asked
│   └── StoreRefusedError   it refused for good; the same request is refused again
├── ProcessDiedError        the process died whenever something was handled
├── KeysUnavailableError    the keys that verify callers could not be fetched
└── CallerError             a request is not from a caller that we accept
    ├── UnauthenticatedError
    └── ForbiddenError

Raised by the user's code, to steer the task that runs:

PermanentTaskFailure        do not try again; keep a dead letter
Discard                     it is no longer wanted; acknowledge it
RetryLater                  it failed; try again after a given time
Snooze                      it is too early; come back later, no attempt is spent
"""

from __future__ import annotations

import datetime as dt

_LONGEST_WAIT = dt.timedelta(days=36525)


class AdjournError(Exception):
    """Anything that adjourn raises, but for what steers a task."""


class ConfigurationError(AdjournError, ValueError):
    """Settings or the application are wrong; the message lists every mistake with its fix."""


class DeclarationError(AdjournError, ValueError):
    """A decorator, an option or a registration is wrong; the message says how to mend it."""


class EncodeError(AdjournError, TypeError):
    """A value cannot be carried in a task; the message names the path at which it stands."""


class DecodeError(AdjournError, ValueError):
    """A body is not one that this version of adjourn wrote or can read."""


class EnqueueError(AdjournError):
    """The queue service did not accept a task."""


class TaskExistsError(EnqueueError):
    """A task of this name exists, or existed until recently."""


class QueueNotFoundError(EnqueueError):
    """The queue does not exist; it is to be created before tasks can wait in it."""


class UnavailableError(EnqueueError):
    """The queue service could not be reached or asked to be left alone; try again later."""


class UnknownNameError(AdjournError, LookupError):
    """Nothing is registered under this name in the running application."""


class NoCurrentTaskError(AdjournError, LookupError):
    """`current_task()` was asked outside of a task."""


class ConflictError(AdjournError):
    """A transaction was refused because another one changed what it had read."""


class StoreError(AdjournError):
    """Datastore could not be reached or refused the operation."""


class StoreRefusedError(StoreError):
    """Datastore refused the operation for good, such as for lack of an index or a permission."""


class ProcessDiedError(AdjournError):
    """The process died, ran out of memory or was cut off while an entity was handled."""


class KeysUnavailableError(AdjournError):
    """The keys that verify callers could not be fetched; the caller may well be one of ours."""


class CallerError(AdjournError):
    """A request is not from a caller that we accept; the reason is for the log alone."""


class UnauthenticatedError(CallerError):
    """A request carries no identity that can be verified."""


class ForbiddenError(CallerError):
    """A request carries a verified identity that may not call."""


class PermanentTaskFailure(Exception):  # noqa: N818 - the name that App Engine and ViUR gave it
    """Raise it in a task to give up at once: there are no further attempts."""


class Discard(Exception):  # noqa: N818 - it steers, it is no error
    """Raise it in a task that is no longer wanted: it is acknowledged, without a dead letter."""


class RetryLater(Exception):  # noqa: N818 - it steers
    """Raise it in a task that failed and knows when to try again; an execution is spent.

    Args:
        after: How long to wait, as a timedelta or in seconds.
    """

    def __init__(self, after: dt.timedelta | float) -> None:
        super().__init__(f"try again in {after}")
        self.after = _waiting(after)


class Snooze(Exception):  # noqa: N818 - it steers
    """Raise it in a task that comes too early: it is put off and no attempt is spent.

    Args:
        for_: How long to wait, as a timedelta or in seconds.
    """

    def __init__(self, for_: dt.timedelta | float) -> None:
        super().__init__(f"come back in {for_}")
        self.after = _waiting(for_)


def _waiting(time: dt.timedelta | float) -> dt.timedelta:
    wait = time if isinstance(time, dt.timedelta) else dt.timedelta(seconds=time)
    if not dt.timedelta() <= wait <= _LONGEST_WAIT:
        raise ValueError(f"a time to wait is between nothing and a hundred years, unlike {time}")
    return wait

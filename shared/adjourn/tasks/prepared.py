"""Calls whose tasks are ready to be created."""

import datetime as dt
from typing import NamedTuple, TypeAlias

from adjourn.errors import EncodeError, EnqueueError
from adjourn.ports import NewTask


class Prepared(NamedTuple):
    """A call whose task is ready to be created.

    Attributes:
        id: The id of the call.
        made_at: When the call was made.
        eta: Earliest start of the call, which may be later than that of the task.
        task: The task that carries it.
        keeps_result: Whether what it returns is kept.
    """

    id: str
    made_at: dt.datetime
    eta: dt.datetime | None
    task: NewTask
    keeps_result: bool = False


# A call, or the error because of which it cannot be enqueued.
Tried: TypeAlias = Prepared | EncodeError | EnqueueError

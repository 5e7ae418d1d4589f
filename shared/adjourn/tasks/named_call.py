"""Calls whose ids are chosen before they are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from adjourn.tasks.task import Task


class NamedCall(NamedTuple):
    """A call whose id was chosen before, which is also the name of its task.

    Attributes:
        task: The task to call.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        id: The id.
        schedule: Name of the schedule whose run it is; "" for none.
    """

    task: Task[..., Any]
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    id: str
    schedule: str = ""

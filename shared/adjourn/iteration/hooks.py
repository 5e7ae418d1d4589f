"""The hooks that an iteration calls, and what becomes of what they answer or raise."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any, ClassVar, Protocol

from adjourn.errors import StoreError
from adjourn.iteration.shards import said
from adjourn.log import event


class OnError(Enum):
    """What `handle_error` can answer."""

    CONTINUE = auto()  # count the error and go on
    RETRY = auto()  # try it again, as often as before
    STOP = auto()  # stop the run at this entity


class Hooks(Protocol):
    """What the user's `QueryIter` answers; documented there."""

    batch_size: ClassVar[int]
    max_entry_retries: ClassVar[int]
    in_bulk: ClassVar[bool]
    in_batches: ClassVar[bool]

    def load(self, entity: Any) -> Any:
        """Turn an entity into the user's own type."""

    def handle_entry(self, entry: Any, custom_data: Any) -> None:
        """Handle one entity."""

    def handle_batch(
        self, entries: Sequence[Any], custom_data: Any
    ) -> Sequence[Exception | None] | None:
        """Handle a page of them; say which of them failed."""

    def handle_error(self, entry: Any, custom_data: Any, exception: Exception) -> bool | OnError:
        """Say what to do."""


def handed(
    hooks: Hooks, entries: Sequence[object], custom_data: object
) -> Sequence[Exception | None] | Exception:
    """Hand entities to the user's hook; return what kept each from being handled, or all.

    Raises:
        StoreError: Datastore kept a class that works in bulk from it; no entity is to blame.
    """
    hook = "handle_batch" if hooks.in_batches else "handle_entry"
    try:
        loaded = [hooks.load(entry) for entry in entries]
        if hooks.in_batches:
            return _told(hooks.handle_batch(loaded, custom_data), len(entries))
        hooks.handle_entry(loaded[0], custom_data)
    except KeyboardInterrupt:
        raise
    except Exception as error:
        if hooks.in_bulk and isinstance(error, StoreError):
            raise
        return error
    except BaseException as error:  # noqa: BLE001 - handle_error gets an Exception
        # Such as SystemExit and asyncio's CancelledError, which would end the function's process.
        return RuntimeError(f"{hook} raised {said(error)}")
    return [None]


def asked(hooks: Hooks, entry: object, custom_data: object, error: Exception) -> OnError:
    """Return what the user's `handle_error` says of an entity."""
    try:
        answer = hooks.handle_error(_loaded(hooks, entry), custom_data, error)
    except KeyboardInterrupt:
        raise
    except BaseException as another:  # noqa: BLE001 - a failing hook stops the run, as False does
        event("iteration.error", logging.ERROR, said(another), error=another)
        return OnError.STOP
    if isinstance(answer, OnError):
        return answer
    return OnError.CONTINUE if answer else OnError.STOP


def _told(answer: object, number: int) -> Sequence[Exception | None]:
    """Return what `handle_batch` says of each entity.

    Raises:
        TypeError: It says something else.
    """
    if answer is None:
        return [None] * number
    told = answer if isinstance(answer, list | tuple) else ()
    if len(told) != number or not all(isinstance(each, Exception | None) for each in told):
        raise TypeError(
            f"handle_batch must return None, or None or an exception for each of {number}"
        )
    return told


def _loaded(hooks: Hooks, entry: object) -> object:
    """Return an entity in the user's own type, as it is if that is what failed."""
    try:
        return hooks.load(entry)
    except Exception:  # noqa: BLE001 - the error that is told of
        return entry

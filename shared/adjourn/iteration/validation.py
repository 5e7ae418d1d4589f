"""Validate what an application says of its iterations: the classes, and how runs are started."""

from __future__ import annotations

from typing import Any, NamedTuple

from adjourn.errors import DeclarationError
from adjourn.tasks.arguments import is_lazy
from adjourn.tasks.options import Options

_LARGEST_BATCH = 1000
# Half of the time that Cloud Tasks waits for a response by default (10 minutes), so that the lease
# fits in.
_LONGEST_STEP = 300
_LONGEST_LEASE = 3600
_MOST_RETRIES = 1000
_MOST_SHARDS = 100
_LONGEST_NAME = 500
# An entity in about a quarter of an hour.
_SLOWEST = 0.001
_FASTEST = 1_000_000
_HOOKS = (
    "load",
    "handle_entry",
    "handle_batch",
    "dry_run_entry",
    "handle_error",
    "handle_finish",
    "on_start",
    "on_pause",
    "on_cancel",
    "merge",
)


class StartOptions(NamedTuple):
    """How a run is started; see `QueryIter.start`."""

    shards: int
    name: str | None
    queue: str | None
    limit: int | None
    start_cursor: str | bytes | None
    end_cursor: str | bytes | None
    entities_per_second: float | None
    dry_run: bool
    transaction: object | None

    def check(self, cls: type[Any]) -> None:
        """Refuse options that are out of their range, or not for a class.

        Raises:
            DeclarationError: The message says which one, and what it may be.
        """
        if type(self.shards) is not int or not 1 <= self.shards <= _MOST_SHARDS:
            raise DeclarationError(
                f"shards={self.shards!r} must be a whole number from 1 to {_MOST_SHARDS}."
            )
        is_name = isinstance(self.name, str) and 1 <= len(self.name) <= _LONGEST_NAME
        if self.name is not None and not is_name:
            raise DeclarationError(
                f"name={self.name!r:.50} must have 1 to {_LONGEST_NAME} characters."
            )
        if self.limit is not None and (type(self.limit) is not int or self.limit < 1):
            raise DeclarationError(f"limit={self.limit!r} must be a whole number from 1.")
        check_pace(self.entities_per_second)
        if self.dry_run and not cls.can_be_dry():
            raise DeclarationError(
                f"{cls.__name__} needs dry_run_entry(self, entry, custom_data), which returns what"
                " would be done with an entity without doing it, to be started with dry_run=True."
            )
        Options().changed(queue=self.queue)

    def check_list(self) -> None:
        """Refuse options that a run over a list cannot have.

        Raises:
            DeclarationError: It is a cursor.
        """
        if self.start_cursor is not None or self.end_cursor is not None:
            raise DeclarationError("A list has no cursors; leave start_cursor and end_cursor out.")


def check_pace(entities_per_second: object, where: str = "") -> None:
    """Refuse what is not a pace.

    Args:
        entities_per_second: A number, or None.
        where: What the message begins with, such as the name of a class and a dot.

    Raises:
        DeclarationError: The message says what it may be.
    """
    is_number = type(entities_per_second) in {int, float}
    if entities_per_second is not None and not (
        is_number and _SLOWEST <= entities_per_second <= _FASTEST  # type: ignore[operator]
    ):
        raise DeclarationError(
            f"{where}entities_per_second={entities_per_second!r} must be a number from {_SLOWEST}"
            f" to {_FASTEST:,}, or None; to hold a run up, pause it."
        )


def check_class(cls: type[Any]) -> None:
    """Refuse a `QueryIter` class that cannot be carried out.

    Raises:
        DeclarationError: A hook is missing or not a plain function, or an attribute is wrong.
    """
    if not cls.overrides("handle_entry") and not cls.overrides("handle_batch"):
        raise DeclarationError(
            f"{cls.__name__} needs handle_entry(self, entry, custom_data), or handle_batch."
        )
    if cls.overrides("handle_entry") and cls.overrides("handle_batch"):
        raise DeclarationError(
            f"{cls.__name__} has handle_entry and handle_batch; leave one of them out."
        )
    for hook in _HOOKS:
        if is_lazy(getattr(cls, hook)):
            raise DeclarationError(f"{cls.__name__}.{hook} must be a plain function.")
    _check_number(cls, "batch_size", 1, _LARGEST_BATCH)
    _check_number(cls, "max_entry_retries", 0, _MOST_RETRIES)
    _check_seconds(cls, "step_seconds", _LONGEST_STEP)
    _check_seconds(cls, "lease_seconds", _LONGEST_LEASE)
    _check_failures(cls)
    check_pace(cls.entities_per_second, f"{cls.__name__}.")
    Options().changed(queue=cls.queue_name)


def _check_failures(cls: type[Any]) -> None:
    most = cls.max_failures
    is_number = type(most) is int and most >= 0
    is_share = type(most) is float and 0 <= most < 1
    if most is not None and not is_number and not is_share:
        raise DeclarationError(
            f"{cls.__name__}.max_failures must be a whole number from 0, a share of all entities as"
            " a float from 0.0 and below 1.0, or None."
        )


def _check_number(cls: type[Any], name: str, least: int, most: int) -> None:
    value = getattr(cls, name)
    if type(value) is not int or not least <= value <= most:
        raise DeclarationError(
            f"{cls.__name__}.{name} must be a whole number from {least} to {most}."
        )


def _check_seconds(cls: type[Any], name: str, most: int) -> None:
    value = getattr(cls, name)
    if value is not None and (type(value) not in {int, float} or not 0 < value <= most):
        raise DeclarationError(
            f"{cls.__name__}.{name} must be more than 0 and at most {most}, or None."
        )

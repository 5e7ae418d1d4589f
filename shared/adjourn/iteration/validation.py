"""Validate how runs are started."""

from typing import Any, NamedTuple

from adjourn.errors import DeclarationError
from adjourn.names import plain_text
from adjourn.tasks.options import Options
from adjourn.tasks.plain_values import plain_number

_MOST_SHARDS = 100
_LONGEST_NAME = 500
# An entity in about a quarter of an hour.
_SLOWEST = 0.001
_FASTEST = 1_000_000


class StartOptions(NamedTuple):
    """How a run is started; see `QueryIter.start`.

    Attributes:
        run_id: Its id, if it is a child of a batch.
    """

    shards: int
    name: str | None
    queue: str | None
    limit: int | None
    start_cursor: str | bytes | None
    end_cursor: str | bytes | None
    entities_per_second: float | None
    dry_run: bool
    transaction: object | None
    run_id: str = ""

    @classmethod
    def given(
        cls,
        *,
        shards: int = 1,
        name: str | None = None,
        queue: str | None = None,
        limit: int | None = None,
        start_cursor: str | bytes | None = None,
        end_cursor: str | bytes | None = None,
        entities_per_second: float | None = None,
        dry_run: bool = False,
        transaction: object | None = None,
    ) -> "StartOptions":
        """Return the options that a user has given, in plain values."""
        return cls(
            shards=plain_number(shards),
            name=plain_text(name),
            queue=plain_text(queue),
            limit=plain_number(limit),
            start_cursor=start_cursor,
            end_cursor=end_cursor,
            entities_per_second=plain_number(entities_per_second),
            dry_run=dry_run,
            transaction=transaction,
        )

    @property
    def has_name(self) -> bool:
        """Whether another start may have the same id."""
        return self.name is not None or self.run_id != ""

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


def check_pace(entities_per_second: Any, where: str = "") -> None:
    """Refuse what is not a pace.

    Args:
        entities_per_second: A number, or None.
        where: What the message begins with, such as the name of a class and a dot.

    Raises:
        DeclarationError: The message says what it may be.
    """
    if entities_per_second is None:
        return
    is_number = isinstance(entities_per_second, int | float)
    is_bool = isinstance(entities_per_second, bool)
    if is_bool or not (is_number and _SLOWEST <= entities_per_second <= _FASTEST):
        raise DeclarationError(
            f"{where}entities_per_second={entities_per_second!r:.80} must be a number from"
            f" {_SLOWEST} to {_FASTEST:,}, or None; to hold a run up, pause it."
        )

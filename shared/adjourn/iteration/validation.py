"""Validate how runs are started."""

from __future__ import annotations

from typing import NamedTuple

from adjourn.errors import DeclarationError
from adjourn.tasks.options import Options

_MOST_SHARDS = 100
_LONGEST_NAME = 500


class StartOptions(NamedTuple):
    """How a run is started; see `QueryIter.start`."""

    shards: int
    name: str | None
    queue: str | None
    limit: int | None
    start_cursor: str | bytes | None
    end_cursor: str | bytes | None
    transaction: object | None

    def check(self) -> None:
        """Refuse options that are out of their range.

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
        Options().changed(queue=self.queue)

"""Where a child of a batch is registered, and what its end is."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

_PLACE = re.compile("([0-9a-f]{32})-([0-9a-f]{32})-([0-9a-f]{32})")


class State(StrEnum):
    """How a child stands. Each has one letter, since that is what is stored."""

    OPEN = "o"  # it may still run
    DONE = "d"
    FAILED = "f"  # a dead letter, a stopped run, a batch with a failed child
    CANCELLED = "c"  # it was cancelled or has expired


class Kind(StrEnum):
    """What is registered in a shard or batch. Each has one letter, since that is what is stored."""

    CALL = "c"
    ADDED = "a"  # a call that a child has added
    RUN = "r"
    BATCH = "b"
    SHARD = "s"  # of children that the block of the batch has added, or a part of a larger one
    GROWN = "g"  # a shard of children that a child has added
    ADDED_RUN = "n"  # by a child
    ADDED_BATCH = "t"  # by a child


CALLS = {Kind.CALL, Kind.ADDED}
ADDED = {Kind.ADDED, Kind.ADDED_RUN, Kind.ADDED_BATCH, Kind.GROWN}  # by children
RUNS = {Kind.RUN, Kind.ADDED_RUN}
BATCHES = {Kind.BATCH, Kind.ADDED_BATCH}


class Place(NamedTuple):
    """Where a child is registered.

    Attributes:
        batch: Id of the batch.
        shard: Name of the shard.
        child: The child's key in hexadecimal.
    """

    batch: str
    shard: str
    child: str

    @classmethod
    def of(cls, text: str) -> Place | None:
        """Return the place that a text names; None if it names none."""
        found = _PLACE.fullmatch(text)
        return cls(*found.groups()) if found else None

    @property
    def text(self) -> str:
        """The place as a text, which is also the id of a run that is registered there."""
        return "-".join(self)

    @property
    def key(self) -> bytes:
        """The child's key."""
        return bytes.fromhex(self.child)


def call_id(key: bytes) -> str:
    """Return the id of a call with this key, which is also the name of its task."""
    return f"{key.hex()}-child"

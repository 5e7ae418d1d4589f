"""What the server has done since it started, and what it holds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Totals since the start, except `in_flight` and `queued`, which are of this moment."""

    created: int
    attempts: int
    succeeded: int
    failed: int
    retries: int
    exhausted: int
    in_flight: int
    queued: int


@dataclass(slots=True)
class Tally:
    """The totals while they are being counted."""

    created: int = 0
    attempts: int = 0
    succeeded: int = 0
    failed: int = 0
    retries: int = 0
    exhausted: int = 0

"""Counters of the Cloud Tasks server."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Totals since the start of the server; `in_flight` and `queued` are current numbers."""

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
    """The totals, which the dispatcher increments."""

    created: int = 0
    attempts: int = 0
    succeeded: int = 0
    failed: int = 0
    retries: int = 0
    exhausted: int = 0

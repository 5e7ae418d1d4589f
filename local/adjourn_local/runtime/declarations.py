"""What an application declares that its services must have: queues and cron names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Declared:
    """The short names of an application's queues, and its cron names."""

    queues: Sequence[str] = ()
    cron_names: Sequence[str] = ()

    @classmethod
    def read(cls, report: Mapping[str, Any]) -> Self:
        """Return what a function has reported."""
        return cls(tuple(report["queues"]), tuple(report["cron_names"]))

"""What adjourn tells its log while a delivery is handled: the errors of the user's code."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from adjourn.errors import RetryLater
from adjourn.execution.delivery import Outcome


@dataclass(eq=False, repr=False)
class Failures:
    """What was told of failures during a delivery."""

    errors: list[BaseException] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def check(self, what: str, outcome: Outcome) -> None:
        """Raise what the user's code raised, unless it only steered its task.

        Raises:
            AssertionError: The delivery was not done for another reason.
        """
        is_done = outcome is Outcome.DONE
        for error in self.errors:
            if not (is_done and isinstance(error, RetryLater)):
                raise error
        if not is_done:
            told = "; ".join(self.messages) or "nothing was logged"
            raise AssertionError(f"{what} came to {outcome.name}: {told}")


@contextmanager
def listening() -> Iterator[Failures]:
    """Gather what is logged of failures meanwhile."""
    log, handler = logging.getLogger("adjourn"), _Gatherer(logging.WARNING)
    log.addHandler(handler)
    try:
        yield handler.failures
    finally:
        log.removeHandler(handler)


class _Gatherer(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.failures = Failures()

    def emit(self, record: logging.LogRecord) -> None:
        self.failures.messages.append(record.getMessage())
        if record.exc_info and record.exc_info[1]:
            self.failures.errors.append(record.exc_info[1])

"""The failures that adjourn logs during a delivery, such as errors of the application's code."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from adjourn.errors import RetryLater
from adjourn.execution.delivery import Outcome


@dataclass(eq=False, repr=False)
class LoggedFailures:
    """Errors and messages that were logged as a warning or worse during a delivery."""

    errors: list[BaseException] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def check(self, what: str, outcome: Outcome) -> None:
        """Raise the first logged error, if any, unless it is a `RetryLater` of a task that is done.

        Raises:
            AssertionError: The delivery failed without a logged error.
        """
        is_done = outcome is Outcome.DONE
        for error in self.errors:
            if not (is_done and isinstance(error, RetryLater)):
                raise error
        if not is_done:
            logged = "; ".join(self.messages) or "nothing was logged"
            raise AssertionError(f"{what} ended as {outcome.name}: {logged}")


@contextmanager
def collecting() -> Iterator[LoggedFailures]:
    """Collect the failures that are logged in a `with` block."""
    log, handler = logging.getLogger("adjourn"), _Collector(logging.WARNING)
    log.addHandler(handler)
    try:
        yield handler.failures
    finally:
        log.removeHandler(handler)


class _Collector(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.failures = LoggedFailures()

    def emit(self, record: logging.LogRecord) -> None:
        self.failures.messages.append(record.getMessage())
        if record.exc_info and record.exc_info[1]:
            self.failures.errors.append(record.exc_info[1])

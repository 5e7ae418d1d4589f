"""The number of an attempt, and whether it is the last one."""

from typing import NamedTuple


class Attempt(NamedTuple):
    """The number of an attempt at a task, as Cloud Tasks counts it.

    Attributes:
        retry_count: Attempts before this one, delivered or not (`X-CloudTasks-TaskRetryCount`).
        execution_count: Earlier attempts that our code answered with neither 2xx nor 5xx
            (`X-CloudTasks-TaskExecutionCount`); trouble of the platform does not raise it.
    """

    retry_count: int = 0
    execution_count: int = 0

    def after(self, *, attempts: int, executions: int) -> "Attempt":
        """Return the attempt counted over earlier tasks of the same call, too."""
        if not attempts and not executions:
            return self
        return Attempt(
            retry_count=self.retry_count + attempts,
            execution_count=self.execution_count + executions,
        )

    @property
    def number(self) -> int:
        """The number of the attempt, counted from 1."""
        return self.retry_count + 1

    def is_last(self, max_retries: int | None) -> bool:
        """Whether a failure now uses up the task's own `max_retries`."""
        return max_retries is not None and self.execution_count >= max_retries

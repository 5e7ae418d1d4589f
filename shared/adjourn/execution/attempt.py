"""Which attempt this is and whether it is the last: decisions on numbers, nothing else."""

from __future__ import annotations

from typing import NamedTuple


class Attempt(NamedTuple):
    """One delivery of a task, as Cloud Tasks counts it.

    Attributes:
        retry_count: Attempts before this one, delivered or not (`X-CloudTasks-TaskRetryCount`).
        execution_count: Answers other than 2xx and 5xx that our code gave before
            (`X-CloudTasks-TaskExecutionCount`): platform trouble does not raise it.
    """

    retry_count: int = 0
    execution_count: int = 0

    def after(self, *, attempts: int, executions: int) -> Attempt:
        """Return the attempt as counted over the earlier tasks of the same call, too."""
        return Attempt(
            retry_count=self.retry_count + attempts,
            execution_count=self.execution_count + executions,
        )

    @property
    def number(self) -> int:
        """The attempt, counted from 1."""
        return self.retry_count + 1

    def is_last(self, max_retries: int | None) -> bool:
        """Whether a failure now would spend the task's own budget of retries."""
        return max_retries is not None and self.execution_count >= max_retries

"""Tell whoever asked for it that a task was given up, or that it keeps being retried."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from adjourn.clock import Clock
from adjourn.errors import AdjournError
from adjourn.execution.attempt import Attempt
from adjourn.execution.dead_letters import DeadHook, DeadLetter
from adjourn.log import event
from adjourn.ports import EntityStore, RecordKey, Transaction

KIND = "AdjournRetryWarning"
# A task lives 31 days at most (https://cloud.google.com/tasks/docs/quotas).
KEPT = dt.timedelta(days=32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RetryWarning:
    """A task that has been retried more often than is healthy.

    Attributes:
        task_id: The call's identity.
        task: Registered name of the task.
        retry_count: How often it was retried so far.
    """

    task_id: str
    task: str
    retry_count: int


WarningHook = Callable[[RetryWarning], object]


@dataclass(eq=False, repr=False)
class Hooks:
    """What the application wants to be told."""

    dead: list[DeadHook] = field(default_factory=list)
    warning: list[WarningHook] = field(default_factory=list)


@dataclass(kw_only=True, eq=False, repr=False)
class Alerts:
    """Logs what is worth an alert and calls the application's hooks; a failing hook is logged."""

    hooks: Hooks
    store: EntityStore
    clock: Clock
    threshold: int

    def died(self, letter: DeadLetter, hook: DeadHook | None) -> None:
        """Tell of a dead letter: first the task's own hook, then the application's."""
        own = [] if hook is None else [hook]
        _call([*own, *self.hooks.dead], letter)

    def retried(self, task_id: str, task: str, attempt: Attempt) -> None:
        """Warn once when a call's retries reach the threshold, or are found beyond it."""
        if attempt.retry_count < self.threshold or not self._is_first(task_id):
            return
        event(
            "task.retry_warning",
            logging.ERROR,
            f"{task} has been retried {attempt.retry_count} times",
            retry_count=attempt.retry_count,
        )
        warning = RetryWarning(task_id=task_id, task=task, retry_count=attempt.retry_count)
        _call(self.hooks.warning, warning)

    def _is_first(self, task_id: str) -> bool:
        key = RecordKey(KIND, task_id)

        def work(transaction: Transaction) -> bool:
            if transaction.get([key])[0] is not None:
                return False
            transaction.put(key, {"expires_at": self.clock.now() + KEPT})
            return True

        try:
            return self.store.transact(work)
        except AdjournError as error:
            # A warning that cannot be noted comes with the next attempt; the task must still run.
            event("service.unavailable", logging.WARNING, str(error), error=error)
            return False


def _call(hooks: Sequence[Callable[[Any], object]], about: object) -> None:
    for hook in hooks:
        try:
            hook(about)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a failing hook must not undo what it is told
            event("hook.failed", logging.ERROR, f"{hook!r} failed", error=error)

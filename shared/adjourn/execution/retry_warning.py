"""Retry warnings: one log event, and a call of the application's hooks, for each troubled call."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from adjourn.errors import AdjournError
from adjourn.execution.attempt import Attempt
from adjourn.log import event
from adjourn.names import CallIdentity
from adjourn.ports import Adapters, Record, Transaction
from adjourn.state.owned_records import FINGERPRINT, owned

KIND = "AdjournRetryWarning"
# A task lives 31 days at most (https://cloud.google.com/tasks/docs/quotas).
KEPT = dt.timedelta(days=32)


class RetryWarning(NamedTuple):
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


@dataclass(kw_only=True, eq=False, repr=False)
class RetryWarnings:
    """Warns once of each call whose retries reach a threshold.

    Attributes:
        adapters: The store of the records that a warning was given, and the clock.
        threshold: Number of retries.
        notify: Called with each warning.
    """

    adapters: Adapters
    threshold: int
    notify: WarningHook

    def check(self, call: CallIdentity, task: str, attempt: Attempt) -> None:
        """Warn if the retries of a call have reached the threshold, unless it was done before."""
        if attempt.retry_count < self.threshold or not self._is_first(call):
            return
        event(
            "task.retry_warning",
            logging.ERROR,
            f"{task} has been retried {attempt.retry_count} times",
            retry_count=attempt.retry_count,
        )
        self.notify(RetryWarning(task_id=call.id, task=task, retry_count=attempt.retry_count))

    def _is_first(self, call: CallIdentity) -> bool:
        def work(transaction: Transaction) -> bool:
            key, record = owned(transaction, KIND, call)
            if record is not None:
                return False
            expires = self.adapters.clock.now() + KEPT
            given: Record = {FINGERPRINT: call.fingerprint, "expires_at": expires}
            transaction.put(key, given, unindexed=(FINGERPRINT,))
            return True

        try:
            return self.adapters.store.transact(work)
        except AdjournError as error:
            # The next attempt gives the warning; this one must still run.
            event("service.unavailable", logging.WARNING, str(error), error=error)
            return False

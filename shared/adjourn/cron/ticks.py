"""Answer the calls of Cloud Scheduler that arrive."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from adjourn.cron.tick import Cron
from adjourn.errors import UnknownNameError
from adjourn.execution.delivery import Delivery, Outcome
from adjourn.log import event


@dataclass(kw_only=True, eq=False, repr=False)
class CronRunner:
    """Answers Cloud Scheduler."""

    cron: Cron

    def __call__(self, delivery: Delivery) -> Outcome:
        """Enqueue what is due under the cron name that the path gives.

        Raises:
            StoreError: Datastore failed; the Scheduler is to call again.
            EnqueueError: Not everything due was enqueued; the Scheduler is to call again.
        """
        try:
            self.cron.tick(delivery.path.strip("/"), delivery.scheduled)
        except UnknownNameError as error:
            event("cron.unknown", logging.ERROR, str(error))
            return Outcome.UNKNOWN
        return Outcome.DONE

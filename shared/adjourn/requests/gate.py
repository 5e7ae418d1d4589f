"""The gate in front of each function: which callers are admitted, and how errors become outcomes.

Whatever happens ends in one `Outcome`; `adjourn.requests.http` maps it to an HTTP status.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from adjourn.errors import (
    ConflictError,
    EnqueueError,
    ForbiddenError,
    KeysUnavailableError,
    StoreError,
    UnauthenticatedError,
)
from adjourn.execution.delivery import Delivery, Outcome
from adjourn.log import bound, event
from adjourn.ports import Adapters
from adjourn.requests.auth import CallerPolicy, app_engine_cron, app_engine_task, bearer_token
from adjourn.settings import Platform, Settings

T = TypeVar("T")

Receiver = Callable[[Delivery], Outcome]


@dataclass(kw_only=True, eq=False, repr=False)
class Gate:
    """Admits only the deliveries of accepted callers to a receiver."""

    adapters: Adapters
    settings: Settings

    def admit_tasks(self, own_url: str, receiver: Receiver) -> Receiver:
        """Return a receiver that admits the tasks of Cloud Tasks to the function at `own_url`."""
        return self._admit(own_url, receiver, _app_engine_task)

    def admit_ticks(self, own_url: str, receiver: Receiver) -> Receiver:
        """Return a receiver that admits Cloud Scheduler to the function at `own_url`."""
        return self._admit(own_url, receiver, _app_engine_cron)

    def _admit(
        self, own_url: str, receiver: Receiver, check_app_engine: Callable[[Delivery], object]
    ) -> Receiver:
        if self.settings.platform == Platform.APP_ENGINE:
            receive = _checked(check_app_engine, receiver)
            return lambda delivery: receive(delivery.as_app_engine_says())
        policy = CallerPolicy(
            audiences=self.settings.accepted_audiences(own_url),
            emails=self.settings.accepted_callers(),
        )
        verifier, clock = self.adapters.verifier, self.adapters.clock

        def check_token(delivery: Delivery) -> None:
            policy.check(verifier.verify(bearer_token(delivery.authorization)), clock.now())

        return _checked(check_token, receiver)


def _app_engine_task(delivery: Delivery) -> None:
    app_engine_task(delivery.app_engine.address, delivery.app_engine.queue)


def _app_engine_cron(delivery: Delivery) -> None:
    app_engine_cron(delivery.app_engine.address, is_cron=delivery.app_engine.is_cron)


def _checked(check: Callable[[Delivery], object], receiver: Receiver) -> Receiver:
    """Return a receiver that checks the caller first and turns errors into outcomes."""

    def receive(delivery: Delivery) -> Outcome:
        def work() -> Outcome:
            check(delivery)
            return receiver(delivery)

        number = delivery.attempt.number
        with bound(queue=delivery.queue, delivery=delivery.task_name, attempt=number):
            return with_outcome(work)

    return receive


def with_outcome(work: Callable[[], T]) -> T | Outcome:
    """Return the result of `work`, or the outcome of the exception that it raises."""
    try:
        return work()
    except UnauthenticatedError as error:
        return _refused(Outcome.UNAUTHENTICATED, error)
    except ForbiddenError as error:
        return _refused(Outcome.FORBIDDEN, error)
    except (StoreError, ConflictError, EnqueueError, KeysUnavailableError) as error:
        event("service.unavailable", logging.WARNING, str(error), error=error)
        return Outcome.TROUBLE
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a fault of ours must not show to the caller
        event("adjourn.fault", logging.CRITICAL, "A fault in adjourn itself", error=error)
        return Outcome.TROUBLE


def _refused(outcome: Outcome, error: Exception) -> Outcome:
    event("caller.refused", logging.WARNING, f"Refused a caller: {error}", reason=str(error))
    return outcome

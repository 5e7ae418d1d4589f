"""The gate in front of the functions: which services are let in, and which outcome comes out.

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
    """Lets the services of Google into the functions, as the settings of the deployment say."""

    settings: Settings
    adapters: Adapters

    def admit_tasks(self, own_url: str, receiver: Receiver) -> Receiver:
        """Return a receiver that admits the tasks of Cloud Tasks to the function of a URL."""
        return self._admit(own_url, receiver, _task_of_app_engine)

    def admit_ticks(self, own_url: str, receiver: Receiver) -> Receiver:
        """Return a receiver that admits the calls of Cloud Scheduler to the function of a URL."""
        return self._admit(own_url, receiver, _cron_of_app_engine)

    def _admit(
        self, own_url: str, receiver: Receiver, of_app_engine: Callable[[Delivery], str]
    ) -> Receiver:
        if self.settings.platform == Platform.APP_ENGINE:
            receive = gated(of_app_engine, receiver)
            return lambda delivery: receive(delivery.as_app_engine_says())
        policy = CallerPolicy(
            audiences=self.settings.accepted_audiences(own_url),
            emails=self.settings.accepted_callers(),
        )

        def identify(delivery: Delivery) -> str:
            claims = self.adapters.verifier.verify(bearer_token(delivery.authorization))
            return policy.check(claims, self.adapters.clock.now())

        return gated(identify, receiver)


def gated(identify: Callable[[Delivery], object], handler: Receiver) -> Receiver:
    """Let nothing in but what comes from an accepted caller, and nothing out but an outcome.

    Args:
        identify: Raises a `CallerError` that says why the caller of a delivery is none.
        handler: What the deliveries are for.
    """

    def receive(delivery: Delivery) -> Outcome:
        def work() -> Outcome:
            identify(delivery)
            return handler(delivery)

        number = delivery.attempt.number
        with bound(queue=delivery.queue, delivery=delivery.task_name, attempt=number):
            return settled(work)

    return receive


def settled(work: Callable[[], T]) -> T | Outcome:
    """Return what the work returns, or the outcome that whatever it raises comes to."""
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


def _task_of_app_engine(delivery: Delivery) -> str:
    return app_engine_task(delivery.app_engine.address, delivery.app_engine.queue)


def _cron_of_app_engine(delivery: Delivery) -> str:
    return app_engine_cron(delivery.app_engine.address, is_cron=delivery.app_engine.is_cron)

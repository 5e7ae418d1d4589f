"""The gate in front of everything: who is let in, and which outcome comes out.

Whatever happens ends in one `Outcome`; `adjourn.requests.http` maps it to an HTTP status.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
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

T = TypeVar("T")

Receiver = Callable[[Delivery], Outcome]


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

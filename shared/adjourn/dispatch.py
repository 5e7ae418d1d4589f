"""The gate in front of everything: who is let in, and which outcome comes out.

Whatever happens ends in one `Outcome`; `adjourn.http` holds the one table from there to a status.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from adjourn.delivery import Delivery, Outcome
from adjourn.errors import (
    ConflictError,
    EnqueueError,
    ForbiddenError,
    KeysUnavailableError,
    StoreError,
    UnauthenticatedError,
)
from adjourn.log import bound, event

T = TypeVar("T")

Handler = Callable[[Delivery], Outcome]


@dataclass(kw_only=True, eq=False, repr=False)
class Gate:
    """Lets nobody in but who can be identified, and nothing out but an outcome.

    Attributes:
        identify: Names the caller of a delivery, or raises a `CallerError` that says why not.
    """

    identify: Callable[[Delivery], str]

    def admit(self, delivery: Delivery, handler: Handler) -> Outcome:
        """Verify the caller, run the handler and turn whatever it raises into an outcome."""
        with bound(
            queue=delivery.queue, delivery=delivery.task_name, attempt=delivery.attempt.number
        ):
            return settled(lambda: self._handled(delivery, handler))

    def _handled(self, delivery: Delivery, handler: Handler) -> Outcome:
        self.identify(delivery)
        return handler(delivery)


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

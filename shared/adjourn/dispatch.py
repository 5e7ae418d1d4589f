"""From a delivery to its outcome: verify, decode, look up, run, classify.

Whatever happens ends in one `Outcome`; `adjourn.http` holds the one table from there to a status.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from adjourn.cron import Cron
from adjourn.deadletters import DeadLetters, body_id
from adjourn.delivery import Delivery, Outcome
from adjourn.errors import (
    ConflictError,
    DecodeError,
    EnqueueError,
    ForbiddenError,
    KeysUnavailableError,
    StoreError,
    UnauthenticatedError,
    UnknownNameError,
)
from adjourn.log import bound, event
from adjourn.queryiter import Iterations, Step
from adjourn.runs import Verdict

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
            try:
                self.identify(delivery)
                return handler(delivery)
            except UnauthenticatedError as error:
                return _refused(Outcome.UNAUTHENTICATED, error)
            except ForbiddenError as error:
                return _refused(Outcome.FORBIDDEN, error)
            except (StoreError, ConflictError, EnqueueError, KeysUnavailableError) as error:
                event("service.unavailable", logging.WARNING, str(error), error=error)
                return Outcome.TROUBLE
            except Exception as error:  # noqa: BLE001 - a fault of ours must not show to the caller
                event("adjourn.fault", logging.CRITICAL, "A fault in adjourn itself", error=error)
                return Outcome.TROUBLE


@dataclass(kw_only=True, eq=False, repr=False)
class StepRunner:
    """Carries out the iteration steps that arrive."""

    iterations: Iterations
    dead: DeadLetters

    def __call__(self, delivery: Delivery) -> Outcome:
        """Carry out one step.

        Raises:
            StoreError: Datastore failed; the step is to be delivered again.
            EnqueueError: The next step was not accepted; the step is to be delivered again.
        """
        try:
            step = Step.decode(delivery.body)
        except DecodeError as error:
            return _bury(self.dead, delivery, error, task_id=body_id(delivery.body), task="")
        with bound(run=step.run_id, step=step.number):
            try:
                verdict = self.iterations.step(step)
            except (UnknownNameError, DecodeError) as error:
                event("iteration.unknown", logging.ERROR, f"{error}; the run waits for it")
                return Outcome.UNKNOWN
        if verdict is Verdict.MISSING:
            missing = UnknownNameError(f"There is no run {step.run_id}.")
            return _bury(self.dead, delivery, missing, task_id=step.task_name(), task="step")
        return _OUTCOMES[verdict]


_OUTCOMES = {
    Verdict.GRANTED: Outcome.DONE,
    Verdict.STALE: Outcome.DONE,
    Verdict.OVER: Outcome.DONE,
    Verdict.EARLY: Outcome.BUSY,
    Verdict.BUSY: Outcome.BUSY,
    Verdict.FAILED: Outcome.FAILED,
}


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


def _bury(
    dead: DeadLetters, delivery: Delivery, error: BaseException, *, task_id: str, task: str
) -> Outcome:
    dead.bury(
        task_id=task_id,
        task=task,
        queue=delivery.queue,
        attempts=delivery.attempt.number,
        body=delivery.body,
        error=error,
    )
    return Outcome.DEAD


def _refused(outcome: Outcome, error: Exception) -> Outcome:
    event("caller.refused", logging.WARNING, f"Refused a caller: {error}", reason=str(error))
    return outcome

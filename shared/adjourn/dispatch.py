"""From a delivery to its outcome: verify, decode, look up, run, classify.

Whatever happens ends in one `Outcome`; `adjourn.http` holds the one table from there to a status.
"""

import datetime as dt
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from adjourn.auth import CallerPolicy, bearer_token
from adjourn.clock import Clock
from adjourn.codec import Codec
from adjourn.cron import Cron
from adjourn.deadletters import DeadLetters
from adjourn.envelope import Envelope
from adjourn.errors import (
    ConflictError,
    DecodeError,
    EnqueueError,
    ForbiddenError,
    KeysUnavailableError,
    PermanentTaskFailure,
    StoreError,
    UnauthenticatedError,
    UnknownNameError,
)
from adjourn.log import bound, event
from adjourn.ports import TokenVerifier
from adjourn.queryiter import Iterations, Step
from adjourn.registry import Registry
from adjourn.retry import Attempt
from adjourn.runs import Verdict
from adjourn.tasks import Task

GRACE = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One request to one of our functions, free of any web framework."""

    authorization: Sequence[str]
    body: bytes
    path: str = "/"
    queue: str = ""
    task_name: str = ""
    attempt: Attempt = field(default_factory=Attempt)
    scheduled: dt.datetime | None = None


class Outcome(Enum):
    """What became of a delivery."""

    DONE = auto()
    DEAD = auto()  # given up, with a record
    FAILED = auto()  # the user's code raised; to be tried again
    BUSY = auto()  # another delivery of the same work is running, or an earlier one must come first
    UNKNOWN = auto()  # names what this revision does not have, perhaps the next one does
    UNAUTHENTICATED = auto()
    FORBIDDEN = auto()
    TROUBLE = auto()  # ours, not the user's: Datastore, keys or queue out of reach


Handler = Callable[[Delivery], Outcome]


@dataclass(kw_only=True, eq=False, repr=False)
class Gate:
    """Lets nobody in but the callers of the policy, and nothing out but an outcome."""

    policy: CallerPolicy
    verifier: TokenVerifier
    clock: Clock

    def admit(self, delivery: Delivery, handler: Handler) -> Outcome:
        """Verify the caller, run the handler and turn whatever it raises into an outcome."""
        with bound(
            queue=delivery.queue, delivery=delivery.task_name, attempt=delivery.attempt.number
        ):
            try:
                token = bearer_token(delivery.authorization)
                self.policy.check(self.verifier.verify(token), self.clock.now())
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
class TaskRunner:
    """Runs the deferred calls that arrive."""

    tasks: Registry[Task[..., Any]]
    codec: Codec
    dead: DeadLetters
    clock: Clock

    def __call__(self, delivery: Delivery) -> Outcome:
        """Run one delivered call, or bury what can never run.

        Raises:
            StoreError: A dead letter could not be written.
        """
        try:
            envelope = Envelope.decode(delivery.body, self.codec)
        except DecodeError as error:
            error.__cause__ = None  # it may quote an argument, and this is logged
            return _bury(self.dead, delivery, error, task_id=_body_id(delivery), task="")
        with bound(task=envelope.task, task_id=envelope.id):
            try:
                task = self.tasks.get(envelope.task)
            except UnknownNameError as error:
                return self._unknown(delivery, envelope, error)
            return self._run(delivery, envelope, task)

    def _run(self, delivery: Delivery, envelope: Envelope, task: Task[..., Any]) -> Outcome:
        try:
            task.function(*envelope.args, **envelope.kwargs)
        except PermanentTaskFailure as error:
            return _bury(self.dead, delivery, error, task_id=envelope.id, task=envelope.task)
        # A task that calls sys.exit() has failed; it must not take the function's process along.
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's code raises
            if delivery.attempt.is_last(envelope.max_retries):
                return _bury(self.dead, delivery, error, task_id=envelope.id, task=envelope.task)
            event("task.failed", logging.WARNING, f"{envelope.task} failed", error=error)
            return Outcome.FAILED
        event("task.done", logging.DEBUG, f"{envelope.task} done")
        return Outcome.DONE

    def _unknown(self, delivery: Delivery, envelope: Envelope, error: UnknownNameError) -> Outcome:
        due = envelope.eta or envelope.enqueued_at
        if self.clock.now() - due > GRACE:
            return _bury(self.dead, delivery, error, task_id=envelope.id, task=envelope.task)
        event("task.unknown", logging.WARNING, f"{error}; it is tried again for an hour")
        return Outcome.UNKNOWN


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
            return _bury(self.dead, delivery, error, task_id=_body_id(delivery), task="")
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


def _body_id(delivery: Delivery) -> str:
    return f"undecodable-{hashlib.sha256(delivery.body).hexdigest()[:32]}"


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

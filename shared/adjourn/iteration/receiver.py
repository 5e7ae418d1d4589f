"""Carry out the iteration steps that arrive."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from adjourn.errors import DecodeError, UnknownNameError
from adjourn.execution.dead_letters import DeadLetterRecorder
from adjourn.execution.delivery import Delivery, Outcome
from adjourn.execution.retry_warning import RetryWarnings
from adjourn.iteration.iterations import Iterations
from adjourn.iteration.runs import Step
from adjourn.iteration.verdicts import Verdict
from adjourn.log import bound, event


@dataclass(kw_only=True, eq=False, repr=False)
class StepRunner:
    """Carries out the iteration steps that arrive.

    Attributes:
        take_over: Sees to a delivery whose body another library wrote; False if it cannot.
    """

    iterations: Iterations
    dead_letters: DeadLetterRecorder
    retry_warnings: RetryWarnings
    take_over: Callable[[Delivery], bool]

    def __call__(self, delivery: Delivery) -> Outcome:
        """Carry out one step.

        Raises:
            StoreError: Datastore failed; the step is to be delivered again.
            EnqueueError: The next step was not accepted; the step is to be delivered again.
        """
        try:
            step = Step.decode(delivery.body)
        except DecodeError as error:
            if self.take_over(delivery):
                return Outcome.DONE
            self.dead_letters.record(delivery, error)
            return Outcome.DEAD
        with bound(run=step.run_id, shard=step.piece, step=step.number):
            self.retry_warnings.check(step.task_name(), "step", delivery.attempt)
            try:
                verdict = self.iterations.step(step, delivery)
            except (UnknownNameError, DecodeError) as error:
                event("iteration.unknown", logging.ERROR, f"{error}; the run waits for it")
                return Outcome.UNKNOWN
        if verdict is Verdict.MISSING:
            missing = UnknownNameError(f"There is no run {step.run_id}.")
            self.dead_letters.record(delivery, missing, task_id=step.task_name(), task="step")
            return Outcome.DEAD
        return _OUTCOMES[verdict]


_OUTCOMES = {
    Verdict.GRANTED: Outcome.DONE,
    Verdict.LEAVE: Outcome.DONE,
    Verdict.STALE: Outcome.DONE,
    Verdict.OVER: Outcome.DONE,
    Verdict.EARLY: Outcome.BUSY,
    Verdict.BUSY: Outcome.BUSY,
    Verdict.OPEN: Outcome.BUSY,
    Verdict.FAILED: Outcome.FAILED,
}

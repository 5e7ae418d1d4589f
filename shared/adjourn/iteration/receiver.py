"""Receive the steps of iterations: decide what a delivered step means, and carry it out.

A step claims its shard by writing a lease and, at its end, records what it did. Both are written
only if nobody else has written since, which the version of the record shows. So a step costs one
lookup and two commits. Only what changes a run and a shard together is a transaction.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import Any

from adjourn.errors import ConflictError, DecodeError, StoreError, UnknownNameError
from adjourn.execution.current_task import CurrentTask, running
from adjourn.execution.dead_letters import DeadLetterRecorder
from adjourn.execution.delivery import TIMEOUT, Delivery, Outcome
from adjourn.execution.retry_warning import RetryWarnings
from adjourn.iteration.control import Runs, first_steps, steps_after
from adjourn.iteration.custom_data import CustomData
from adjourn.iteration.query_iter import QueryIter
from adjourn.iteration.rest import let_rest
from adjourn.iteration.runs import UNINDEXED as RUN_UNINDEXED
from adjourn.iteration.runs import Run, Step, run_key
from adjourn.iteration.shards import UNINDEXED as SHARD_UNINDEXED
from adjourn.iteration.shards import Shard, shard_key
from adjourn.iteration.status import COMING_TO_REST
from adjourn.log import bound, event, is_observed, trace_fields
from adjourn.names import CallIdentity, digest
from adjourn.ports import Versioned
from adjourn.ports.sealer import is_sealed
from adjourn.registry import Registry
from adjourn.serialization.context import LANGUAGE, TRACEPARENT, USER, ContextPropagator, text
from adjourn.settings import Settings
from adjourn.state.transaction_markers import TransactionMarkers


class Decision(Enum):
    """What to do with a delivered step."""

    CARRY_OUT = auto()
    REST = auto()  # the run is being paused or cancelled: end the shard's chain of steps
    REQUEUE_NEXT = auto()  # the run is past this step: make sure that the next one is queued
    WAIT_FOR_PREVIOUS = auto()  # the step before it is not concluded
    WAIT_FOR_LEASE = auto()  # another delivery of the step has the lease
    DROP = auto()  # the run has no next step


@dataclass(kw_only=True, eq=False, repr=False)
class StepReceiver:
    """Receives the steps of iterations that Cloud Tasks delivers.

    Attributes:
        unreleased: Of each shard whose lease could not be given back at the end of a step of this
            process, the token of that step.
    """

    settings: Settings
    iterations: Registry[type[QueryIter[Any]]]
    propagator: ContextPropagator
    custom_data: CustomData
    runs: Runs
    markers: TransactionMarkers
    dead_letters: DeadLetterRecorder
    retry_warnings: RetryWarnings
    unreleased: dict[str, int] = field(default_factory=dict)

    def __call__(self, delivery: Delivery) -> Outcome:
        """Carry out a delivered step, if it is for this delivery to carry out.

        Raises:
            StoreError: Datastore failed. What was handled is recorded if that was possible.
            EnqueueError: The next step was not accepted. A repeated delivery enqueues it.
        """
        try:
            step = Step.decode(delivery.body)
        except DecodeError as error:
            if is_sealed(delivery.body):
                from adjourn.execution.unsealing import await_key  # noqa: PLC0415 - without a key

                adapters = self.runs.adapters
                return await_key(delivery, adapters, self.settings, self.dead_letters)
            self.dead_letters.record(delivery, error)
            return Outcome.DEAD
        with bound(run=step.run_id, shard=step.shard, step=step.number):
            if delivery.attempt.retry_count:
                self.retry_warnings.check(_identity(step), "step", delivery.attempt)
            try:
                outcome = self._receive(step, delivery)
            except (UnknownNameError, DecodeError) as error:
                text = f"{error}; the run waits for it"
                event("iteration.unknown", logging.ERROR, text)
                self._note(step, text)
                return Outcome.UNKNOWN
        if outcome is Outcome.DEAD:
            missing = UnknownNameError(f"There is no run {step.run_id}.")
            self.dead_letters.record(delivery, missing, call=_identity(step), task="step")
        return outcome

    def _receive(self, step: Step, delivery: Delivery) -> Outcome:
        """Return the outcome of a step; DEAD if there is no such run.

        Raises:
            UnknownNameError: The application has no such iteration. The run is left as it is.
            DecodeError: The run's data cannot be read, such as a class that is not registered.
        """
        keys = [run_key(step.run_id)]
        if step.shard is not None:
            keys.append(shard_key(step.run_id, step.shard))
        found, *shards = self.runs.adapters.store.read(keys)
        if found is None:
            return Outcome.DEAD
        run = Run.from_record(step.run_id, found.record)
        self.runs.tell_end(run)  # in case the step that has ended it could not
        if is_observed():
            from adjourn.iteration.observed_runs import described  # noqa: PLC0415 - for those with an SDK

            described(run, step, self.custom_data.codec)
        if step.shard is None:
            return self._receive_run_step(step, delivery, run, found.version)
        if shards[0] is None:  # a void run may be replaced by one with fewer shards
            return Outcome.DONE if step.epoch < run.epoch else Outcome.DEAD
        return self._receive_shard_step(step.shard, step, delivery, run, shards[0])

    def _receive_run_step(self, step: Step, delivery: Delivery, run: Run, version: int) -> Outcome:
        decision = decide(run, step, (run.step, run.lease_until), self.runs.now())
        if decision is Decision.REQUEUE_NEXT:
            self.runs.enqueue(run, first_steps(run))
        if decision is not Decision.CARRY_OUT:
            return _OUTCOMES[decision]
        if run.markers:
            return self._check_transactions(run) or self._receive(step, delivery)
        from adjourn.iteration.run_step import RunStep  # noqa: PLC0415 - most steps are of shards

        return RunStep(
            iteration=self._class_of(run),
            custom_data=self.custom_data,
            runs=self.runs,
            context=partial(self._context, run, delivery),
            run=run,
            version=version,
        ).carry_out()

    def _receive_shard_step(
        self, number: int, step: Step, delivery: Delivery, run: Run, found: Versioned
    ) -> Outcome:
        shard = self._released(Shard.from_record(run.id, number, found.record))
        decision = decide(run, step, (shard.step, shard.lease_until), self.runs.now())
        if decision is Decision.REQUEUE_NEXT:
            self.runs.enqueue(run, steps_after(run, shard))
        if decision is Decision.REST:
            let_rest(self.runs, run, shard)
        if decision is not Decision.CARRY_OUT:
            return _OUTCOMES[decision]
        if run.markers:
            return self._check_transactions(run) or self._receive(step, delivery)
        from adjourn.iteration.shard_step import ShardStep  # noqa: PLC0415 - for the first step

        shard_step = ShardStep(
            iteration=self._class_of(run, shard.tally),
            custom_data=self.custom_data,
            runs=self.runs,
            context=partial(self._context, run, delivery),
            run=run,
            shard=shard,
            version=found.version,
        )
        try:
            return shard_step.carry_out()
        except StoreError:
            if (leased := shard_step.shard).lease_until is not None:
                self.unreleased[leased.name] = leased.token
            raise
        finally:
            if is_observed():
                from adjourn.iteration.observed_runs import note_entities  # noqa: PLC0415 - for those with an SDK

                note_entities(shard, shard_step.shard)

    def _released(self, shard: Shard) -> Shard:
        """Return a shard without the lease of a step that ended here, but could not write that.

        Otherwise an outage at the end of a step would be taken for the death of its process.
        """
        is_over = self.unreleased.pop(shard.name, None) == shard.token
        return shard._replace(lease_until=None) if is_over else shard

    def _class_of(self, run: Run, tally: bytes = b"") -> type[QueryIter[Any]]:
        """Return the class of a run, which only says what it would do in a dry run.

        Raises:
            UnknownNameError: The application has no such iteration.
        """
        cls = self.iterations.get(run.class_name)
        if not run.is_dry:
            return cls
        from adjourn.iteration.dry_run import as_dry_run  # noqa: PLC0415 - rarely needed

        return as_dry_run(cls, tally)

    def _note(self, step: Step, error: str) -> None:
        """Store in the run or shard why its step is not carried out, if it does not say so yet."""
        key = run_key(step.run_id)
        if step.shard is not None:
            key = shard_key(step.run_id, step.shard)
        unindexed = RUN_UNINDEXED if step.shard is None else SHARD_UNINDEXED
        found = self.runs.adapters.store.read([key])[0]
        if found is None or found.record["error"] == error or found.record["lease_until"]:
            return
        noted = {**found.record, "error": error, "updated_at": self.runs.now()}
        if step.shard is not None and noted.get("progressed_at") is None:
            noted["progressed_at"] = found.record["updated_at"]
        with suppress(ConflictError):  # another delivery is carrying the step out
            self.runs.adapters.store.replace(key, noted, version=found.version, unindexed=unindexed)

    def _check_transactions(self, run: Run) -> Outcome | None:
        """Return the outcome unless a transaction in which the run was started was committed."""
        from adjourn.iteration.commit_check import check_transactions  # noqa: PLC0415 - rarely needed

        return check_transactions(self.runs, self.markers, run)

    @contextmanager
    def _context(self, run: Run, delivery: Delivery) -> Iterator[None]:
        """Restore the context of the run's start while its hooks are called."""
        packed = self.custom_data.codec.loads(run.context)
        clock = self.runs.adapters.clock
        current = CurrentTask(
            id=run.id,
            task=run.class_name,
            name=delivery.task_name,
            queue=run.queue,
            attempt=delivery.attempt.number,
            retry_count=delivery.attempt.retry_count,
            is_last_attempt=False,
            enqueued_at=run.started_at,
            eta=None,
            user=text(packed, USER),
            language=text(packed, LANGUAGE),
            deadline=clock.now() + TIMEOUT,
            _clock=clock,
            _settle=None,
        )
        traceparent = text(packed, TRACEPARENT)
        if is_observed():
            from adjourn.telemetry.trace_context import traceparent_in  # noqa: PLC0415 - for those with an SDK

            traceparent = traceparent_in() or traceparent
        trace = trace_fields(self.settings.project, traceparent)
        logged = bound(iteration=run.iteration, **trace)
        with logged, running(current), self.propagator.restored(packed):
            yield


def decide(
    run: Run, step: Step, place: tuple[int, dt.datetime | None], now: dt.datetime
) -> Decision:
    """Decide what to do with a delivered step.

    Args:
        run: The run.
        step: The step that was delivered.
        place: Of its shard, or of the run as a whole: the number of the next step, and until when
            that is leased (None if it is not).
        now: The present.
    """
    number, lease_until = place
    if not run.is_live:
        return Decision.DROP
    if step.epoch < run.epoch:  # the steps of the new epoch replace it
        return Decision.REQUEUE_NEXT
    is_here = not run.active if step.shard is None else step.shard in run.active
    if not is_here or step.number < number:
        return Decision.REQUEUE_NEXT
    if step.number > number or step.epoch > run.epoch:
        return Decision.WAIT_FOR_PREVIOUS
    if lease_until is not None and lease_until > now:
        return Decision.WAIT_FOR_LEASE
    is_coming_to_rest = step.shard is not None and run.status in COMING_TO_REST
    return Decision.REST if is_coming_to_rest else Decision.CARRY_OUT


def _identity(step: Step) -> CallIdentity:
    return CallIdentity(step.task_name(), digest(step.encode()))


_OUTCOMES = {
    Decision.REST: Outcome.DONE,
    Decision.REQUEUE_NEXT: Outcome.DONE,
    Decision.DROP: Outcome.DONE,
    Decision.WAIT_FOR_PREVIOUS: Outcome.BUSY,
    Decision.WAIT_FOR_LEASE: Outcome.BUSY,
}

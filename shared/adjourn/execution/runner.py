"""Run the deferred calls that arrive: whether one may run, and what follows from its end."""

from __future__ import annotations

import datetime as dt
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any

from adjourn.clock import Clock
from adjourn.error_text import error_line
from adjourn.errors import (
    ConflictError,
    DecodeError,
    Discard,
    PermanentTaskFailure,
    RetryLater,
    Snooze,
    StoreError,
    UnknownNameError,
)
from adjourn.execution.call import Call
from adjourn.execution.current_task import running
from adjourn.execution.dead_letters import KEPT, DeadLetters
from adjourn.execution.delivery import TIMEOUT, Delivery, Outcome
from adjourn.execution.retry_warning import Alerts
from adjourn.log import bound, event, trace_fields
from adjourn.registry import Registry
from adjourn.serialization.codec import Codec
from adjourn.serialization.context import TRACEPARENT, Carrier, text
from adjourn.serialization.envelope import Envelope
from adjourn.state.large_payloads import Payloads
from adjourn.state.once import Claim, Ledger
from adjourn.state.transaction_markers import Fate, Guard, wait
from adjourn.tasks.methods import resolved
from adjourn.tasks.task import Enqueuer, Task

GRACE = dt.timedelta(hours=1)

# What clocks may differ by: a lease outlasts its attempt by that much.
_SKEW = dt.timedelta(seconds=10)

# After the last attempt that the queue makes.
_REST = dt.timedelta(minutes=1)
_LONGEST_REASON = 500

Translate = Callable[[Delivery, dt.datetime], Delivery]


class _Ending(Enum):
    """How an attempt ended."""

    DONE = auto()
    DEAD = auto()
    FAILED = auto()  # to be tried again by Cloud Tasks
    PUT_BACK = auto()  # under a new task


_OUTCOMES = {
    _Ending.DONE: Outcome.DONE,
    _Ending.DEAD: Outcome.DEAD,
    _Ending.FAILED: Outcome.FAILED,
    _Ending.PUT_BACK: Outcome.DONE,
}


@dataclass(kw_only=True, eq=False, repr=False)
class TaskRunner:
    """Runs the deferred calls that arrive.

    Attributes:
        translate: Returns a delivery with a body of ours for one that another library wrote.
        follow: Is told of each call that was put back, and the full name of its new task.
        attempts_of: Tells how often a queue tries a task.
    """

    tasks: Registry[Task[..., Any]]
    codec: Codec
    enqueuer: Enqueuer
    dead: DeadLetters
    ledger: Ledger
    alerts: Alerts
    guard: Guard
    payloads: Payloads
    carrier: Carrier
    translate: Translate
    follow: Callable[[Envelope, str], None]
    attempts_of: Callable[[str], int]
    project: str
    clock: Clock
    longest: dt.timedelta

    def __call__(self, delivery: Delivery) -> Outcome:
        """Run one delivered call, or bury what can never run.

        Raises:
            StoreError: A record could not be read or written; nothing may be acknowledged.
            EnqueueError: A call could not be put back; nothing may be acknowledged.
        """
        try:
            delivery = self.translate(delivery, self.clock.now())
            envelope = Envelope.decode(delivery.body, self.codec)
        except DecodeError as error:
            error.__cause__ = None  # it may quote an argument, and this is logged
            self.dead.bury(delivery, error)
            return Outcome.DEAD
        call = Call.of(envelope, delivery, self.attempts_of(delivery.queue))
        trace = trace_fields(self.project, text(envelope.context, TRACEPARENT))
        with bound(task=envelope.task, task_id=envelope.id, attempt=call.attempt.number, **trace):
            return self._rescued(call) if call.is_queues_last else self._admit(call)

    def _rescued(self, call: Call) -> Outcome:
        """Admit the queue's last attempt; what then has not ended goes on under a new task."""
        error: Exception | None = None
        try:
            outcome = self._admit(call)
        except Exception as trouble:  # noqa: BLE001 - whatever it is, the call must not be lost
            outcome, error = Outcome.TROUBLE, trouble
        if outcome in {Outcome.DONE, Outcome.DEAD}:
            return outcome
        text = (
            f"{call.envelope.task} goes on as a new task; this one was at its queue's last attempt"
        )
        event("task.rescued", logging.WARNING, text, error=error)
        return _OUTCOMES[self._put_back(call, self.clock.now() + _REST, spent=False)]

    def _admit(self, call: Call) -> Outcome:
        """Let a call run unless it is too late, too early, unknown or claimed by another."""
        envelope, now = call.envelope, self.clock.now()
        if envelope.expires_at is not None and now >= envelope.expires_at:
            event("task.expired", logging.WARNING, f"{envelope.task} has expired; it is dropped")
            self.payloads.discard(envelope)
            return Outcome.DONE
        if envelope.eta is not None and envelope.eta - now > _SKEW:
            return _OUTCOMES[self._put_back(call, envelope.eta, spent=False)]
        if envelope.marker:
            if outcome := self._awaited(call):
                return outcome
            # Committed for good: the marker may have expired when the call has put itself off.
            call = call._replace(envelope=envelope._replace(marker=""))
        call = self._fetched(call)
        try:
            task = resolved(self.tasks.get(envelope.task), call.envelope.args)
        except UnknownNameError as error:
            return self._unknown(call, error)
        self.alerts.retried(envelope.id, envelope.task, call.attempt)
        if envelope.once or envelope.no_retry:
            return self._run_claimed(call, task)
        ending = self._run(call, task, None)
        if ending is _Ending.DONE:
            self.payloads.discard(envelope)
        return _OUTCOMES[ending]

    def _fetched(self, call: Call) -> Call:
        """Return the call with its arguments; a claim tells whether it matters that they are gone.

        They are fetched before the call is claimed, so that one which must not be begun twice is
        not spent when Datastore is away.
        """
        if call.envelope.stowed is None:
            return call
        try:
            return call._replace(envelope=self.payloads.fetch(call.envelope, self.codec))
        except DecodeError as error:
            error.__cause__ = None  # it may quote an argument, and this is logged
            return call._replace(unreadable=error)

    def _awaited(self, call: Call) -> Outcome | None:
        """Return what to do with a guarded call; None if its transaction was committed."""
        envelope = call.envelope
        fate = self.guard.fate(envelope.marker, envelope.enqueued_at)
        if fate is Fate.GONE:
            event("task.rolled_back", logging.INFO, f"{envelope.task}: no commit; it is dropped")
            self.payloads.discard(envelope)
            return Outcome.DONE
        if fate is Fate.OPEN:
            at = self.clock.now() + wait(envelope.resumed)
            return _OUTCOMES[self._put_back(call, at, spent=False)]
        return None

    def _unknown(self, call: Call, error: UnknownNameError) -> Outcome:
        due = call.envelope.eta or call.envelope.enqueued_at
        if self.clock.now() - due > GRACE:
            return _OUTCOMES[self._bury(call, error)]
        event("task.unknown", logging.WARNING, f"{error}; it is tried again for an hour")
        return Outcome.UNKNOWN

    def _run_claimed(self, call: Call, task: Task[..., Any]) -> Outcome:
        envelope = call.envelope
        lease = (envelope.timeout or TIMEOUT) + _SKEW
        claimed = self.ledger.claim(envelope.id, lease, no_retry=envelope.no_retry)
        if claimed.claim is Claim.DONE:
            event("task.duplicate", logging.INFO, f"{envelope.task} has taken effect before")
            return Outcome.DONE
        if claimed.claim is Claim.BUSY:
            return Outcome.BUSY
        if claimed.claim is Claim.ABANDONED:
            crashed = PermanentTaskFailure("It was begun before, never ended and has no retry.")
            return _OUTCOMES[self._bury(call, crashed, task)]
        settle_in = partial(self.ledger.settle_in, call=envelope.id, token=claimed.token)
        ending = self._run(call, task, settle_in)
        is_over = ending in {_Ending.DONE, _Ending.DEAD}
        try:
            is_settled = self.ledger.settle(envelope.id, claimed.token, done=is_over)
        except (StoreError, ConflictError) as error:
            # It has ended as it has: another delivery, after the lease, would run it once more.
            event("service.unavailable", logging.WARNING, str(error), error=error)
            return _OUTCOMES[ending]
        if not is_settled:
            event("task.fenced", logging.WARNING, f"{envelope.task} outlived its lease")
        elif ending is _Ending.DONE:
            self.payloads.discard(envelope)
        return _OUTCOMES[ending]

    def _run(
        self, call: Call, task: Task[..., Any], settle: Callable[[object], None] | None
    ) -> _Ending:
        name = call.envelope.task
        if call.unreadable:
            return self._bury(call, call.unreadable, task)
        try:
            with (
                running(call.current(self.clock, self.longest, settle)),
                self.carrier.unpacked(call.envelope.context),
            ):
                _check_ran(task.function(*call.envelope.args, **call.envelope.kwargs))
        except Discard as reason:
            event(
                "task.discarded",
                logging.INFO,
                f"{name} is no longer wanted: {error_line(reason, _LONGEST_REASON)}",
            )
        except Snooze as snooze:
            event("task.snoozed", logging.INFO, f"{name} comes back in {snooze.after}")
            return self._put_back(call, self.clock.now() + snooze.after, spent=False)
        except PermanentTaskFailure as error:
            return self._bury(call, error, task)
        except KeyboardInterrupt:
            raise
        # Also what is no Exception, such as SystemExit and asyncio's CancelledError: the task has
        # failed, and must not take the function's process along.
        except BaseException as error:  # noqa: BLE001 - whatever the user's code raises
            return self._failed(call, error, task)
        else:
            event("task.done", logging.DEBUG, f"{name} done")
        return _Ending.DONE

    def _failed(self, call: Call, error: BaseException, task: Task[..., Any]) -> _Ending:
        if call.is_last:
            return self._bury(call, error, task)
        event("task.failed", logging.WARNING, f"{call.envelope.task} failed", error=error)
        if isinstance(error, RetryLater):
            return self._put_back(call, self.clock.now() + error.after, spent=True)
        return _Ending.FAILED

    def _bury(
        self, call: Call, error: BaseException, task: Task[..., Any] | None = None
    ) -> _Ending:
        self.payloads.keep(call.envelope, self.clock.now() + KEPT)
        self.dead.bury(
            call.delivery,
            error,
            task_id=call.envelope.id,
            task=call.envelope.task,
            attempts=call.attempt.number,
            hook=task.on_dead if task else None,
        )
        return _Ending.DEAD

    def _put_back(self, call: Call, at: dt.datetime, *, spent: bool) -> _Ending:
        """Enqueue the call again, under a name that makes a repetition harmless."""
        handle = self.enqueuer.resume(
            call.envelope._replace(
                queue=call.envelope.queue or call.delivery.queue,
                resumed=call.envelope.resumed + 1,
                attempts=call.attempt.retry_count + spent,
                executions=call.attempt.execution_count + spent,
            ),
            at,
        )
        self.follow(call.envelope, handle.name)
        return _Ending.PUT_BACK


def _check_ran(result: object) -> None:
    """Refuse what a decorator has hidden until now: a function of which a call runs nothing.

    Raises:
        PermanentTaskFailure: It is asynchronous.
    """
    if inspect.iscoroutine(result):
        result.close()
        raise PermanentTaskFailure("It returned a coroutine, of which nothing has run; use def.")

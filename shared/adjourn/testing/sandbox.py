"""An application with its outside world in memory."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any, ParamSpec, overload

from adjourn.app import App
from adjourn.delivery import Asked, Delivery, Outcome, Reply
from adjourn.envelope import Envelope
from adjourn.options import is_aware
from adjourn.ports import Target
from adjourn.retry import Attempt
from adjourn.settings import Settings
from adjourn.tasks import Task
from adjourn.testing.calls import EnqueuedCall, Wanted
from adjourn.testing.clock import FakeClock
from adjourn.testing.failures import listening
from adjourn.testing.queries import MemoryQueries
from adjourn.testing.queue import MemoryQueue, Queued
from adjourn.testing.store import MemoryStore
from adjourn.testing.transactions import MemoryTransactions
from adjourn.testing.verifier import MemoryVerifier

P = ParamSpec("P")

SETTINGS = Settings(
    project="sandbox",
    location="europe-west1",
    deferred_url="https://deferred.example",
    queryiter_url="https://queryiter.example",
    cron_url="https://cron.example",
    service_account="tasks@sandbox.iam.gserviceaccount.com",
    people_audiences=("people.example",),
)

# What Cloud Tasks waits before a first retry, and at most, unless a queue or task says otherwise.
_MIN_BACKOFF, _MAX_BACKOFF = dt.timedelta(seconds=0.1), dt.timedelta(hours=1)
_MOST = 1000
_ENDED = {Outcome.DONE, Outcome.DEAD}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """An application with its outside world in memory.

    Attributes:
        app: The application.
        clock: Its time, which stands still until `travel` moves it.
        queue: Cloud Tasks.
        store: Datastore, as far as adjourn keeps state in it.
        queries: What the iterations of the application find.
        verifier: Who gives out tokens.
        transactions: In which calls can be made that wait for its end.
        is_inline: Whether tasks run as soon as they are due, without being drained.
        fails_fast: Whether what tasks raise is raised in the test.
    """

    app: App
    clock: FakeClock
    queue: MemoryQueue
    store: MemoryStore
    queries: MemoryQueries
    verifier: MemoryVerifier
    transactions: MemoryTransactions
    is_inline: bool = False
    fails_fast: bool = False
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def deliver(self, queued: Queued) -> Outcome:
        """Deliver a task once and settle it as Cloud Tasks would; a failed one stays queued."""
        with listening() as failures:
            # In production it would run elsewhere, with none of this context's variables.
            outcome = Context().run(self._receive, queued)
        if outcome in _ENDED:
            self.queue.settle(queued)
        else:
            executed = outcome is not Outcome.TROUBLE
            queued.last_status = outcome.name.lower()
            queued.attempt = Attempt(
                retry_count=queued.attempt.retry_count + 1,
                execution_count=queued.attempt.execution_count + executed,
            )
            if self.is_inline:
                queued.due = self.clock.now() + _backoff(queued)
        if self.fails_fast:
            failures.check(queued.task.label, outcome)
        return outcome

    def drain(self, limit: int = _MOST) -> list[Outcome]:
        """Deliver what is due, and what that enqueues, until nothing is or something fails.

        Returns:
            What became of each delivery.

        Raises:
            Exception: What a task raised, in a sandbox that fails fast.
            AssertionError: More than `limit` deliveries were made.
        """
        with self._alone():
            return self._deliver_due(limit)

    def travel(
        self, *, to: dt.datetime | None = None, by: dt.timedelta | float | None = None
    ) -> None:
        """Move the clock on, `to` a time or `by` a duration, which may be given in seconds.

        In an inline sandbox, what becomes due on the way runs, each at its own time. The clock is
        that of adjourn; whatever else reads the time sees the machine's.

        Raises:
            ValueError: It is not exactly one of them, naive, or in the past.
        """
        now = self.clock.now()
        if (to is None) == (by is None):
            raise ValueError("Give either to= or by=.")
        if by is not None:
            to = now + (by if isinstance(by, dt.timedelta) else dt.timedelta(seconds=by))
        if to is None or not is_aware(to) or to < now:
            raise ValueError(f"{to} must be an aware datetime, and not before {now}.")
        while self.is_inline and (ahead := self.queue.next_due()) and ahead <= to:
            self.clock.advance(ahead - self.clock.now())
            self.drain()
        self.clock.advance(to - self.clock.now())

    def enqueued(self, task: Task[..., Any] | None = None) -> list[EnqueuedCall]:
        """Return the calls that were enqueued, of one task or all; not those that were cancelled.

        They are there for as long as the sandbox, whether or not they have run.
        """
        calls = [
            EnqueuedCall(self._decoded(queued), queued.name.rsplit("/", 1)[1])
            for queued in self.queue.accepted
            if queued.task.target is Target.DEFERRED
        ]
        firsts = [call for call in calls if not call.envelope.resumed]
        return [call for call in firsts if task is None or call.task == task.name]

    @overload
    def assert_enqueued(self, task: Task[..., Any], whatever: EllipsisType, /) -> EnqueuedCall: ...
    @overload
    def assert_enqueued(
        self, task: Task[P, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> EnqueuedCall: ...
    def assert_enqueued(self, task: Task[..., Any], /, *args: Any, **kwargs: Any) -> EnqueuedCall:
        """Make sure that a call was enqueued, and return it; the last one, if there are several.

        Arguments may be given by position or by name, defaults may be left out; `...` alone stands
        for whatever arguments, and `unittest.mock.ANY` for one. With options, the call must have
        been made with the same: `assert_enqueued(send.options(queue="mail"), "A-1")`.

        Raises:
            AssertionError: There is none; the message tells which ones there are, nearest first.
            TypeError: It is no task, or its function does not take these arguments.
            UnknownNameError: The task is not one of this application.
        """
        if not isinstance(task, Task):
            raise TypeError(f"{task!r} is no task; give what @app.deferred has made.")
        wiring = self.app.wiring()
        wanted = Wanted(
            task=task,
            declared=wiring.tasks.get(task.name),
            args=args,
            kwargs=kwargs,
            default_queue=wiring.settings.queue,
        )
        calls = self.enqueued()
        found = wanted.found(calls)
        if found is None:
            raise AssertionError(wanted.missing(calls))
        return found

    def tick(self, cron_name: str = "default", scheduled: dt.datetime | None = None) -> Outcome:
        """Call the cron function as Cloud Scheduler does.

        Raises:
            AssertionError: It was not done, in a sandbox that fails fast.
        """
        wiring = self.app.wiring()
        delivery = self.delivery(wiring.settings.cron_url, b"", path=f"/{cron_name}")
        with self._alone(), listening() as failures:  # what it enqueues runs after it
            outcome = wiring.receive_tick(delivery._replace(scheduled=scheduled))
        if self.fails_fast:
            failures.check(f"The tick {cron_name!r}", outcome)
        if self.is_inline:
            self.run_due()
        return outcome

    def ask(
        self, email: str, key: str | None = None, parameters: Mapping[str, object] | None = None
    ) -> Reply:
        """List the callable tasks as a person, or start the one with this key."""
        wiring = self.app.wiring()
        audience = next(iter(wiring.settings.people_audiences), "")
        asked = Asked(
            authorization=[f"Bearer {self.verifier.token(email, audience)}"],
            method="GET" if key is None else "POST",
            key=key,
            content_type="application/json",
            body=json.dumps(dict(parameters or {})).encode(),
        )
        return wiring.receive_person(asked)

    def delivery(self, url: str, body: bytes, path: str = "/") -> Delivery:
        """Return a delivery to one of our functions, with a token that opens it."""
        token = self.verifier.token(self.app.wiring().settings.service_account, url)
        return Delivery(authorization=[f"Bearer {token}"], body=body, path=path)

    def run_due(self) -> None:
        """Drain, unless that is being done: what a task enqueues comes after the task."""
        is_first = True
        while is_first and self.queue.due():
            with self._alone() as is_first:
                if is_first:
                    self._deliver_due(_MOST)

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Keep what is enqueued meanwhile from running at once; say whether nobody else does."""
        is_first = self._busy.acquire(blocking=False)
        try:
            yield is_first
        finally:
            if is_first:
                self._busy.release()

    def _deliver_due(self, limit: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while due := self.queue.due():
            if len(outcomes) >= limit:
                raise AssertionError(f"After {limit} deliveries {len(due)} tasks are still due.")
            outcomes.append(self.deliver(due[0]))
            if outcomes[-1] not in _ENDED and not self.is_inline:
                break
        return outcomes

    def _decoded(self, queued: Queued) -> Envelope:
        enqueuer = self.app.wiring().enqueuer
        envelope = Envelope.decode(queued.task.body, enqueuer.codec)
        return enqueuer.payloads.fetch(envelope, enqueuer.codec) if envelope.stowed else envelope

    def _receive(self, queued: Queued) -> Outcome:
        wiring, task = self.app.wiring(), queued.task
        url, receive = {
            Target.DEFERRED: (wiring.settings.deferred_url, wiring.receive_task),
            Target.QUERYITER: (wiring.settings.queryiter_url, wiring.receive_step),
        }[task.target]
        delivery = self.delivery(url, task.body)
        return receive(
            delivery._replace(
                queue=task.queue,
                task_name=queued.name.rsplit("/", 1)[1],
                attempt=queued.attempt,
            )
        )


def _backoff(queued: Queued) -> dt.timedelta:
    first, longest = queued.task.min_backoff, queued.task.max_backoff
    wait = (first or _MIN_BACKOFF) * (1 << min(queued.attempt.retry_count - 1, 16))
    return min(wait, longest or _MAX_BACKOFF)

"""An application with its outside world in memory."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, ParamSpec, overload

from adjourn.execution.delivery import Asked, Outcome, Reply
from adjourn.execution.replay import DeadLetterFilter, StoredDeadLetter, StoredDeadLetters
from adjourn.ports import Target
from adjourn.serialization.envelope import Envelope
from adjourn.settings import Settings
from adjourn.tasks.task import Task
from adjourn.testing.calls import EnqueuedCall, Wanted
from adjourn.testing.clock import destination
from adjourn.testing.deliveries import Deliveries
from adjourn.testing.failures import listening
from adjourn.testing.queries import MemoryQueries
from adjourn.testing.queue import Queued
from adjourn.testing.store import MemoryStore
from adjourn.testing.transactions import MemoryTransactions

P = ParamSpec("P")

# The deployment that a sandbox stands for, unless another one is given; change it with
# `dataclasses.replace`.
SETTINGS = Settings(
    project="sandbox",
    location="europe-west1",
    deferred_url="https://deferred.example",
    queryiter_url="https://queryiter.example",
    cron_url="https://cron.example",
    service_account="tasks@sandbox.iam.gserviceaccount.com",
    people_audiences=("people.example",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox(Deliveries):
    """An application with its outside world in memory.

    It is at work in its `with` block; behind that, `enqueued` and `assert_enqueued` still tell.

    Attributes:
        app: The application.
        wiring: Its working parts in this sandbox.
        clock: Its time, which stands still until `travel` moves it.
        queue: Cloud Tasks.
        store: Datastore, as far as adjourn keeps state in it.
        queries: What the iterations of the application find.
        verifier: Who gives out tokens.
        transactions: In which calls can be made that wait for its end.
        is_inline: Whether tasks run as soon as they are due, without being drained.
        fails_fast: Whether what tasks raise is raised in the test.
    """

    store: MemoryStore
    queries: MemoryQueries
    transactions: MemoryTransactions

    def travel(
        self, *, to: dt.datetime | None = None, by: dt.timedelta | float | None = None
    ) -> None:
        """Move the clock on, `to` a time or `by` a duration, which may be given in seconds.

        In an inline sandbox, what becomes due on the way runs, each at its own time. The clock is
        that of adjourn; whatever else reads the time sees the machine's.

        Nobody calls the cron function on the way; that is what `tick` is for.

        Args:
            to: An aware datetime.
            by: A duration, in seconds if it is a number.

        Raises:
            ValueError: It is not exactly one of them, naive, or in the past.
            Exception: As for `drain`, in an inline sandbox; the clock stands where it was raised.
        """
        goal = destination(self.clock.now(), to=to, by=by)
        while self.is_inline and (ahead := self.queue.next_due()) and ahead <= goal:
            self.clock.advance(ahead - self.clock.now())
            self.drain()
        self.clock.advance(goal - self.clock.now())

    def enqueued(self, task: Task[..., Any] | None = None) -> list[EnqueuedCall]:
        """Return the calls that were enqueued, in their order, whether or not they have run.

        Those that were cancelled are left out.

        Args:
            task: Only calls of this task are returned; with options, only those made with them.

        Raises:
            TypeError: It is no task.
            UnknownNameError: The task is not one of this application.
        """
        calls = [
            EnqueuedCall(self._decoded(queued), queued.name.rsplit("/", 1)[1])
            for queued in self.queue.accepted
            if queued.task.target is Target.DEFERRED
        ]
        firsts = [call for call in calls if not call.envelope.resumed]
        return firsts if task is None else self._wanted(task, (...,), {}).among(firsts)

    @overload
    def assert_enqueued(self, task: Task[..., Any], whatever: EllipsisType, /) -> EnqueuedCall: ...
    @overload
    def assert_enqueued(
        self, task: Task[P, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> EnqueuedCall: ...
    def assert_enqueued(self, task: Task[..., Any], /, *args: Any, **kwargs: Any) -> EnqueuedCall:
        """Make sure that a call was enqueued, and return it; the last one, if there are several.

        Args:
            task: The task, or method. With options, the call must have been made with the same:
                `assert_enqueued(send.options(queue="mail"), "A-1")`.
            *args: The arguments, in any way in which the function takes them; defaults may be left
                out. `...` alone stands for whatever arguments, and `unittest.mock.ANY` for one.
            **kwargs: Those that are given by name.

        Raises:
            AssertionError: There is none; the message tells which ones there are, nearest first.
            TypeError: It is no task, or its function does not take these arguments.
            UnknownNameError: The task is not one of this application.
        """
        __tracebackhide__ = True  # pytest then shows the line of the test
        wanted, calls = self._wanted(task, args, kwargs), self.enqueued()
        found = wanted.among(calls)
        if not found:
            raise AssertionError(wanted.missing(calls))
        return found[-1]

    def dead_letters(self) -> list[StoredDeadLetter]:
        """Return what was given up, the latest first."""
        letters = StoredDeadLetters(store=self.store, queue=self.queue, clock=self.clock)
        return list(letters.find(DeadLetterFilter()))

    def tick(self, cron_name: str = "default", scheduled: dt.datetime | None = None) -> Outcome:
        """Call the cron function as Cloud Scheduler does, which enqueues what is due.

        Args:
            cron_name: That of the periodic functions.
            scheduled: When the call was due, for one that comes late; now if None.

        Raises:
            Exception: What a task raised, in an inline sandbox that fails fast.
            AssertionError: It was not done, in a sandbox that fails fast.
            RuntimeError: The sandbox is not at work.
        """
        self._check_at_work()
        wiring = self.wiring
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
        """List the callable tasks as a person, or start the one with this key.

        Args:
            email: Who asks.
            key: Of a task; its path in the list.
            parameters: What it is started with.

        Returns:
            The status and content that the person gets.

        Raises:
            RuntimeError: The sandbox is not at work.
        """
        self._check_at_work()
        wiring = self.wiring
        audience = next(iter(wiring.settings.people_audiences), "")
        asked = Asked(
            authorization=[f"Bearer {self.verifier.token(email, audience)}"],
            method="GET" if key is None else "POST",
            key=key,
            content_type="application/json",
            body=json.dumps(dict(parameters or {})).encode(),
        )
        return wiring.receive_person(asked)

    def _wanted(
        self, task: Task[..., Any], args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> Wanted:
        __tracebackhide__ = True
        if not isinstance(task, Task):
            raise TypeError(
                f"{task!r:.200} is no task; give what @app.deferred or @app.periodic has made, and"
                " then the arguments."
            )
        return Wanted(
            task=task,
            declared=self.wiring.tasks.get(task.name),
            args=args,
            kwargs=kwargs,
            default_queue=self.wiring.settings.queue,
        )

    def _decoded(self, queued: Queued) -> Envelope:
        enqueuer = self.wiring.enqueuer
        envelope = Envelope.decode(queued.task.body, enqueuer.codec)
        return enqueuer.payloads.fetch(envelope, enqueuer.codec) if envelope.stowed else envelope

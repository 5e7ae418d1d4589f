"""The sandbox: an application with in-memory twins of Google's services."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, ParamSpec, overload

from adjourn.batches.callbacks import GUARD as BATCH_GUARD
from adjourn.execution.delivery import Outcome, UserRequest, UserResponse
from adjourn.execution.replay import StoredDeadLetters
from adjourn.execution.stored_letters import DeadLetterFilter, StoredDeadLetter
from adjourn.flow.limits import GUARD as FLOW_GUARD
from adjourn.ports import Target
from adjourn.ports.sealer import is_sealed
from adjourn.serialization.envelope import Envelope
from adjourn.settings import Settings
from adjourn.tasks.task import Task
from adjourn.testing.deliveries import Deliveries
from adjourn.testing.enqueued_calls import EnqueuedCall, ExpectedCall
from adjourn.testing.entity_store import MemoryStore
from adjourn.testing.fake_clock import destination
from adjourn.testing.logged_failures import collecting
from adjourn.testing.query_source import MemoryQueries
from adjourn.testing.task_queue import Queued
from adjourn.testing.transactions import MemoryTransactions

P = ParamSpec("P")

_GUARDS = {FLOW_GUARD, BATCH_GUARD}  # which nobody has called

# The settings of a sandbox by default; change them with `dataclasses.replace`.
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
    """An application with in-memory twins of Google's services.

    It is active in its `with` block; `enqueued` and `assert_enqueued` also work after that.

    Attributes:
        app: The application.
        wiring: Its services in this sandbox.
        clock: Its time, which stands still until `travel` moves it.
        queue: Cloud Tasks.
        store: Datastore, for the records of adjourn.
        queries: Datastore, for the queries of the application; add entries to it.
        verifier: Issues and verifies tokens.
        transactions: The transactions of the application; `begin` begins one.
        is_inline: Whether tasks run as soon as they are due, without being drained.
        fails_fast: Whether what tasks raise is raised in the test.
    """

    store: MemoryStore
    queries: MemoryQueries
    transactions: MemoryTransactions

    def travel(
        self, *, to: dt.datetime | None = None, by: dt.timedelta | float | None = None
    ) -> None:
        """Move the clock forward, `to` a time or `by` a duration.

        In an inline sandbox, tasks that become due on the way run, each at its own time. Only
        adjourn reads this clock; all other code sees the machine's time.

        The cron function is not called on the way; call it with `tick`.

        Args:
            to: An aware datetime.
            by: A duration, in seconds if it is a number.

        Raises:
            ValueError: Not exactly one of them is given, or the time is naive or in the past.
            Exception: As for `drain`, in an inline sandbox; the clock then stands at the time of
                the error.
        """
        goal = destination(self.clock.now(), to=to, by=by)
        while self.is_inline and (ahead := self.queue.next_due()) and ahead <= goal:
            self.clock.advance(ahead - self.clock.now())
            self.drain()
        self.clock.advance(goal - self.clock.now())

    def enqueued(self, task: Task[..., Any] | None = None) -> list[EnqueuedCall]:
        """Return the calls that were enqueued, in their order, whether or not they have run.

        Cancelled calls are left out.

        Args:
            task: Return only calls of this task; if it has options, only calls with these.

        Raises:
            TypeError: It is not a task.
            UnknownNameError: The task is not one of this application.
        """
        calls = [
            EnqueuedCall(self._decoded(queued), queued.name.rsplit("/", 1)[1])
            for queued in self.queue.accepted
            if queued.task.target is Target.DEFERRED
        ]
        firsts = [call for call in calls if self._is_call(call)]
        return firsts if task is None else self._expected(task, (...,), {}).among(firsts)

    @overload
    def assert_enqueued(self, task: Task[..., Any], whatever: EllipsisType, /) -> EnqueuedCall: ...
    @overload
    def assert_enqueued(
        self, task: Task[P, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> EnqueuedCall: ...
    def assert_enqueued(self, task: Task[..., Any], /, *args: Any, **kwargs: Any) -> EnqueuedCall:
        """Assert that a call was enqueued, and return it; the last one, if several match.

        Args:
            task: The task, or method. With options, the call must have been made with the same:
                `assert_enqueued(send.options(queue="mail"), "A-1")`.
            *args: The positional arguments; defaults may be left out. `...` alone matches all
                arguments, and `unittest.mock.ANY` matches one.
            **kwargs: The keyword arguments.

        Raises:
            AssertionError: None matches; the message lists the calls, the most similar first.
            TypeError: It is not a task, or its function does not take these arguments.
            UnknownNameError: The task is not one of this application.
        """
        __tracebackhide__ = True  # pytest then shows the line of the test
        expected, calls = self._expected(task, args, kwargs), self.enqueued()
        found = expected.among(calls)
        if not found:
            raise AssertionError(expected.missing(calls))
        return found[-1]

    def dead_letters(self) -> list[StoredDeadLetter]:
        """Return the dead letters, the latest first."""
        letters = StoredDeadLetters.of(self.wiring.adapters)
        return list(letters.find(DeadLetterFilter()))

    def tick(self, cron_name: str = "default", scheduled: dt.datetime | None = None) -> Outcome:
        """Call the cron function as Cloud Scheduler does, so that it enqueues what is due.

        Args:
            cron_name: The cron name of the periodic functions.
            scheduled: When the call was due, if it comes late; now if None.

        Raises:
            Exception: What a task raised, in an inline sandbox that fails fast.
            AssertionError: The function failed, in a sandbox that fails fast.
            RuntimeError: The sandbox is not active.
        """
        self._check_active()
        wiring = self.wiring
        delivery = self.delivery(wiring.settings.cron_url, b"", path=f"/{cron_name}")
        with self._alone(), collecting() as failures:  # the calls that it enqueues run after it
            outcome = wiring.receive_tick(delivery._replace(scheduled=scheduled))
        if self.fails_fast:
            failures.check(f"The tick {cron_name!r}", outcome)
        if self.is_inline:
            self.run_due()
        return outcome

    def ask(
        self, email: str, key: str | None = None, parameters: Mapping[str, object] | None = None
    ) -> UserResponse:
        """List the callable tasks as a user, or start the one with this key.

        Args:
            email: E-mail address of the user.
            key: Key of a task; None for the list.
            parameters: Parameters of the task.

        Returns:
            The status and content of the response.

        Raises:
            RuntimeError: The sandbox is not active.
        """
        self._check_active()
        wiring = self.wiring
        audience = next(iter(wiring.settings.people_audiences), "")
        body = json.dumps(dict(parameters or {})).encode()
        asked = UserRequest(
            authorization=[f"Bearer {self.verifier.token(email, audience)}"],
            method="GET" if key is None else "POST",
            key=key,
            content_type="application/json",
            has_body=True,
            read_body=lambda: body,
        )
        return wiring.receive_person(asked)

    def _is_call(self, call: EnqueuedCall) -> bool:
        """Whether a task is a call: the first task of it, or what waits for the end of a window."""
        if call.envelope.window:
            waiting = self.queue.full_name(call.queue, call.name)
            return waiting in self.queue.tasks and not call.envelope.window["is_throttle"]
        return not call.envelope.resumed and call.task not in _GUARDS

    def _expected(
        self, task: Task[..., Any], args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> ExpectedCall:
        __tracebackhide__ = True
        if not isinstance(task, Task):
            raise TypeError(
                f"{task!r:.200} is not a task; give what @app.deferred or @app.periodic has made,"
                " and then the arguments."
            )
        return ExpectedCall(
            task=task,
            declared=self.wiring.tasks.get(task.name),
            args=args,
            kwargs=kwargs,
            default_queue=self.wiring.settings.queue,
        )

    def _decoded(self, queued: Queued) -> Envelope:
        enqueuer, sealer, task = self.wiring.enqueuer, self.wiring.adapters.sealer, queued.task
        body = task.body
        if sealer and is_sealed(body):
            body = sealer.open(body, task.queue, queued.name.rsplit("/", 1)[1])
        envelope = Envelope.decode(body, enqueuer.codec)
        return enqueuer.payloads.fetch(envelope, enqueuer.codec) if envelope.stowed else envelope

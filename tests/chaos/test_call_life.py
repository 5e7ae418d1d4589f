"""The whole life of calls, in every order of what can happen to them, against a model of it.

Each call ends once: done, discarded, dropped with an event, cancelled, or as a dead letter. None is
lost, whatever dies at whatever moment, and limits are exceeded by what nobody can know alone.
"""

import contextlib
import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from adjourn import App, Discard, PermanentTaskFailure, RetryLater, Snooze, TaskHandle, current_task
from adjourn.errors import StoreError
from adjourn.execution.attempt import Attempt
from adjourn.execution.delivery import Outcome
from adjourn.serialization.envelope import Envelope
from adjourn.serialization.verbatim import VERBATIM
from adjourn.testing import SETTINGS, Queued, Sandbox, sandbox

LIMIT = 5  # of the queue
SECOND = dt.timedelta(seconds=1)
MINUTE = dt.timedelta(minutes=1)
DAY = dt.timedelta(days=1)
DIES = KeyboardInterrupt  # nothing of ours catches it

ENDINGS: dict[str, Callable[[], BaseException]] = {
    "fail": lambda: RuntimeError("fail"),
    "permanent": lambda: PermanentTaskFailure("permanent"),
    "discard": lambda: Discard("not wanted"),
    "snooze": lambda: Snooze(MINUTE),
    "retry": lambda: RetryLater(MINUTE),
    "die": DIES,
}
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "max_retries": st.integers(0, 3),
        "delay": st.sampled_from([10, 3600, 40 * 86_400]),
        "expires": st.sampled_from([60, 86_400]),
        "once": st.booleans(),
    },
) | st.just({"no_retry": True})


@dataclass
class Life:
    """What the model knows of one call.

    Attributes:
        spent: Executions that used up a retry.
        excused: What may have been spent without anybody's knowledge.
    """

    handle: TaskHandle
    options: dict[str, Any]
    begun: int = 0
    spent: int = 0
    snoozed: int = 0
    excused: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    cancelled: bool = False


class CallLives(RuleBasedStateMachine):
    """Calls, the two revisions that run them, and all that goes wrong on the way."""

    @initialize()
    def begin(self) -> None:
        self.lives: dict[str, Life] = {}
        self.ending = ""
        self.stack = contextlib.ExitStack()
        new, old = App(), App()  # the old revision knows no task

        @new.deferred(name="work")
        def work() -> None:
            self._work()

        self.work = work
        configured = replace(SETTINGS, max_attempts={"": LIMIT})
        self.box = self.stack.enter_context(sandbox(new, configured))
        adapters = self.box.wiring.adapters
        wiring = self.stack.enter_context(old.rewired(configured, adapters))
        self.old = replace(self.box, app=old, wiring=wiring)
        self.seen: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: self.seen.append(  # type: ignore[method-assign]
            getattr(record, "adjourn", {}).get("event", "")
        )
        log, level = logging.getLogger("adjourn"), logging.getLogger("adjourn").level
        log.addHandler(handler)
        log.setLevel(logging.DEBUG)
        self.stack.callback(log.setLevel, level)
        self.stack.callback(log.removeHandler, handler)
        for options in ({}, {"max_retries": 2}, {"once": True}):
            self._know(self.work.options(**options)(), options)

    def _work(self) -> None:
        life = self.lives[current_task().id]
        assert not life.cancelled, "a cancelled call runs"
        life.begun += 1
        ending = self.ending
        if ending == "snooze":
            life.snoozed += 1
        elif ending in {"fail", "retry", "die"}:
            life.spent += 1
        if ending:
            raise ENDINGS[ending]()  # noqa: RSE102 - a function, which makes the exception

    # What happens

    @rule(options=OPTIONS, in_transaction=st.booleans(), commits=st.booleans())
    def call(self, options: dict[str, Any], in_transaction: bool, commits: bool) -> None:  # noqa: FBT001
        if not in_transaction:
            self._know(self.work.options(**options)(), options)
            return
        with contextlib.suppress(ZeroDivisionError), self.box.transactions.begin():
            handle = self.work.options(**options)()
            self._know(handle, options)
            if not commits:
                raise ZeroDivisionError

    def _know(self, handle: TaskHandle, options: dict[str, Any]) -> None:
        assert handle.id
        self.lives[handle.id] = Life(handle, options)

    @rule(data=st.data(), ending=st.sampled_from(["", *ENDINGS]))
    def deliver(self, data: st.DataObject, ending: str) -> None:
        if queued := self._one(data, self.box.queue.due()):
            self._deliver(queued, ending)

    @rule(data=st.data(), ending=st.sampled_from(["fail", "retry", "die"]), times=st.integers(3, 9))
    def deliver_again_and_again(self, data: st.DataObject, ending: str, times: int) -> None:
        queued = self._one(data, self.box.queue.due())
        for _ in range(times if queued else 0):
            assert queued
            ours = [q for q in self.box.queue.due() if self._id(q) == self._id(queued)]
            if ours:
                self._deliver(ours[0], ending)
            self.box.clock.advance(15 * MINUTE)

    @rule(data=st.data(), ending=st.sampled_from(["", *ENDINGS]))
    def force(self, data: st.DataObject, ending: str) -> None:
        if queued := self._one(data, list(self.box.queue.tasks.values())):
            self._deliver(queued, ending)

    @rule(data=st.data(), ending=st.sampled_from(["", *ENDINGS]))
    def lose_the_answer(self, data: st.DataObject, ending: str) -> None:
        if queued := self._one(data, self.box.queue.due()):
            self._life(queued).excused += 1
            self._deliver(queued, ending, is_answered=False)

    @rule(data=st.data(), ending=st.sampled_from(["", "fail", "snooze", "retry"]))
    def deliver_twice(self, data: st.DataObject, ending: str) -> None:
        if queued := self._one(data, self.box.queue.due()):
            self._life(queued).excused += 1
            with contextlib.suppress(DIES):
                self._receive(self.box, queued, ending)
            if queued.name in self.box.queue.tasks:
                self._deliver(queued, ending)

    @rule(data=st.data())
    def lose_the_request(self, data: st.DataObject) -> None:
        if queued := self._one(data, self.box.queue.due()):
            self._unanswered(queued)
            self._excuse_what_never_arrived(queued)

    @rule(data=st.data(), ending=st.sampled_from(["", *ENDINGS]), at=st.integers(0, 6))
    def die_at_an_operation(self, data: st.DataObject, ending: str, at: int) -> None:
        if queued := self._one(data, self.box.queue.due()):
            self._life(queued).excused += 1
            with self._dying(at):
                self._deliver(queued, ending)
            self._excuse_what_never_arrived(queued)

    @rule(data=st.data(), ending=st.sampled_from(["", *ENDINGS]))
    def deliver_without_datastore(self, data: st.DataObject, ending: str) -> None:
        if queued := self._one(data, self.box.queue.due()):
            self._life(queued).excused += 1
            with self._failing(StoreError("away"), "store"):
                self._deliver(queued, ending)

    @rule(data=st.data())
    def deliver_to_the_old_revision(self, data: st.DataObject) -> None:
        if queued := self._one(data, self.box.queue.due()):
            self._life(queued).excused += 1  # 404 counts as an execution
            self._deliver(queued, "", box=self.old)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if not self.lives:
            return
        life = self.lives[data.draw(st.sampled_from(sorted(self.lives)))]
        if life.handle.cancel():
            life.cancelled = True
            life.ends["cancelled"] += 1

    @rule(by=st.sampled_from([SECOND, MINUTE, 15 * MINUTE, 2 * 60 * MINUTE, 29 * DAY]))
    def time_passes(self, by: dt.timedelta) -> None:
        self.box.clock.advance(by)

    # What must hold

    @invariant()
    def handles_find_what_waits(self) -> None:
        waiting = {self._id(queued) for queued in self.box.queue.tasks.values()}
        for life in getattr(self, "lives", {}).values():
            if life.handle.id not in waiting:
                assert life.handle.fetch() is None

    def teardown(self) -> None:
        if not hasattr(self, "seen"):
            return
        try:
            self._finish()
        finally:
            self.stack.close()

    def _finish(self) -> None:
        for _ in range(2000):
            if not self.box.queue.tasks:
                break
            if ahead := [q for q in self.box.queue.tasks.values() if q in self.box.queue.due()]:
                self._deliver(ahead[0], "")
                self.box.clock.advance(SECOND)
            else:
                due = self.box.queue.next_due()
                assert due
                self.box.clock.advance(due - self.box.clock.now())
        assert not self.box.queue.tasks, "calls go on for ever"
        for call, life in self.lives.items():
            self._check(call, life)

    def _check(self, call: str, life: Life) -> None:
        letters = [
            key for key in self.box.store.records if (key.kind, key.name) == (_LETTERS, call)
        ]
        if letters:
            life.ends["dead"] += 1
        assert life.ends, f"{call} is lost: {life}"
        if not life.excused:
            assert sum(life.ends.values()) == 1, life
        assert life.handle.fetch() is None
        if not life.ends["undelivered"]:  # which nobody can know
            assert not life.handle.cancel()
        if life.options.get("no_retry"):
            assert life.begun <= 1 + life.snoozed, life
        most = min(life.options.get("max_retries", LIMIT) + 1, LIMIT)
        # The first crash of a call is not seen.
        assert life.spent <= most + 1 + life.excused, life

    # How Cloud Tasks delivers

    def _one(self, data: st.DataObject, tasks: list[Queued]) -> Queued | None:
        names = sorted(queued.name for queued in tasks)
        return self.box.queue.tasks[data.draw(st.sampled_from(names))] if names else None

    def _id(self, queued: Queued) -> str:
        return Envelope.decode(queued.task.body, VERBATIM).id

    def _life(self, queued: Queued) -> Life:
        return self.lives[self._id(queued)]

    def _deliver(
        self, queued: Queued, ending: str, *, is_answered: bool = True, box: Sandbox | None = None
    ) -> None:
        try:
            outcome = self._receive(box or self.box, queued, ending)
        except DIES:
            self._unanswered(queued)
            return
        if not is_answered:
            self._unanswered(queued)
        elif outcome in {Outcome.DONE, Outcome.DEAD}:
            self.box.queue.settle(queued)
        else:
            self._again(queued, executed=outcome is not Outcome.TROUBLE)

    def _receive(self, box: Sandbox, queued: Queued, ending: str) -> Outcome:
        """Hand a task over as a sandbox does, and note how its call ends, but count nothing."""
        self.ending, life = ending, self._life(queued)
        self.seen.clear()
        try:
            return box._receive(queued)
        finally:
            for name in ("done", "discarded", "expired", "rolled_back"):
                life.ends[name] += self.seen.count(f"task.{name}")
            life.ends += Counter()  # without zeros

    def _unanswered(self, queued: Queued) -> None:
        self._again(queued, executed=False)

    def _again(self, queued: Queued, *, executed: bool) -> None:
        attempt = queued.attempt
        queued.attempt = Attempt(attempt.retry_count + 1, attempt.execution_count + executed)
        if queued.attempt.retry_count < LIMIT:
            self.box.queue.put_back(queued, self.box.clock.now())
            return
        if queued.name in self.box.queue.tasks:
            self.box.queue.settle(queued)

    def _excuse_what_never_arrived(self, queued: Queued) -> None:
        """Excuse what a queue without max_retry_duration deletes because it cannot deliver it."""
        call = self._id(queued)
        if call not in {self._id(other) for other in self.box.queue.tasks.values()}:
            self.lives[call].ends["undelivered"] += not self._has_letter(call)

    def _has_letter(self, call: str) -> bool:
        return any((key.kind, key.name) == (_LETTERS, call) for key in self.box.store.records)

    @contextlib.contextmanager
    def _failing(self, error: Exception, *ports: str) -> Iterator[None]:
        def fail(*_: object, **__: object) -> None:
            raise error

        with pytest.MonkeyPatch.context() as patch:
            for port, name in _OPERATIONS:
                if port in ports:
                    patch.setattr(getattr(self.box, port), name, fail)
            yield

    @contextlib.contextmanager
    def _dying(self, at: int) -> Iterator[None]:
        """Let the process die before an operation (of even number) or after it."""
        count = iter(range(100))

        def dying(operation: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: object, **kwargs: object) -> object:
                number = next(count)
                if (number, at % 2) == (at // 2, 0):
                    raise DIES
                result = operation(*args, **kwargs)
                if (number, at % 2) == (at // 2, 1):
                    raise DIES
                return result

            return call

        with pytest.MonkeyPatch.context() as patch:
            for port, name in _OPERATIONS:
                found = getattr(self.box, port)
                patch.setattr(found, name, dying(getattr(found, name)))
            yield


_LETTERS = "AdjournDeadLetter"
_OPERATIONS = [
    ("store", "get"),
    ("store", "put"),
    ("store", "transact"),
    ("queue", "enqueue"),
    ("queue", "delete"),
]

CallLives.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=30,
    database=None,
    derandomize=True,
    phases=[Phase.generate],  # to shrink a failure takes minutes; add Phase.shrink for that
    suppress_health_check=list(HealthCheck),
)
TestCallLives = CallLives.TestCase

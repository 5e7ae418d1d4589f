"""The whole life of batches, in every order of what can happen to them, against a model of it.

A batch ends once in each round, when its block and all its children have ended, and never before,
whatever is delivered twice, lost, or dies at whatever moment.
"""

import contextlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from adjourn import App, BatchSealedError, BatchSummary, PermanentTaskFailure, Snooze, current_batch
from adjourn.batches.records import BatchRecord, batch_id, batch_key
from adjourn.errors import StoreError, UnavailableError, UnknownNameError
from adjourn.execution.attempt import Attempt
from adjourn.testing import SETTINGS, Sandbox, sandbox

DIES = KeyboardInterrupt  # nothing of ours catches it
NAMES = ("first", "second")
ENDINGS = st.sampled_from(["", "", "", "fail", "permanent", "snooze", "die", "grow", "grow"])
# What becomes of one of the next commits, or of the next task that is created.
FAULTS = st.none() | st.tuples(
    st.sampled_from(["lost", "unanswered", "dies before", "dies after", "no task", "dies tasking"]),
    st.integers(0, 3),
)


class Trouble:
    """Lets one of the next commits or new tasks of a sandbox fail.

    Attributes:
        next: What is to go wrong, and how many others go well before.
    """

    def __init__(self, box: Sandbox) -> None:
        self.next: tuple[str, int] | None = None
        self._commit, self._enqueue = box.store.commit, box.queue.enqueue
        self._enqueue_many = box.queue.enqueue_many
        for port, name in ((box.store, "commit"), (box.queue, "enqueue")):
            object.__setattr__(port, name, getattr(self, name))
        object.__setattr__(box.queue, "enqueue_many", self.enqueue_many)

    def commit(self, changes: Any) -> None:
        kind = self._kind("lost", "unanswered", "dies before", "dies after") if changes else ""
        if kind == "dies before":
            raise DIES
        if kind != "lost":
            self._commit(changes)
        if kind == "dies after":
            raise DIES
        if kind:
            raise StoreError(kind)

    def enqueue(self, task: Any) -> str:
        kind = self._kind("no task", "dies tasking")
        if kind == "no task":
            raise UnavailableError(kind)
        name = self._enqueue(task)
        if kind:
            raise DIES
        return name

    def enqueue_many(self, tasks: Any) -> Any:
        kind = self._kind("no task", "dies tasking")
        if kind == "no task":
            return [UnavailableError(kind) for _ in tasks]
        replies = self._enqueue_many(tasks)
        if kind:
            raise DIES
        return replies

    def _kind(self, *kinds: str) -> str:
        if self.next is None or self.next[0] not in kinds:
            return ""
        kind, left = self.next
        self.next = (kind, left - 1) if left else None
        return "" if left else kind


class BatchLives(RuleBasedStateMachine):
    """Batches, their children, and all that goes wrong on the way.

    Attributes:
        children: Numbers of the children that are known to be registered, by batch.
        over: Numbers of the children whose code has ended for good, by batch.
        told: Rounds whose end took effect, by batch.
        broken: Whether the block of a batch has broken off, or not begun yet, by its name.
    """

    @initialize()
    def begin(self) -> None:
        self.children: dict[str, set[int]] = defaultdict(set)
        self.over: dict[str, set[int]] = defaultdict(set)
        self.told: dict[str, Counter[int]] = defaultdict(Counter)
        self.sealed: set[str] = set()
        self.cancelled: set[str] = set()
        self.wrong: list[str] = []
        self.summaries: dict[str, BatchSummary] = {}
        self.added: dict[str, list[int]] = defaultdict(list)
        self.number, self.ending = 0, ""
        self.stack = contextlib.ExitStack()
        self.app = App()

        @self.app.deferred(name="work", max_retries=2)
        def work(name: str, number: int) -> None:
            self._work(name, number)

        @self.app.deferred(name="done")
        def done(summary: Mapping[str, Any]) -> None:
            self._done(summary)

        self.work, self.on_done = work, done
        self.box = self.stack.enter_context(sandbox(self.app, SETTINGS))
        self.trouble = Trouble(self.box)

    # What children and ends do

    def _work(self, name: str, number: int) -> None:
        record = self._record(name)
        self._expect(record and not record.ended_at, "a child runs after the end of its batch")
        ending, self.ending = self.ending, ""
        if ending == "grow":
            self.number += 1
            current_batch().add(self.work, name, number * 1_000 + 1)
            self.children[name].add(number * 1_000 + 1)
        elif ending == "fail":
            raise RuntimeError("fail")
        elif ending == "permanent":
            raise PermanentTaskFailure("permanent")
        elif ending == "snooze":
            raise Snooze(60)
        elif ending == "die":
            raise DIES
        self.over[name].add(number)

    def _done(self, summary: Mapping[str, Any]) -> None:
        name = summary["name"]
        self.told[name][summary["round"]] += 1
        self._expect(self.told[name][summary["round"]] == 1, "an end took effect twice")
        self._expect(name in self.sealed | self.cancelled, "it ended before its block")
        if name not in self.cancelled:
            missing = self.children[name] - self.over[name]
            self._expect(len(missing) <= len(self.box.dead_letters()), "it ended before a child")
        ended = summary["done"] + summary["failed"] + summary["cancelled"]
        self._expect(summary["total"] == ended >= len(self.children[name]), "it counts wrong")
        self.summaries[name] = summary  # type: ignore[assignment]

    def _expect(self, holds: object, otherwise: str) -> None:
        """Note what is wrong: an error in a task would only be retried."""
        if not holds:
            self.wrong.append(otherwise)

    def _record(self, name: str) -> BatchRecord | None:
        id_ = batch_id(name)
        return BatchRecord.of(id_, self.box.store.get([batch_key(id_)])[0])

    # What goes wrong

    @contextlib.contextmanager
    def _faulty(self, fault: tuple[str, int] | None) -> Iterator[None]:
        self.trouble.next = fault
        try:
            yield
        except (DIES, StoreError, UnavailableError):
            pass
        finally:
            self.trouble.next = None

    # What happens

    @rule(
        name=st.sampled_from(NAMES),
        count=st.integers(0, 40),
        how=st.sets(st.sampled_from(["breaks off", "backwards"])),
        fault=FAULTS,
    )
    def run_block(self, name: str, count: int, how: set[str], fault: Any) -> None:
        if name in self.sealed | self.cancelled:
            count = 0
        self.number += count
        added = self.added[name]
        added += range(len(added), len(added) + count)
        numbers = reversed(added) if "backwards" in how else added
        was_sealed = name in self.sealed
        self.sealed.add(name)  # it may be before this returns
        is_left = False
        with self._faulty(fault), contextlib.suppress(BatchSealedError):
            batch = self.app.batch(name=name, on_done=self.on_done).__enter__()
            for number in numbers:
                batch.add(self.work, name, number)
            batch.flush()
            self.children[name] |= set(added)
            if "breaks off" not in how:
                batch.__exit__(None, None, None)
                is_left = True
        record = self._record(name)
        if not (is_left or was_sealed or (record and record.is_sealed)):
            self.sealed.discard(name)

    @precondition(lambda self: self.box.queue.accepted)
    @rule(pick=st.integers(0, 10**6), ending=ENDINGS, fault=FAULTS)
    def deliver(self, pick: int, ending: str, fault: Any) -> None:
        """Deliver a task that is there, or has been."""
        accepted = self.box.queue.accepted
        self._deliver(accepted[pick % len(accepted)], ending, fault)

    def _deliver(self, queued: Any, ending: str = "", fault: Any = None) -> None:
        if queued.task.label == "done":
            fault = None  # a claim whose end is lost is claimed again, as with any task
        self.ending = ending
        try:
            with self._faulty(fault):
                self.box.deliver(queued)
                return
            attempt = queued.attempt  # its process has died
            queued.attempt = Attempt(attempt.retry_count + 1, attempt.execution_count)
        finally:
            self.ending = ""

    @rule(seconds=st.sampled_from([1, 60, 700]), fault=FAULTS)
    def let_time_pass(self, seconds: int, fault: Any) -> None:
        self.box.travel(by=seconds)
        self._deliver_due(fault)

    def _deliver_due(self, fault: Any = None) -> None:
        for queued in list(self.box.queue.due()):
            self._deliver(queued, fault=fault)
            fault = None

    @precondition(lambda self: self.box.dead_letters())
    @rule(name=st.sampled_from(NAMES), fault=FAULTS)
    def retry(self, name: str, fault: Any) -> None:
        with self._faulty(fault), contextlib.suppress(UnknownNameError):
            self.app.batches().get(name).retry()

    @rule(name=st.sampled_from(NAMES), fault=FAULTS)
    @precondition(lambda self: self.number > 60)
    def cancel(self, name: str, fault: Any) -> None:
        self.cancelled.add(name)
        with self._faulty(fault), contextlib.suppress(UnknownNameError):
            self.app.batches().get(name).cancel()

    @invariant()
    def nothing_is_wrong(self) -> None:
        assert self.wrong == []

    @invariant()
    def no_end_is_marked_early(self) -> None:
        for name in NAMES:
            record = self._record(name)
            if record is not None and record.ended_at is not None:
                assert record.is_sealed
                assert sum(record.children.counts) >= len(self.children[name])

    def teardown(self) -> None:
        """Let all blocks and tasks end without further trouble: then all ends have been told."""
        with self.stack:
            for name in NAMES:
                self._come_to_an_end(name)
            for _ in range(25):
                self._deliver_due()
                self.box.travel(by=300)
            self.nothing_is_wrong()
            for name in NAMES:
                if record := self._record(name):
                    self._check_end(name, record)

    def _come_to_an_end(self, name: str) -> None:
        if name in self.cancelled:
            with contextlib.suppress(UnknownNameError):
                self.app.batches().get(name).cancel()
        elif self._record(name) or self.added[name]:
            self.run_block(name, 0, set(), None)

    def _check_end(self, name: str, record: BatchRecord) -> None:
        assert record.ended_at is not None, f"{name} has not ended"
        assert self.told[name][record.round] == 1, f"the end of {name} was not told"
        assert self.summaries[name]["total"] == sum(record.children.counts)
        if name not in self.cancelled:
            dead = len(self.box.dead_letters())
            assert len(self.children[name] - self.over[name]) <= dead


BatchLives.TestCase.settings = settings(
    max_examples=int(os.environ.get("CHAOS_BATCH_LIVES", "15")),
    stateful_step_count=25,
    database=None,
    derandomize=True,
    phases=[Phase.generate],  # to shrink a failure takes minutes; add Phase.shrink for that
    suppress_health_check=list(HealthCheck),
)
TestBatchLives = BatchLives.TestCase

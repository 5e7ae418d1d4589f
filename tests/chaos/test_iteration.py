"""Whatever happens to its steps: a run loses no entity, never forks and comes to its end."""

import datetime as dt
import logging
from contextlib import ExitStack

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from adjourn import App, QueryIter, Status
from adjourn.deadletters import KIND as DEAD
from adjourn.delivery import Outcome
from adjourn.errors import StoreError, UnavailableError
from adjourn.queryiter import Step
from adjourn.runs import Run, key_of
from adjourn.testing import MemoryQuery, Queued, sandbox
from tests.faults import Faults, lose_answer

LEASE = dt.timedelta(seconds=60)
STEPS = st.integers(0, 5)


class Walk(QueryIter[int]):
    """Steps of two entries; some entries fail, and those that were handled may be deleted."""

    batch_size = 3
    step_seconds = 20
    machine: "Iteration"

    def handle_entry(self, entry, custom_data):
        self.machine.entry(entry)
        custom_data["sum"] += entry

    def handle_finish(self, total_count, custom_data):
        self.machine.finish(total_count, custom_data)


class Iteration(RuleBasedStateMachine):
    """Cloud Tasks and Datastore on a bad day."""

    def __init__(self):
        super().__init__()
        self.closing = ExitStack()
        logger = logging.getLogger("adjourn")
        self.closing.callback(setattr, logger, "disabled", logger.disabled)
        logger.disabled = True  # writing tracebacks takes most of the time
        self.app = App()
        walk = type("Walk", (Walk,), {"__module__": __name__, "machine": self})
        self.app.query_iter(walk)
        self.walk = walk
        self.box = self.closing.enter_context(sandbox(self.app))
        self.faults = Faults(self.box)
        self.handled, self.finished, self.attempts_to_finish = [], [], 0
        self.sent = []
        self.highest = 0
        self.statuses = []

    @initialize(entries=st.integers(0, 12), deletes=st.booleans(), fails=st.sets(STEPS))
    def start(self, entries, deletes, fails):
        self.entries, self.deletes, self.fails = set(range(entries)), deletes, fails
        self.box.queries.add("Order", *range(entries))
        self.run = self.walk.start(MemoryQuery("Order"), {"sum": 0})
        self.remember()

    # The user's code.

    def entry(self, entry):
        self.box.clock.advance(dt.timedelta(seconds=10))
        self.handled.append(entry)
        if self.deletes:
            self.box.queries.remove("Order", entry)
        if entry in self.fails:
            raise RuntimeError("broken")

    def finish(self, total_count, custom_data):
        self.attempts_to_finish += 1
        if self.attempts_to_finish == 1 and self.fails:
            raise RuntimeError("not yet")
        self.finished.append((total_count, custom_data["sum"]))

    # The outside world.

    def remember(self):
        self.sent += [q for q in self.box.queue.tasks.values() if q not in self.sent]

    def queued(self, number):
        waiting = list(self.box.queue.tasks.values())
        return waiting[number % len(waiting)]

    def any_waits(self):
        return bool(self.box.queue.tasks)

    @precondition(any_waits)
    @rule(number=STEPS)
    def deliver(self, number):
        self.box.deliver(self.queued(number))
        self.remember()

    @precondition(any_waits)
    @rule(number=STEPS)
    def lose_the_answer(self, number):
        lose_answer(self.box, self.queued(number))
        self.remember()

    @rule(number=STEPS)
    def deliver_again_what_was_acknowledged(self, number):
        old = self.sent[number % len(self.sent)]
        lose_answer(self.box, Queued(old.name, old.task, old.due))
        self.remember()

    @precondition(any_waits)
    @rule(number=STEPS, moment=st.integers(0, 7))
    def die(self, number, moment):
        self.faults.die_at = self.faults.passed + moment
        self.faults.deliver(self.queued(number))
        self.faults.die_at = None
        self.remember()

    @precondition(any_waits)
    @rule(number=STEPS, put=st.integers(0, 3), enqueue=st.booleans(), page=st.integers(0, 3))
    def refuse(self, number, put, enqueue, page):
        with ExitStack() as mended:
            self.refuse_after(mended, self.box.store, "put", put, StoreError("away"))
            self.refuse_after(mended, self.box.queries, "page", page, StoreError("away"))
            if enqueue:
                self.refuse_after(mended, self.box.queue, "enqueue", 0, UnavailableError("away"))
            self.box.deliver(self.queued(number))
        self.remember()

    def refuse_after(self, mended, part, name, calls, error):
        working, left = getattr(part, name), [calls]

        def fail(*args, **kwargs):
            left[0] -= 1
            if left[0] < 0:
                raise error
            return working(*args, **kwargs)

        setattr(part, name, fail)
        mended.callback(setattr, part, name, working)

    @precondition(any_waits)
    @rule(number=STEPS)
    def meet_another_delivery(self, number):
        """Deliver a step a second time after its lease has run out, while the first goes on."""
        queued, handle_entry = self.queued(number), self.entry
        met = []

        def slow(entry):
            if not met:
                met.append(entry)
                self.box.clock.advance(LEASE)
                lose_answer(self.box, queued)
            handle_entry(entry)

        self.entry = slow
        self.box.deliver(queued)
        self.entry = handle_entry
        self.remember()

    @rule(seconds=st.sampled_from([1, 30, 60, 3_000, 100_000]))
    def wait(self, seconds):
        self.box.clock.advance(dt.timedelta(seconds=seconds))

    # What has to hold.

    def state(self):
        return Run.from_record(self.run.id, self.box.store.get([key_of(self.run.id)])[0])

    @invariant()
    def the_chain_never_forks(self):
        run = self.state()
        numbers = [Step.decode(q.task.body).number for q in self.box.queue.tasks.values()]

        assert len(numbers) == len(set(numbers))
        assert all(number <= run.step for number in numbers)
        assert run.step >= self.highest
        self.highest = run.step

    @invariant()
    def nothing_is_counted_that_was_not_handled(self):
        run = self.state()

        assert run.done <= len(set(self.handled))
        assert run.errors <= len(self.fails & set(self.handled))
        # What was deleted by a delivery that died is handled, but nobody could count it.
        if not self.deletes:
            assert set(range(run.done)) <= set(self.handled)
            assert run.errors == len(self.fails & set(range(run.done)))

    @invariant()
    def what_has_ended_stays_so(self):
        self.statuses.append(self.state().status)

        ended = [s for s in self.statuses if s is Status.FINISHED]
        assert self.statuses[len(self.statuses) - len(ended) :] == ended
        assert Status.STOPPED not in self.statuses

    @invariant()
    def nothing_is_given_up(self):
        assert not any(key.kind == DEAD for key in self.box.store.records)

    def teardown(self):
        with self.closing:
            if not hasattr(self, "run"):
                return
            for _ in range(100):
                if not self.box.queue.tasks:
                    break
                if self.box.deliver(self.queued(0)) is Outcome.BUSY:
                    self.box.clock.advance(LEASE)
            run = self.state()
            assert run.status is Status.FINISHED
            assert set(self.handled) == self.entries
            # The end is reached once; its hook may have been called by one that died after it.
            assert len(set(self.finished)) == 1
            if not self.deletes:
                assert run.done == len(self.entries)
                assert self.finished[0] == (run.done, sum(self.entries - self.fails))


Iteration.TestCase.settings = settings(
    max_examples=300,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestIteration = Iteration.TestCase

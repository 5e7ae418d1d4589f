"""Whatever happens to its steps: a run loses no entity, never forks and comes to its end once."""

import datetime as dt
import logging
from contextlib import ExitStack, suppress

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from adjourn import App, QueryIter, Status
from adjourn.errors import (
    ConflictError,
    ProcessDiedError,
    StoreError,
    StoreRefusedError,
    UnavailableError,
)
from adjourn.execution.dead_letters import KIND as DEAD
from adjourn.execution.delivery import Outcome
from adjourn.iteration.runs import KIND, Run, Step, run_key
from adjourn.testing import MemoryQuery, Queued, sandbox
from tests.faults import CrashError, Faults, lose_answer

LEASE = dt.timedelta(seconds=60)
STEPS = st.integers(0, 5)
ENTRIES = st.sets(STEPS, max_size=3)


class Walk(QueryIter[int]):
    """Steps of three entries; some entries fail, and those that were handled may be deleted."""

    batch_size = 3
    step_seconds = 30
    max_entry_retries = 1
    machine: "Iteration"

    def handle_entry(self, entry, custom_data):
        self.machine.entry(entry)
        custom_data["sum"] += entry

    def handle_error(self, entry, custom_data, exception):  # noqa: ARG002
        return self.machine.error(entry, exception)

    def handle_finish(self, total_count, custom_data):
        self.machine.finish(total_count, custom_data)

    def on_cancel(self, custom_data):  # noqa: ARG002
        self.machine.cancelled += 1

    def merge(self, first, second):
        return {"sum": first["sum"] + second["sum"]}


class Prepared(Walk):
    """Has something to do before it begins."""

    def on_start(self, custom_data):
        self.machine.prepare(custom_data)


class Iteration(RuleBasedStateMachine):
    """Cloud Tasks and Datastore on a bad day, and people who steer."""

    def __init__(self):
        super().__init__()
        self.closing = ExitStack()
        logger = logging.getLogger("adjourn")
        self.closing.callback(setattr, logger, "disabled", logger.disabled)
        logger.disabled = True  # writing tracebacks takes most of the time
        self.app = App()
        self.box = self.closing.enter_context(sandbox(self.app))
        self.ends = []
        self.watch_commits()
        self.faults = Faults(self.box)
        self.handled, self.finished, self.attempts_to_finish = [], [], 0
        self.prepared = self.cancelled = 0
        self.sent = []
        self.given_up, self.is_void = set(), False
        self.is_purged = False
        self.highest = {}

    @initialize(
        entries=st.integers(0, 12),
        shards=st.sampled_from([1, 1, 2, 3]),
        is_prepared=st.booleans(),
        deletes=st.booleans(),
        fails=ENTRIES,
        stumbles=ENTRIES,
        stops=ENTRIES,
    )
    def start(self, entries, shards, is_prepared, deletes, fails, stumbles, stops):  # noqa: PLR0917
        base = Prepared if is_prepared else Walk
        walk = type("Walk", (base,), {"__module__": __name__, "machine": self})
        self.app.query_iter(walk)
        self.entries, self.deletes, self.chains = set(range(entries)), deletes, shards
        self.fails, self.stumbles, self.stops = fails, stumbles - fails, stops - fails
        self.box.queries.add("Order", *range(entries))
        self.walk = walk
        self.run = self.begin()
        self.remember()

    def begin(self):
        query = MemoryQuery("Order")
        return self.walk.start(query, {"sum": 0}, shards=self.chains, name="walk")

    # The user's code.

    def entry(self, entry):
        self.box.clock.advance(dt.timedelta(seconds=10))
        if self.is_void:
            return
        if entry in self.stumbles and entry not in self.handled:
            self.handled.append(entry)
            raise RuntimeError("only once")
        if entry in self.stops:
            raise RuntimeError("until somebody mends it")
        self.handled.append(entry)
        if entry in self.fails:
            raise RuntimeError("broken")
        if self.deletes:
            self.box.queries.remove("Order", entry)

    def error(self, entry, exception):
        if isinstance(exception, ProcessDiedError):
            self.given_up.add(entry)
        return Walk.STOP if entry in self.stops else Walk.CONTINUE

    def prepare(self, custom_data):
        self.prepared += 1
        assert not self.handled
        assert custom_data == {"sum": 0}

    def finish(self, total_count, custom_data):
        self.attempts_to_finish += 1
        if self.attempts_to_finish == 1 and self.fails:
            raise RuntimeError("not yet")
        self.finished.append((total_count, custom_data["sum"]))

    # The outside world.

    def watch_commits(self):
        """Note each time that a run's end is written."""
        commit = self.box.store.commit

        def watched(changes):
            for key, record in changes.items():
                if key.kind == KIND and record["status"] in {"finished", "cancelled"}:
                    self.ends.append(record["status"])
            commit(changes)

        self.box.store.commit = watched

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
    @rule(number=STEPS, seconds=st.sampled_from([-100, -40, 40, 100]))
    def deliver_to_a_clock_that_is_wrong(self, number, seconds):
        self.box.clock._now += dt.timedelta(seconds=seconds)
        self.box.deliver(self.queued(number))
        self.box.clock._now -= dt.timedelta(seconds=seconds)
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
    @rule(number=STEPS, moment=st.integers(0, 9))
    def die(self, number, moment):
        self.faults.die_at = self.faults.passed + moment
        self.faults.deliver(self.queued(number))
        self.faults.die_at = None
        self.remember()

    @precondition(any_waits)
    @rule(
        number=STEPS,
        commit=st.integers(0, 3),
        enqueue=st.booleans(),
        page=st.integers(0, 3),
        is_for_good=st.booleans(),
    )
    def refuse(self, number, commit, enqueue, page, is_for_good):
        error = StoreRefusedError("no index") if is_for_good else StoreError("away")
        with ExitStack() as mended:
            self.refuse_after(mended, self.box.store, "commit", commit, StoreError("away"))
            self.refuse_after(mended, self.box.queries, "page", page, error)
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
    @rule(number=STEPS, calls=st.integers(0, 3), conflicts=st.booleans())
    def lose_the_answer_of_a_commit(self, number, calls, conflicts):
        """Let a write take effect and seem to fail, as when its repetition meets itself."""
        working, left = self.box.store.commit, [calls]

        def commit(changes):
            working(changes)
            left[0] -= 1
            if left[0] == -1:
                raise ConflictError("changed") if conflicts else StoreError("away")

        self.box.store.commit = commit
        self.box.deliver(self.queued(number))
        self.box.store.commit = working
        self.remember()

    @precondition(any_waits)
    @rule(number=STEPS, verb=st.sampled_from(["", "", "pause", "cancel", "revive"]))
    def meet_another_delivery(self, number, verb):
        """Deliver a step a second time after its lease has run out, while the first goes on.

        The clock that tells how long the first has been going on does not jump.
        """
        queued = self.queued(number)

        def meet():
            self.box.clock._now += LEASE
            if verb and (verb != "cancel" or self.may_cancel()):
                self.steer_with(verb)
            lose_answer(self.box, queued)

        self.deliver_and_meet(queued, meet)

    @precondition(any_waits)
    @rule(number=STEPS)
    def meet_a_duplicate(self, number):
        queued, outcomes = self.queued(number), []

        self.deliver_and_meet(queued, lambda: outcomes.append(lose_answer(self.box, queued)))

        assert outcomes in ([], [Outcome.BUSY])

    @precondition(any_waits)
    @rule(number=STEPS, seconds=st.sampled_from([61, 75, 200]))
    def take_longer_than_the_lease(self, number, seconds):
        queued, outcomes = self.queued(number), []

        def meet():
            self.box.clock.advance(dt.timedelta(seconds=seconds))
            outcomes.append(lose_answer(self.box, queued))

        self.deliver_and_meet(queued, meet)

        assert outcomes in ([], [Outcome.BUSY])

    @precondition(any_waits)
    @rule(number=STEPS, times=st.integers(1, 5))
    def die_in_a_hook(self, number, times):
        """Let the process die while its first entity is handled, maybe again and again."""
        queued = self.queued(number)
        for _ in range(times):
            if queued not in self.box.queue.tasks.values():
                break
            with suppress(CrashError):
                self.deliver_and_meet(queued, self.crash)
            self.box.clock.advance(LEASE)

    def crash(self):
        raise CrashError

    @precondition(any_waits)
    @rule(number=STEPS)
    def start_anew_while_a_step_goes_on(self, number):
        """Void the run, as a start does that is not enqueued, and start it under its name."""

        def meet():
            now = self.box.clock.now()
            self.app.runs().update(self.run.id, lambda run: run.voided("not enqueued", now))
            self.handled, self.given_up, self.highest, self.ends = [], set(), {}, []
            self.entries = set(self.box.queries.entries("Order"))
            again = self.begin()
            assert (again.id, again.is_new) == (self.run.id, True)
            self.remember()
            for queued in list(self.box.queue.tasks.values()):
                self.faults.die_at = self.faults.passed + 1  # as soon as it has its lease
                self.faults.deliver(queued)
                self.faults.die_at = None
            self.is_void = True

        self.deliver_and_meet(self.queued(number), meet)
        self.is_void = False

    def deliver_and_meet(self, queued, meet):
        """Deliver a step and let something happen while its first entity is handled."""
        handle_entry, met = self.entry, []

        def slow(entry):
            if not met:
                met.append(entry)
                meet()
            handle_entry(entry)

        self.entry = slow
        try:
            self.box.deliver(queued)
        finally:
            self.entry = handle_entry
            self.remember()

    @rule(seconds=st.sampled_from([1, 30, 60, 3_000, 100_000]))
    def wait(self, seconds):
        self.box.clock.advance(dt.timedelta(seconds=seconds))

    @rule(number=STEPS)
    def lose_tasks(self, number):
        """Lose all tasks but some, which no queue does unless it is purged."""
        kept = list(self.box.queue.tasks.items())[:number]
        self.is_purged = self.is_purged or len(kept) < len(self.box.queue.tasks)
        self.box.queue.tasks = dict(kept)

    # People, and what works for them.

    @rule(
        verb=st.sampled_from(["pause", "resume", "retry", "revive", "mend"]),
        moment=st.integers(0, 4),
    )
    def steer(self, verb, moment):
        self.faults.die_at = self.faults.passed + moment
        try:
            self.steer_with(verb)
        except CrashError:
            self.is_purged = True  # what it had not enqueued yet is missing as well
        self.faults.die_at = None
        self.remember()

    def may_cancel(self):
        return len(self.handled) % 5 == 4  # else hardly a run would come to its end

    @precondition(may_cancel)
    @rule()
    def cancel(self):
        self.run.cancel()
        self.remember()

    def steer_with(self, verb):
        if verb == "mend":
            self.stops = set()
        elif verb == "revive":
            self.app.wiring().reviver.revive()
        else:
            getattr(self.run, verb)()

    # What has to hold.

    def state(self):
        return Run.from_record(self.run.id, self.box.store.get([run_key(self.run.id)])[0])

    def shards(self):
        return self.app.runs().shards(self.state())

    @invariant()
    def the_chain_never_forks(self):
        run = self.state()
        to_come = {shard.number: shard.step for shard in self.shards()} | {None: run.step}
        steps = [Step.decode(q.task.body) for q in self.box.queue.tasks.values()]

        assert len(set(steps)) == len(steps)
        assert len(run.active) + len(run.resting) <= self.chains
        for step in steps:
            assert step.epoch <= run.epoch
            assert step.number <= to_come[step.shard]
        for shard, number in to_come.items():
            assert number >= self.highest.get(shard, 0)
        self.highest = to_come

    @invariant()
    def nothing_is_counted_that_was_not_handled(self):
        shards = self.shards()
        done, errors = sum(s.done for s in shards), sum(s.errors for s in shards)

        assert done <= len({*self.handled, *self.given_up})
        assert errors <= len((self.fails & set(self.handled)) | self.given_up)

    @invariant()
    def an_end_is_written_once(self):
        assert len(self.ends) <= 1

    @invariant()
    def nothing_is_given_up(self):
        assert not any(key.kind == DEAD for key in self.box.store.records)

    def go_on(self):
        """Do what people and the reviver do in the end, on a good day."""
        self.stops = set()
        status = self.state().status
        if status is Status.PAUSED:
            self.run.resume()
        elif status is Status.STOPPED:
            self.run.retry()
        else:
            assert self.is_purged, "a chain has ended"
            self.box.clock.advance(dt.timedelta(minutes=6))
            self.app.wiring().reviver.revive()

    def deliver_everything(self):
        """Deliver each task that is due until it is acknowledged, but not what that enqueues."""
        for queued in self.box.queue.due():
            while self.box.deliver(queued) is not Outcome.DONE:
                self.box.clock.advance(LEASE)

    def teardown(self):
        with self.closing:
            if not hasattr(self, "run"):
                return
            for _ in range(100):
                run, before = self.state(), set(self.box.queue.tasks)
                if run.status in {Status.FINISHED, Status.CANCELLED}:
                    break
                if not before:
                    self.go_on()
                elif not self.box.queue.due():
                    self.box.clock.advance(LEASE)
                self.deliver_everything()
                added = self.box.queue.tasks.keys() - before
                # An old first step has those of all chains enqueued, an old last one the run's.
                assert len(added) <= self.chains + 1
            self.check_the_end()

    def check_the_end(self):
        run, state = self.state(), self.run.fetch()
        if run.status is Status.CANCELLED:
            assert self.cancelled >= 1
            assert self.ends == ["cancelled"]
            return
        assert run.status is Status.FINISHED
        assert self.ends == ["finished"]
        assert {*self.handled, *self.given_up} == self.entries
        # The end is reached once; its hook may have been called by one that died after it.
        assert len(set(self.finished)) == 1
        if not self.deletes:
            # An entity is kept by the number under which it was added, from 1.
            failed = {int(each.entry) - 1 for each in state.failures}
            assert (state.done, state.errors) == (len(self.entries), len(failed))
            assert state.waiting == 0
            assert self.fails & self.entries <= failed <= self.fails | self.given_up
            assert self.finished[0] == (state.done, sum(self.entries - failed))


Iteration.TestCase.settings = settings(
    max_examples=300,
    stateful_step_count=25,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # shrinking such a machine takes many minutes
)
TestIteration = Iteration.TestCase

"""Calls run within their limits and wait without an attempt; whatever dies is found."""

import base64
import datetime as dt
import sys
import threading
from dataclasses import replace

import pytest

from adjourn import (
    CallDroppedError,
    EnqueueError,
    Flow,
    PermanentTaskFailure,
    RetryLater,
    Snooze,
    StoreError,
    current_task,
)
from adjourn.execution.delivery import Outcome
from adjourn.flow.admission import Admission
from adjourn.flow.limits import GUARD
from adjourn.names import digest_of
from adjourn.ports import RecordKey
from adjourn.settings import Seal
from adjourn.state.call_records import KIND as CALL
from adjourn.testing import SETTINGS, sandbox

MINUTE = dt.timedelta(minutes=1)
NEEDED = dt.timedelta(minutes=11)  # a lease, and what belongs to it


@pytest.fixture
def world(box, app, ran):
    return World(box, app, ran)


class World:
    """A task with a flow, whose calls run until they are told to end."""

    def __init__(self, box, app, ran):
        self.box, self.app, self.ran = box, app, ran
        self.running = 0
        self.peak = 0
        self.within = {}  # what is to happen while a call runs, by its number
        self.attempts = {}
        self.task = self.declare(flow=Flow(key="tenant", concurrency=1))

    def declare(self, name="work", **options):
        @self.app.deferred(name=name, **options)
        def work(tenant, number):  # noqa: ARG001
            self.attempts[number] = current_task().attempt
            self.running += 1
            self.peak = max(self.peak, self.running)
            try:
                self.within.pop(number, lambda: None)()
            finally:
                self.running -= 1
            self.ran.append(number)

        return work

    def due(self, index=0):
        return [each for each in self.box.queue.due() if each.task.label != GUARD][index]

    def deliver(self, index=0):
        return self.box.deliver(self.due(index))

    def meanwhile(self, number, *steps):
        """Have things happen while a call runs."""
        self.within[number] = lambda: [step() for step in steps]

    def flow(self, key="a"):
        return self.app.flows().get("work", key)


def test_no_more_calls_run_than_allowed_and_the_others_follow_in_order(world, box, ran):
    for number in range(5):
        world.task("a", number)
    world.meanwhile(0, *[lambda: world.deliver(1)] * 4)

    assert world.deliver() is Outcome.DONE

    assert (ran, world.peak) == ([0], 1)
    assert world.flow().waiting == 3
    box.drain()
    assert ran == [0, 1, 2, 3, 4]
    assert world.peak == 1
    assert (world.flow().running, world.flow().waiting) == (0, 0)


def test_waiting_spends_no_attempt(world, box):
    world.task.options(max_retries=0)("a", 0)
    world.task.options(max_retries=0)("a", 1)
    world.meanwhile(0, lambda: world.deliver(1))
    world.deliver()
    box.drain()

    assert world.attempts == {0: 1, 1: 1}
    assert box.dead_letters() == []


def test_keys_do_not_wait_for_each_other(world, ran):
    world.task("a", 0)
    world.task("b", 1)
    world.meanwhile(0, lambda: world.deliver(1))
    world.deliver()

    assert ran == [1, 0]


def test_a_call_that_runs_at_once_costs_two_writes_and_one_that_waits_three_commits(
    world, box, commits
):
    world.task("a", 0)
    world.deliver()
    assert commits == [1, 1]
    commits.clear()
    world.task("a", 1)
    world.task("a", 2)
    world.meanwhile(1, lambda: world.deliver(1))
    world.deliver()
    assert commits == [1, 2, 1]  # begin, park, end, which calls the other
    commits.clear()
    box.drain()
    assert commits == [1, 2]  # begin, and end with the record of the call


def test_a_call_without_a_flow_writes_nothing(world, app, box, commits):
    @app.deferred(name="plain")
    def plain(): ...

    world.task("a", 0)
    plain()
    box.deliver(box.queue.due()[1])

    assert commits == []


@pytest.mark.parametrize("error", [ValueError, PermanentTaskFailure, RetryLater, Snooze])
def test_a_permit_is_given_back_however_the_call_ends(world, error):
    def fail():
        raise error(MINUTE) if error in {RetryLater, Snooze} else error("no")

    world.task("a", 0)
    world.meanwhile(0, fail)
    world.deliver()

    assert world.flow().running == 0


def test_a_duplicate_of_a_running_call_does_not_run(world, ran):
    world.task("a", 0)
    first, outcomes = world.due(), []
    world.meanwhile(0, lambda: outcomes.append(world.box.deliver(first)))
    world.deliver()

    assert outcomes == [Outcome.BUSY]
    assert ran == [0]


def test_a_duplicate_of_a_waiting_call_is_acknowledged_and_its_guard_called_again(world, box, ran):
    world.task("a", 0)
    world.task("a", 1)
    second, outcomes = world.due(1), []

    def twice():
        outcomes.extend(box.deliver(second) for _ in range(2))

    world.meanwhile(0, twice)
    world.deliver()
    box.drain()

    assert outcomes == [Outcome.DONE, Outcome.DONE]
    assert ran == [0, 1]


def test_a_duplicate_of_the_task_that_calls_one_in_does_not_run_beside_it(world, box, ran):
    world.task("a", 0)
    world.task("a", 1)
    world.meanwhile(0, lambda: world.deliver(1))
    world.deliver()
    called, outcomes = world.due(), []
    world.meanwhile(1, lambda: outcomes.append(box.deliver(called)))
    world.deliver()

    assert outcomes == [Outcome.BUSY]
    assert ran == [0, 1]


def test_what_died_is_found_when_its_lease_has_ended(world, box, ran):
    world.task("a", 0)
    world.task("a", 1)
    world.meanwhile(0, lambda: world.deliver(1), die)
    with pytest.raises(KeyboardInterrupt):
        world.deliver()
    dead = world.due()
    box.queue.settle(dead)  # its task is lost as well
    assert ran == []

    for _ in range(8):
        box.travel(by=2 * MINUTE)
        box.drain()

    assert ran == [1]


def die():
    """Die without a chance to give anything back."""
    raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def _death(monkeypatch):
    """Let a process that dies write nothing any more."""
    leave = Admission._leave

    def unless_dead(self, *args, **options):
        if not isinstance(sys.exc_info()[1], KeyboardInterrupt):
            leave(self, *args, **options)

    monkeypatch.setattr(Admission, "_leave", unless_dead)


def test_one_that_was_called_by_a_process_that_died_before_it_made_the_task(world, box, ran):
    world.task("a", 0)
    world.task("a", 1)
    world.meanwhile(0, lambda: world.deliver(1), lambda: lose(box.queue))
    world.deliver()
    assert [each.task.label for each in box.queue.due()] == []
    assert world.flow().running == 1

    for _ in range(3):
        box.travel(by=2 * MINUTE)
        box.drain()

    assert ran == [0, 1]


def lose(queue):
    """Let the next task not be created."""
    enqueue = queue.enqueue

    def enqueue_once(_task):
        queue.enqueue = enqueue
        raise EnqueueError("lost")

    queue.enqueue = enqueue_once


def test_a_clock_that_is_set_back_holds_up_no_call(world, box, ran):
    world.task("a", 0)
    transact, pauses = box.store.transact, []

    def set_back(work):
        box.store.transact = transact
        result = transact(work)
        box.clock.advance(-12 * MINUTE)
        return result

    box.store.transact = set_back
    object.__setattr__(box.wiring.adapters, "wait", lambda _, seconds: pauses.append(seconds))
    world.box.deliver(world.due())

    assert ran == [0]
    assert pauses == []


def test_a_call_whose_guard_could_not_be_called_is_not_acknowledged(world, box, ran):
    world.task("a", 0)
    world.task("a", 1)
    second, outcomes = world.due(1), []

    def visit():
        lose(box.queue)
        outcomes.append(box.deliver(second))
        outcomes.append(box.deliver(second))

    world.meanwhile(0, visit)
    world.deliver()

    assert outcomes == [Outcome.TROUBLE, Outcome.DONE]
    assert any(each.task.label == GUARD for each in box.queue.tasks.values())
    box.drain()
    assert ran == [0, 1]


def test_a_permit_whose_answer_was_lost_is_given_back(world, box, ran):
    world.task("a", 0)
    transact, outcomes = box.store.transact, []

    def lost(work):
        box.store.transact = transact
        transact(work)
        raise StoreError("no answer")

    box.store.transact = lost
    outcomes.append(world.deliver())
    outcomes.append(world.deliver())

    assert outcomes == [Outcome.TROUBLE, Outcome.DONE]
    assert ran == [0]


def test_a_cancelled_call_is_left_out(world, box, ran):
    handles = [world.task("a", number) for number in range(3)]
    world.meanwhile(0, *[lambda: world.deliver(1)] * 2)
    states = []
    world.within[0] = lambda: [
        world.deliver(1),
        world.deliver(1),
        states.append(handles[1].fetch().last_status),
        states.append(handles[1].cancel()),
        states.append(handles[1].fetch()),
    ]
    world.deliver()
    box.drain()

    assert states == ["WAITING", True, None]
    assert ran == [0, 2]
    assert not handles[2].cancel()


def test_a_call_that_expires_while_it_waits_is_dropped_and_keeps_nobody(world, box, ran):
    world.task("a", 0)
    world.task.options(expires=60)("a", 1)
    world.task("a", 2)
    world.within[0] = lambda: [
        world.deliver(1),
        world.deliver(1),
        box.clock.advance(2 * MINUTE),
    ]
    world.deliver()
    box.drain()

    assert ran == [0, 2]


def test_many_calls_that_have_expired_in_a_line_are_dropped_in_small_transactions(
    app, box, commits
):
    @app.deferred(name="kept", flow=Flow(concurrency=1), expires=60, keep_result=3600)
    def kept(): ...

    flows = app.flows()
    flows.pause("kept")
    handles = [kept() for _ in range(350)]
    box.drain()
    box.clock.advance(2 * MINUTE)
    commits.clear()
    flows.resume("kept")
    box.drain()

    assert max(commits) < 250
    for handle in handles:
        with pytest.raises(CallDroppedError, match="expired"):
            handle.result()
    assert (flows.get("kept", "").running, flows.get("kept", "").waiting) == (0, 0)


def test_a_line_that_takes_months_loses_nobody_to_the_clean_up(app, box, ran):
    @app.deferred(name="rare", flow=Flow(rate="2/d"))
    def rare(number):
        ran.append(number)

    rare.map(range(210))  # so many that some wait on a page of its own
    box.drain()
    for _ in range(220):
        box.travel(by=43_200)
        box.wiring.cleaner.clean_up()
        box.drain()

    assert ran == list(range(210))


@pytest.mark.parametrize("key", [None, "a"])
def test_a_pause_of_months_loses_nobody_to_the_clean_up(world, box, ran, key):
    flows = world.app.flows()
    flows.pause("work", key)
    for number in range(3):
        world.task("a", number)
    box.drain()
    box.travel(by=86_400 * 100)
    box.wiring.cleaner.clean_up()
    flows.resume("work", key)
    box.drain()
    box.travel(by=120)
    box.drain()

    assert ran == [0, 1, 2]


def test_a_call_with_two_flows_holds_neither_while_it_waits_for_one(app, box, ran):
    world = World(box, app, ran)
    world.task = world.declare(
        "both", flow=[Flow(key="tenant", concurrency=1), Flow(concurrency=2, name="all")]
    )
    for tenant, number in (("a", 0), ("a", 1), ("b", 2), ("c", 3)):
        world.task(tenant, number)
    seen = []
    world.meanwhile(2, lambda: world.deliver(2), lambda: seen.append(flows()))
    world.meanwhile(0, lambda: world.deliver(1), lambda: world.deliver(1))

    def flows():
        return {(each.flow, each.key): (each.running, each.waiting) for each in app.flows().find()}

    world.deliver()

    assert seen == [{("both", "a"): (1, 1), ("both", "b"): (1, 0), ("all", ""): (2, 1)}]
    box.drain()
    assert sorted(ran) == [0, 1, 2, 3]
    assert world.peak == 2
    assert set(flows().values()) == {(0, 0)}


def test_tasks_that_name_the_same_flow_share_it(app, box, ran):
    world = World(box, app, ran)
    one = world.declare("one", flow=Flow(concurrency=1, name="smtp"))
    two = world.declare("two", flow=Flow(concurrency=1, name="smtp"))
    one("a", 0)
    two("b", 1)
    world.meanwhile(0, lambda: world.deliver(1))
    world.deliver()

    assert ran == [0]
    box.drain()
    assert ran == [0, 1]


def test_a_call_may_have_a_key_of_its_own(world, ran):
    world.task("a", 0)
    world.task.options(flow_key="other")("a", 1)
    world.meanwhile(0, lambda: world.deliver(1))
    world.deliver()

    assert ran == [1, 0]
    assert world.flow("other").limits == "concurrency=1"


def test_a_paused_key_lets_nobody_begin_until_it_is_resumed(world, app, box, ran):
    app.flows().pause("work", "a")
    world.task("a", 0)
    world.task("b", 1)
    box.drain()
    assert ran == [1]
    assert world.flow().waiting == 1

    app.flows().resume("work", "a")
    box.drain()
    assert ran == [1, 0]


def test_a_paused_flow_holds_for_all_keys(world, app, box, ran):
    app.flows().pause("work")
    world.task("a", 0)
    world.task("b", 1)
    box.drain()
    assert ran == []

    app.flows().resume("work")
    box.drain()
    assert sorted(ran) == [0, 1]


def test_a_limit_is_raised_live_and_pinned_for_one_key(world, app, box, ran):
    for number in range(4):
        world.task("a", number)
    world.within[0] = lambda: [
        *(world.deliver(1) for _ in range(3)),
        app.flows().limit("work", "a", concurrency=3),
        box.deliver(next(each for each in box.queue.due() if each.task.label == GUARD)),
        world.deliver(1),
    ]
    world.meanwhile(1, lambda: world.deliver(2))
    world.deliver()

    assert world.peak == 3
    assert app.flows().get("work", "a").concurrency == 3
    box.drain()
    assert sorted(ran) == [0, 1, 2, 3]


def test_a_call_of_an_earlier_revision_without_keys_has_those_of_its_arguments(app, box, ran):
    plain = app.deferred(name="later")(lambda tenant: ran.append(tenant))  # noqa: PLW0108 - its name
    plain("a")
    object.__setattr__(
        box.wiring.tasks.get("later"),
        "defaults",
        plain.defaults._replace(flow=(Flow(key="tenant", concurrency=1),)),
    )
    box.drain()

    assert ran == ["a"]
    assert app.flows().get("later", "a").limits == "concurrency=1"


def test_calls_wait_sealed_where_there_is_a_key(app, ran):
    sealed = replace(
        SETTINGS,
        envelope_key=(base64.b64encode(bytes(32)).decode(),),
        envelope_seal=Seal.ENCRYPTED,
        envelope_required=True,
    )
    with sandbox(app, sealed) as box:
        world = World(box, app, ran)
        world.task("a", 0)
        handle = world.task("a-secret", 1)
        handle = world.task("a", 2)
        world.meanwhile(0, lambda: world.deliver(2))
        world.deliver()
        stored = box.store.records[RecordKey(CALL, handle.id)][1]["parked"]
        assert stored.startswith(b"\xad")
        box.drain()
        assert sorted(ran) == [0, 1, 2]


def test_the_guards_are_not_among_the_calls_of_a_test(world, box):
    world.task("a", 0)
    world.task("a", 1)
    world.meanwhile(0, lambda: world.deliver(1))
    world.deliver()

    assert [call.task for call in box.enqueued()] == ["work", "work"]


def test_a_line_of_hundreds_keeps_its_order(world, app, box, ran):
    app.flows().pause("work", "a")
    for number in range(350):
        world.task("a", number)
    box.drain()
    assert world.flow().waiting == 350
    names = {key.name for key in box.store.records if key.kind == "AdjournFlowPage"}
    assert names == {f"{digest_of('work', 'a')}-{n}" for n in range(2)}

    app.flows().resume("work", "a")
    box.drain()

    assert ran == list(range(350))
    assert not [key for key in box.store.records if key.kind == "AdjournFlowPage"]


def test_threads_of_a_process_share_commits(world, app, box, commits):
    """What came up while one commits is committed together."""
    app.flows().pause("work", "a")
    for number in range(20):
        world.task("a", number)
    commits.clear()
    gate, transact = threading.Event(), box.store.transact

    def slow(work):
        gate.wait(10)
        return transact(work)

    box.store.transact = slow
    threads = [threading.Thread(target=box.deliver, args=(each,)) for each in list(box.queue.due())]
    combined = box.wiring.admission._combined._combined
    for thread in threads:
        thread.start()
    while not (combined._lanes and len(next(iter(combined._lanes.values())).jobs) >= 19):
        threading.Event().wait(0.001)
    gate.set()
    for thread in threads:
        thread.join()

    assert world.flow().waiting == 20
    assert len(commits) == 2

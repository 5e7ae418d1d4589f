"""The end of a call that met nobody is one write, without a read; with others it is as it was."""

import datetime as dt

import pytest

from adjourn import Flow
from adjourn.execution.delivery import Outcome
from adjourn.flow.limits import GUARD


@pytest.fixture
def transactions(box):
    """Return a list to which each transaction adds an entry."""
    made, transact = [], box.store.transact

    def counted(work):
        made.append(None)
        return transact(work)

    box.store.transact = counted
    return made


class World:
    """A task, in whose calls things happen."""

    def __init__(self, box, app, ran, flow):
        self.box, self.flows, self.within = box, app.flows(), {}

        @app.deferred(name="work", flow=flow)
        def work(key, number):  # noqa: ARG001
            self.within.pop(number, lambda: None)()
            ran.append(number)

        self.work = work

    def deliver(self, index=0):
        due = [each for each in self.box.queue.due() if each.task.label != GUARD]
        return self.box.deliver(due[index])

    def running(self):
        found = self.flows.get("work", "a")
        return found.running, found.waiting


@pytest.fixture
def world(box, app, ran):
    return World(box, app, ran, Flow(key="key", concurrency=2))


def test_a_call_that_runs_alone_reads_its_key_once(world, transactions, commits):
    world.work("a", 0)

    assert world.deliver() is Outcome.DONE
    assert (len(transactions), commits) == (1, [1, 1])
    assert world.running() == (0, 0)


def test_calls_of_different_keys_are_remembered_side_by_side(world, transactions, ran):
    world.work("a", 0)
    world.work("b", 1)
    world.within[0] = lambda: world.deliver(1)
    world.deliver()

    assert (len(transactions), ran) == (2, [1, 0])
    assert world.running() == (0, 0)


def test_of_two_calls_that_overlap_each_gives_its_own_permit_back(world, transactions, ran):
    for number in range(2):
        world.work("a", number)
    during = []
    world.within[0] = lambda: (world.deliver(1), during.append(world.running()))
    world.deliver()

    assert (ran, during) == ([1, 0], [(1, 0)])
    assert len(transactions) == 3  # two begin; the second ends as it began, the first does not
    assert world.running() == (0, 0)


def test_who_waits_is_called_by_the_end(world, ran, box):
    for number in range(4):
        world.work("a", number)
    world.within[0] = lambda: [world.deliver(1) for _ in range(3)]
    world.within[1] = lambda: [world.deliver(2) for _ in range(2)]
    world.deliver()
    box.drain()

    assert sorted(ran) == [0, 1, 2, 3]
    assert world.running() == (0, 0)


@pytest.mark.parametrize("change", ["pause", "limit"])
def test_what_is_set_while_a_call_runs_stays(world, change):
    world.work("a", 0)
    steps = {
        "pause": lambda: world.flows.pause("work", "a"),
        "limit": lambda: world.flows.limit("work", "a", concurrency=7),
    }
    world.within[0] = steps[change]
    world.deliver()

    found = world.flows.get("work", "a")
    assert (found.running, found.is_paused) == (0, change == "pause")
    assert ("concurrency=7" in found.limits) == (change == "limit")


def test_what_another_process_has_done_meanwhile_stays(world, box, transactions, ran):
    admission, during = box.wiring.admission, []
    for number in range(2):
        world.work("a", number)

    def elsewhere():
        own = vars(admission).pop("_combined")  # what this process remembers
        world.deliver(1)
        vars(admission)["_combined"] = own
        during.append(world.running())

    world.within[0] = elsewhere
    world.deliver()

    assert (ran, during) == ([1, 0], [(1, 0)])
    assert len(transactions) == 3  # the last one since the record had changed
    assert world.running() == (0, 0)


def test_a_call_that_outlives_its_permit_is_told(world, box, caplog):
    world.work("a", 0)
    world.within[0] = lambda: box.clock.advance(dt.timedelta(hours=1))
    world.deliver()

    assert "outlived the permit" in caplog.text
    assert world.running() == (0, 0)

"""Startup tasks: each on its own, as often as it should, and nobody waits for them."""

import dataclasses
import os
import subprocess
import sys
import threading

import pytest

import adjourn
from adjourn.application.start import with_startup_tasks
from adjourn.execution.delivery import Outcome
from adjourn.ports import RecordKey
from adjourn.startup import KIND
from adjourn.testing import SETTINGS, MemoryQueue, MemoryStore
from tests.unit.startup_shop import warm


@pytest.fixture
def started(app, box):  # noqa: ARG001 - it has to be there
    """Return what starts a process, one of another instance each time; it ends at once."""

    def start(revision="one"):
        settings = dataclasses.replace(SETTINGS, revision=revision)
        with app.rewired(settings, app.wiring()._adapters) as wiring:
            pauses = []
            wiring.startup.sleep = pauses.append
            app.run_startup_tasks(wait=True)
        return pauses

    return start


@pytest.fixture
def note(app, ran):
    """Return what declares a startup task that notes its name when it runs."""

    def declare(name, **options):
        def work():
            ran.append(name)

        return app.startup_task(name=name, **options)(work)

    return declare


# The faults of the ancestor


def test_each_runs_as_a_task_of_its_own(note, box, ran, started):
    for name in ("warm", "migrate", "check"):
        note(name)

    started()

    assert len(box.queue.tasks) == 3
    assert box.drain() == [Outcome.DONE] * 3
    assert sorted(ran) == ["check", "migrate", "warm"]


def test_one_that_fails_neither_blocks_the_others_nor_repeats_them(note, app, box, ran, started):
    note("first")

    @app.startup_task(name="broken", max_retries=2)
    def broken():
        ran.append("broken")
        raise RuntimeError

    note("last")
    started()

    outcomes = [box.deliver(each) for _ in range(3) for each in box.queue.due()]

    assert outcomes.count(Outcome.DONE) == 2
    assert sorted(ran) == ["broken", "broken", "broken", "first", "last"]


def test_many_instances_of_a_revision_make_one_task(note, box, ran, started):
    note("migrate", once_per="revision")

    for _ in range(3):
        started()
        box.drain()

    assert ran == ["migrate"]


def test_every_instance_makes_its_own_task_where_that_is_asked(note, box, ran, started):
    note("warm")

    for _ in range(3):
        started()
    box.drain()

    assert ran == ["warm"] * 3


# Once per revision


def test_the_next_revision_runs_it_again(note, box, ran, started):
    note("migrate", once_per="revision")

    for revision in ("one", "two", "one"):
        started(revision)
        box.drain()

    assert ran == ["migrate"] * 2


def test_a_revision_is_remembered_when_cloud_tasks_has_forgotten_the_name(note, box, ran, started):
    note("migrate", once_per="revision")
    started()
    box.drain()
    box.queue._tombstones.clear()

    started()
    box.drain()

    assert ran == ["migrate"]


def test_a_start_that_dies_before_it_could_note_it_is_made_good_by_the_next(
    note, box, ran, started, monkeypatch
):
    note("migrate", once_per="revision")
    with monkeypatch.context() as patch:
        patch.setattr(MemoryStore, "put", fails(adjourn.StoreError("away")))
        started()
    assert len(box.queue.tasks) == 1

    started()
    box.drain()

    assert ran == ["migrate"]
    assert [key.kind for key in box.store.records] == [KIND]


def test_what_was_enqueued_is_noted(note, box, started):
    note("migrate", once_per="revision")

    started("shop-00007-abc")

    ((key, (_, record)),) = box.store.records.items()
    assert isinstance(key, RecordKey)
    assert record == {
        "task": "migrate",
        "revision": "shop-00007-abc",
        "enqueued_at": box.clock.now(),
    }


def test_once_per_instance_costs_no_operation_of_the_store(note, box, started, monkeypatch):
    note("warm")
    for name in ("get", "put", "transact"):
        monkeypatch.setattr(MemoryStore, name, fails(AssertionError(name)))

    assert started() == []
    assert len(box.queue.tasks) == 1


@pytest.mark.usefixtures("box")
def test_without_a_revision_nothing_starts_that_needs_one(note, app):
    note("warm")
    app.wiring().check()
    note("migrate", once_per="revision")

    for start in (app.wiring().check, app.run_startup_tasks):
        with pytest.raises(adjourn.ConfigurationError, match="ADJOURN_REVISION is not set"):
            start()


# Trouble


def fails(error):
    def fail(*_, **__):
        raise error

    return fail


def failing(monkeypatch, error, *, times, only=""):
    """Let the queue refuse the next tasks."""
    left, enqueue = [error] * times, MemoryQueue.enqueue

    def refuse(self, task):
        if left and only in task.label:
            raise left.pop()
        return enqueue(self, task)

    monkeypatch.setattr(MemoryQueue, "enqueue", refuse)


def test_one_that_cannot_be_enqueued_is_tried_again_after_longer_and_longer_pauses(
    note, box, started, monkeypatch, lines
):
    note("warm")
    failing(monkeypatch, adjourn.UnavailableError("away"), times=3)

    assert started() == [1, 5, 25]
    assert box.drain() == [Outcome.DONE]
    events = [(line["event"], line["severity"]) for line in lines()]
    assert events[:4] == [*[("startup.failed", "WARNING")] * 3, ("startup.enqueued", "INFO")]


@pytest.mark.parametrize("error", [adjourn.QueueNotFoundError("none"), ZeroDivisionError("ours")])
def test_in_the_end_it_is_given_up(note, box, started, monkeypatch, error):
    note("warm")
    failing(monkeypatch, error, times=9)

    assert started() == [1, 5, 25]
    assert not box.queue.tasks


def test_what_is_given_up_is_logged_as_an_error(note, started, monkeypatch, lines):
    note("warm")
    failing(monkeypatch, adjourn.QueueNotFoundError("none"), times=9)

    started()

    *_, last = lines()
    assert (last["event"], last["severity"], last["task"]) == ("startup.failed", "ERROR", "warm")


def test_one_that_cannot_be_enqueued_does_not_hold_up_the_others(note, box, started, monkeypatch):
    for name in ("first", "broken", "last"):
        note(name)
    failing(monkeypatch, adjourn.UnavailableError("away"), times=99, only="broken")

    started()

    assert sorted(each.task.label for each in box.queue.tasks.values()) == ["first", "last"]


def test_a_start_does_not_wait(note, app, box, monkeypatch):
    note("warm")
    may_go_on, enqueue = threading.Event(), MemoryQueue.enqueue

    def enqueue_late(self, task):
        assert may_go_on.wait(30)
        return enqueue(self, task)

    monkeypatch.setattr(MemoryQueue, "enqueue", enqueue_late)
    app.run_startup_tasks()
    assert not box.queue.tasks

    may_go_on.set()
    app.run_startup_tasks(wait=True)
    assert len(box.queue.tasks) == 1


# Processes


def test_a_process_begins_once(note, app, box):
    note("warm")

    for _ in range(3):
        app.run_startup_tasks(wait=True)

    assert len(box.queue.tasks) == 1


def test_an_application_without_startup_tasks_starts_nothing(app, box):
    app.run_startup_tasks()

    wiring = app.wiring()
    assert with_startup_tasks(wiring, wiring.receive_task) is wiring.receive_task
    assert not box.queue.tasks


@pytest.fixture
def hooks(monkeypatch):
    """Return what this process was told to do in those that it forks."""
    found = []
    monkeypatch.setattr(
        os, "register_at_fork", lambda **hooks: found.append(hooks["after_in_child"])
    )
    return found


def test_the_function_begins_in_the_workers_that_are_forked_from_it(
    note, app, box, hooks, monkeypatch
):
    note("warm")
    wiring = app.wiring()
    with_startup_tasks(wiring, wiring.receive_task)
    (forked,) = hooks
    loader = os.getpid()

    def begin_in(pid, parent):
        monkeypatch.setattr(os, "getpid", lambda: pid)
        monkeypatch.setattr(os, "getppid", lambda: parent)
        forked()
        for thread in wiring.startup._threads:
            thread.join()

    begin_in(loader + 2, loader + 1)
    assert not box.queue.tasks  # in what a worker forked
    begin_in(loader + 1, loader)
    assert len(box.queue.tasks) == 1
    begin_in(loader + 3, loader)
    assert len(box.queue.tasks) == 1  # another worker of the same instance
    box.queue.tasks.clear()
    begin_in(loader + 4, loader)
    assert len(box.queue.tasks) == 1  # it makes good what the first one could not


@pytest.mark.usefixtures("hooks")
def test_where_nothing_is_forked_it_begins_with_the_first_delivery(note, app, box):
    note("warm")
    wiring = app.wiring()
    receive = with_startup_tasks(wiring, wiring.receive_task)

    assert not box.queue.tasks
    outcomes = [receive(box.delivery("https://elsewhere.example", b"")) for _ in range(2)]
    for thread in wiring.startup.begin():
        thread.join()

    assert outcomes == [Outcome.UNAUTHENTICATED] * 2
    assert len(box.queue.tasks) == 1


FORK = """
import os
from adjourn.application.start import with_startup_tasks
from adjourn.testing import sandbox
from tests.unit.startup_shop import app

with sandbox(app) as box:
    wiring = app.wiring()
    with_startup_tasks(wiring, wiring.receive_task)
    pid = os.fork()
    if not pid:
        for thread in wiring.startup.begin():
            thread.join(30)
        os._exit(len(box.queue.tasks))
    said = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(f"{len(box.queue.tasks)} here, {said} in the worker")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_really_forks_begins_in_the_child_alone():
    said = subprocess.check_output(
        [sys.executable, "-c", FORK],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
        timeout=60,
    )

    assert said == "0 here, 1 in the worker\n"


# Declaring


def test_it_is_a_task_that_can_be_called_as_well(app, box, ran):
    @app.startup_task(name="warm", queue="slow")
    def warm():
        ran.append("warm")

    assert warm().queue == "slow"
    assert "slow" in app.queues("default")
    box.drain()
    assert ran == ["warm"]


def test_parentheses_may_be_left_out():
    assert isinstance(warm, adjourn.Task)
    assert warm.name == "tests.unit.startup_shop.warm"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"once_per": "day"}, 'must be "instance" or "revision"'),
        ({"unique_by": "task"}, "leave unique_by out"),
        ({"que": "x"}, "There is no option 'que'"),
    ],
)
def test_a_wrong_option_is_refused(note, options, said):
    with pytest.raises(adjourn.DeclarationError, match=said):
        note("warm", **options)


def test_it_takes_no_arguments(app):
    with pytest.raises(adjourn.DeclarationError, match="startup task, so it is called without"):

        @app.startup_task(name="warm")
        def warm(x): ...


def lazy():
    yield


def test_what_would_not_run_is_refused(app):
    with pytest.raises(adjourn.DeclarationError, match="is a generator"):
        app.startup_task(lazy)

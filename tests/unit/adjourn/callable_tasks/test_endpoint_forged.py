"""Nobody starts a task in the name of a user by writing her name into a call."""

import datetime as dt

import pytest

from adjourn import CallableTask, PermanentTaskFailure, RetryLater, Snooze, current_task
from adjourn.errors import StoreError
from adjourn.execution.delivery import Outcome
from adjourn.execution.replay import StoredDeadLetters
from adjourn.ports import NewTask, Target
from adjourn.serialization.envelope import Envelope
from adjourn.state.user_starts import KIND

ANN = "ann@shop.example"
DAY = dt.timedelta(days=1)


@pytest.fixture
def endings():
    return []


@pytest.fixture(autouse=True)
def tasks(app, ran, endings):
    @app.deferred(name="plain")
    def plain():
        ran.append(("plain", current_task().user))

    class Rebuild(CallableTask):
        def can_call(self, user):
            return user.email == ANN

        def execute(self, limit: int = 0):
            ran.append((limit, current_task().user))
            plain()
            if endings:
                raise endings.pop(0)

    class Other(Rebuild):
        def execute(self, limit: int = 0):
            ran.append(("other", limit))

    class Unique(Rebuild):
        options = {"unique_by": "arguments", "unique_for": DAY}  # noqa: RUF012

    class Late(Rebuild):
        options = {"delay": 200 * DAY}  # noqa: RUF012

    for cls in (Rebuild, Other, Unique, Late):
        app.callable_task(cls)


def starts(box):
    return {key.name: r for key, (_, r) in box.store.records.items() if key.kind == KIND}


def started(box, key="Rebuild", **parameters):
    """Let Ann start a task; return what waits."""
    assert box.ask(ANN, key, parameters).status == 202
    (queued,) = box.queue.tasks.values()
    return queued


def decoded(box, queued):
    return Envelope.decode(queued.task.body, box.wiring.enqueuer.codec)


def put(box, envelope, name="forged"):
    body = envelope.encode(box.wiring.enqueuer.codec)
    new = NewTask(target=Target.DEFERRED, label="", queue="default", body=body, name=name)
    return box.queue.tasks[box.queue.enqueue(new)]


def test_what_a_user_started_runs_in_her_name(box, ran):
    assert box.deliver(started(box, limit=5)) is Outcome.DONE

    assert ran == [(5, ANN)]


@pytest.mark.parametrize("user", [{"user": ANN}, {}], ids=["ann", "nobody"])
@pytest.mark.parametrize("start", ["", "guessed"])
def test_a_call_that_nobody_started_does_not_run(box, ran, user, start):
    forged = Envelope(
        id="forged",
        task="callable:Rebuild",
        args=({"limit": 5},),
        enqueued_at=box.clock.now(),
        context=user,
        user_start=start,
    )

    assert box.deliver(put(box, forged)) is Outcome.DEAD

    assert ran == []
    (letter,) = box.dead_letters()
    assert letter.error.startswith("DecodeError: No user is known to have started it")
    assert ANN not in letter.error


@pytest.mark.parametrize(
    "changes",
    [
        {"args": ({"limit": 6},)},
        {"args": ()},
        {"args": ({"limit": 5}, 1)},
        {"args": ({"limit": b"5"},)},
        {"kwargs": {"limit": 6}},
        {"task": "callable:Other"},
        {"context": {"user": "bob@shop.example"}},
        {"context": {}},
        {"user_start": ""},
    ],
    ids=str,
)
def test_a_record_holds_for_its_task_user_and_parameters(box, ran, changes):
    genuine = decoded(box, started(box, limit=5))

    assert box.deliver(put(box, genuine._replace(**changes))) is Outcome.DEAD

    assert ran == []


def test_what_a_started_task_calls_does_not_inherit_the_record(box, ran):
    box.deliver(started(box, limit=5))
    (plain,) = box.queue.tasks.values()

    assert decoded(box, plain).user_start == ""
    box.drain()
    assert ran[-1] == ("plain", ANN)


@pytest.mark.parametrize("ending", [Snooze(DAY), RetryLater(DAY), RuntimeError()], ids=repr)
def test_what_comes_back_is_still_what_she_started(box, ran, endings, ending):
    endings.append(ending)
    queued = started(box, limit=5)
    box.deliver(queued)
    box.clock.advance(DAY)
    box.drain()

    assert ran.count((5, ANN)) == 2


def test_a_unique_task_can_be_started(box, ran):
    assert box.deliver(started(box, "Unique", limit=5)) is Outcome.DONE

    assert ran == [(5, ANN)]
    assert box.ask(ANN, "Unique", {"limit": 5}).content["is_new"] is False


def test_a_record_is_kept_for_as_long_as_its_call_may_be_carried(box, ran, endings):
    started(box, "Late", limit=5)
    (record,) = starts(box).values()
    assert record["expires_at"] == box.clock.now() + 360 * DAY

    endings += [Snooze(30 * DAY)] * 10
    while not ran:
        box.clock.advance(25 * DAY)
        box.drain()
    for _ in range(10):
        box.clock.advance(30 * DAY)
        box.drain()
        (record,) = starts(box).values()
        assert record["expires_at"] - box.clock.now() >= 121 * DAY
    assert ran.count((5, ANN)) == 11


def test_nothing_is_started_that_cannot_be_recorded(box, monkeypatch):
    def away(*_, **__):
        raise StoreError("away")

    monkeypatch.setattr(box.store, "put", away)

    assert box.ask(ANN, "Rebuild").status == 503
    assert not box.queue.tasks


def test_a_call_waits_while_its_record_cannot_be_read(box, ran, monkeypatch):
    def away(*_, **__):
        raise StoreError("away")

    queued = started(box)
    with monkeypatch.context() as patch:
        patch.setattr(box.store, "get", away)
        assert box.deliver(queued) is Outcome.TROUBLE
    assert box.deliver(queued) is Outcome.DONE
    assert ran == [(0, ANN)]


# What an operator vouches for


@pytest.fixture
def dead_letters(box):
    return StoredDeadLetters(store=box.store, queue=box.queue, clock=box.clock)


@pytest.fixture
def refused(box):
    """Return the letter of a call as earlier versions of adjourn make it, and forgers do."""
    queued = started(box, limit=5)
    body = decoded(box, queued)._replace(user_start="")
    queued.task = queued.task._replace(body=body.encode(box.wiring.enqueuer.codec))
    assert box.deliver(queued) is Outcome.DEAD
    (letter,) = box.dead_letters()
    return letter


def test_a_replay_alone_is_no_start(box, ran, dead_letters, refused):
    dead_letters.replay(refused.task_id)

    assert box.drain() == [Outcome.DEAD]
    assert ran == []


def test_an_operator_can_vouch_for_a_call(box, ran, dead_letters, refused):
    dead_letters.replay(refused.task_id, is_vouched_for=True)

    assert box.drain() == [Outcome.DONE] * 2
    assert (5, ANN) in ran


def test_a_replay_of_what_she_started_needs_no_vouching(box, ran, endings, dead_letters):
    endings.append(PermanentTaskFailure("not today"))
    box.deliver(started(box, limit=5))
    (letter,) = box.dead_letters()

    box.clock.advance(80 * DAY)
    dead_letters.replay(letter.task_id)
    box.drain()

    assert ran.count((5, ANN)) == 2

"""Dead letters are found, run again and thrown away, and none is lost on the way."""

import datetime as dt
import enum
import itertools

import pytest

from adjourn import PermanentTaskFailure, current_task
from adjourn.errors import DecodeError, EnqueueError, StoreError, UnknownNameError
from adjourn.execution.dead_letters import KIND, DeadLetterRecorder
from adjourn.execution.delivery import Delivery
from adjourn.execution.replay import StoredDeadLetters
from adjourn.execution.stored_letters import DeadLetterFilter
from adjourn.names import CallIdentity
from adjourn.ports import RecordKey

HOUR = dt.timedelta(hours=1)


class Size(enum.Enum):
    SMALL = 1


class Mood:
    def __init__(self):
        self.is_bad = True
        self.ran = []


@pytest.fixture
def dead_letters(box):
    return StoredDeadLetters(store=box.store, queue=box.queue, clock=box.clock)


@pytest.fixture
def ran():
    return []


@pytest.fixture
def mood():
    return Mood()


@pytest.fixture
def moody(app, mood):
    """Give a task that dies while the mood is bad."""
    app.register(Size)

    @app.deferred(name="shop.moody", queue="mail")
    def work(*args, **kwargs):
        mood.ran.append((args, kwargs))
        if mood.is_bad:
            raise PermanentTaskFailure("not today")

    return work


def ids(dead_letters, **wanted):
    return [letter.task_id for letter in dead_letters.find(DeadLetterFilter(**wanted))]


def bury(box, task_id, task="shop.send", queue="mail", body=b"{}"):
    DeadLetterRecorder(store=box.store, clock=box.clock, notify=lambda *_: None).record(
        Delivery(authorization=[], body=body, queue=queue),
        ValueError("broken"),
        call=CallIdentity(task_id, "fingerprint"),
        task=task,
    )


@pytest.fixture
def three(box):
    bury(box, "a")
    box.clock.advance(HOUR)
    bury(box, "b", task="shop.bill")
    box.clock.advance(HOUR)
    bury(box, "c", queue="slow")


@pytest.mark.usefixtures("three")
def test_the_latest_come_first(dead_letters):
    assert ids(dead_letters) == ["c", "b", "a"]


@pytest.mark.usefixtures("three")
def test_filters_leave_those_that_meet_all_of_them(box, dead_letters):
    now = box.clock.now()

    assert ids(dead_letters, task="shop.send") == ["c", "a"]
    assert ids(dead_letters, queue="mail") == ["b", "a"]
    assert ids(dead_letters, task="shop.send", queue="mail") == ["a"]
    assert ids(dead_letters, since=now - HOUR) == ["c", "b"]
    assert ids(dead_letters, before=now - HOUR) == ["a"]
    assert ids(dead_letters, task="shop.send", since=now) == ["c"]
    assert ids(dead_letters, task="") == []


@pytest.mark.usefixtures("three")
def test_one_is_told_with_all_that_is_known(box, dead_letters):
    letter = dead_letters.get("a")

    assert (letter.task_id, letter.task, letter.queue) == ("a", "shop.send", "mail")
    assert (letter.attempts, letter.body) == (1, b"{}")
    assert letter.error == "ValueError: broken"
    assert letter.traceback == "ValueError: broken\n"
    assert letter.buried_at == box.clock.now() - 2 * HOUR
    assert letter.expires_at == letter.buried_at + dt.timedelta(days=90)
    assert letter.replayed_at is None


@pytest.mark.usefixtures("three")
def test_a_discarded_one_is_gone(dead_letters):
    dead_letters.discard("b")

    assert ids(dead_letters) == ["c", "a"]


@pytest.mark.parametrize("action", ["get", "replay", "discard"])
def test_an_unknown_id_is_said(dead_letters, action):
    with pytest.raises(UnknownNameError, match="There is no dead letter 'nobody'"):
        getattr(dead_letters, action)("nobody")


def test_a_replayed_call_runs_with_what_it_was_given(box, dead_letters, moody, mood):
    arguments = (Size.SMALL, {"$odd": (1, b"\0")}, "x" * 40_000)
    call = moody.defer(*arguments, size=Size.SMALL, **{"a$b": {2}})
    box.drain()
    mood.is_bad = False

    name = dead_letters.replay(call.id)

    assert ids(dead_letters) == []
    assert list(box.queue.tasks) == [name]
    assert "/queues/mail/" in name
    box.drain()
    assert mood.ran == [(arguments, {"size": Size.SMALL, "a$b": {2}})] * 2
    assert ids(dead_letters) == []


def test_it_has_its_attempts_before_it_again_and_expires_no_more(app, box, dead_letters):
    attempts = []

    @app.deferred(name="stubborn", max_retries=1)
    def work():
        attempts.append(current_task().attempt)
        raise RuntimeError

    call = work.options(expires=HOUR).defer()
    while box.queue.due():
        box.drain()
    box.clock.advance(2 * HOUR)
    dead_letters.replay(call.id)
    while box.queue.due():
        box.drain()

    assert attempts == [1, 2, 1, 2]
    assert dead_letters.get(call.id).attempts == 2


def test_one_that_dies_again_can_be_replayed_again(box, dead_letters, moody, mood):
    call = moody.defer()
    box.drain()
    names = set()
    for _ in range(3):
        names.add(dead_letters.replay(call.id))
        box.drain()

    assert len(names) == 3
    assert len(mood.ran) == 4
    assert ids(dead_letters) == [call.id]


def test_one_that_dies_before_its_old_letter_is_removed_leaves_its_new_letter(
    box, dead_letters, moody, monkeypatch
):
    call = moody.defer()
    box.drain()
    enqueue = box.queue.enqueue

    def enqueue_and_run(task):
        name = enqueue(task)
        box.drain()
        return name

    monkeypatch.setattr(box.queue, "enqueue", enqueue_and_run)
    dead_letters.replay(call.id)

    assert ids(dead_letters) == [call.id]
    assert dead_letters.get(call.id).replayed_at is None


@pytest.mark.parametrize("option", ["once", "no_retry"])
def test_a_claimed_call_really_runs_again(box, dead_letters, moody, mood, option):
    call = moody.options(**{option: True}).defer()
    box.drain()
    mood.is_bad = False

    dead_letters.replay(call.id)
    box.drain()

    assert len(mood.ran) == 2
    assert ids(dead_letters) == []


def interrupt_replay(box, dead_letters, task_id):
    """Replay a letter while Datastore is away from the enqueuing on."""
    transact, count = box.store.transact, itertools.count()

    def breaking(work):
        if next(count):
            raise StoreError("away")
        return transact(work)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(box.store, "transact", breaking)
        with pytest.raises(StoreError):
            dead_letters.replay(task_id)


@pytest.mark.parametrize("option", ["once", "no_retry"])
def test_an_interrupted_replay_that_is_repeated_makes_no_second_task(
    box, dead_letters, moody, mood, option
):
    call = moody.options(**{option: True}).defer()
    box.drain()
    mood.is_bad = False
    interrupt_replay(box, dead_letters, call.id)
    (name,) = box.queue.tasks
    box.drain()

    assert dead_letters.get(call.id).replayed_at == box.clock.now()
    assert dead_letters.replay(call.id) == name
    assert not box.queue.tasks
    assert ids(dead_letters) == []
    assert len(mood.ran) == 2


def test_a_claimed_call_takes_effect_once_even_if_its_name_was_freed_before_the_repetition(
    box, dead_letters, moody, mood
):
    call = moody.options(once=True).defer()
    box.drain()
    mood.is_bad = False
    interrupt_replay(box, dead_letters, call.id)
    box.drain()
    box.clock.advance(dt.timedelta(days=1))

    dead_letters.replay(call.id)
    box.drain()

    assert len(mood.ran) == 2


def test_whoever_still_held_the_call_is_shut_out_by_the_replay(app, box, dead_letters, ran):
    @app.deferred(name="slow", once=True)
    def work():
        ran.append(1)
        if len(ran) == 1:
            raise PermanentTaskFailure

    @app.on_dead
    def replay_at_once(letter):
        dead_letters.replay(letter.task_id)

    work()
    box.drain()

    assert len(ran) == 2
    assert ids(dead_letters) == []


def test_without_a_queue_the_letter_stays(box, dead_letters, moody, monkeypatch):
    call = moody.defer()
    box.drain()

    def refuse(_):
        raise EnqueueError("no such queue")

    with monkeypatch.context() as patch:
        patch.setattr(box.queue, "enqueue", refuse)
        with pytest.raises(EnqueueError):
            dead_letters.replay(call.id)

    assert ids(dead_letters) == [call.id]
    assert dead_letters.replay(call.id) in box.queue.tasks


@pytest.mark.parametrize(
    ("task", "body", "reason"),
    [
        ("", b"\xff", "The body is not JSON"),
        ("", b"[]", "not an envelope"),
        ("", b'{"v": 9}', "deploy the adjourn that wrote it"),
        ("step", b'{"v": 1, "run": "r", "step": 7}', "start the iteration again"),
    ],
)
def test_what_holds_no_call_is_refused_with_the_reason(box, dead_letters, task, body, reason):
    bury(box, "bad", task=task, body=body)

    with pytest.raises(DecodeError, match=f"bad cannot be replayed: .*{reason}"):
        dead_letters.replay("bad")

    assert dead_letters.get("bad").replayed_at is None
    assert not box.queue.tasks


def test_a_call_that_the_application_could_not_read_can_be_replayed_once_it_can(
    app, box, dead_letters, ran
):
    @app.deferred(name="late")
    def work(size):
        ran.append(size)

    body = (
        b'{"v":1,"id":"7f3a","task":"late","enqueued_at":{"$datetime":"2026-01-01T00:00:00+00:00"},'
        b'"args":[{"$:tests.Size":"SMALL"}],"kwargs":{}}'
    )
    bury(box, "undecodable-1", task="", body=body)
    app._declared.codec.register(Size, "tests.Size")

    dead_letters.replay("undecodable-1")
    box.drain()

    assert ran == [Size.SMALL]
    assert box.store.get([RecordKey(KIND, "undecodable-1")]) == [None]


def test_a_guarded_call_is_replayed_without_its_marker_which_may_be_gone(
    box, dead_letters, moody, mood
):
    with box.transactions.begin():
        call = moody.defer()
    box.clock.advance(dt.timedelta(seconds=2))
    box.drain()
    mood.is_bad = False
    box.clock.advance(dt.timedelta(days=40))
    box.store.records.pop(RecordKey("AdjournMarker", call.id))

    dead_letters.replay(call.id)
    box.drain()

    assert len(mood.ran) == 2


# Changed by hand


@pytest.mark.parametrize("name", ["task", "queue", "attempts", "error", "body", "traceback", ...])
@pytest.mark.parametrize("value", [None, "text", 5, ...])
def test_a_letter_that_was_changed_by_hand_keeps_no_other_from_being_found(
    box, dead_letters, moody, name, value
):
    first, second = moody(1).id, moody(2).id
    box.drain()
    key = RecordKey(KIND, first)
    (record,) = box.store.get([key])
    changed = {k: v for k, v in record.items() if k != name} if value is ... else {**record}
    if name is ...:
        changed = {"buried_at": record["buried_at"]}
    elif value is not ...:
        changed[name] = value
    box.store.put(key, changed)

    assert sorted(ids(dead_letters)) == sorted([first, second])
    assert dead_letters.get(first).task_id == first
    if name in {"body", ...}:
        with pytest.raises(DecodeError, match="cannot be replayed"):
            dead_letters.replay(first)
    dead_letters.discard(first)
    assert ids(dead_letters) == [second]

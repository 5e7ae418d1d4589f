"""Calls that no task can carry wait in Datastore, whole, for as long as they are needed."""

import datetime as dt
import itertools
import random

import pytest

from adjourn import Discard, PermanentTaskFailure, Snooze
from adjourn.errors import DecodeError, EncodeError, StoreError, UnavailableError
from adjourn.execution.dead_letters import KIND as DEAD
from adjourn.execution.delivery import Outcome
from adjourn.execution.replay import StoredDeadLetters
from adjourn.ports import RecordKey
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn.serialization.payload_reference import MAX_BODY, MAX_CALL
from adjourn.state.large_payloads import KIND, LargePayloads, parts
from adjourn.testing import FakeClock, MemoryStore

BIG = random.Random(1).randbytes(2_000_000)
DAY = dt.timedelta(days=1)


@pytest.fixture
def ran():
    return []


@pytest.fixture
def endings():
    """Return what the attempts raise, one after the other; None is success."""
    return []


@pytest.fixture
def work(app, ran, endings):
    @app.deferred(name="work")
    def work(data, *, word=""):
        ran.append((data, word))
        if endings and (ending := endings.pop(0)):
            raise ending

    return work


@pytest.fixture
def dead_letters(box):
    return StoredDeadLetters(store=box.store, queue=box.queue, clock=box.clock)


def payloads(box):
    return {key.name: r for key, (_, r) in box.store.records.items() if key.kind == KIND}


def letters(box):
    return [record for key, (_, record) in box.store.records.items() if key.kind == DEAD]


def spoil(box, key, **changes):
    box.store.put(RecordKey(KIND, key), {**payloads(box)[key], **changes})


def away(*_args, **_more):
    raise StoreError("Datastore is away")


def kept(box):
    """Return what is stored but for the small records of calls that left their first task."""
    return {key: it for key, it in box.store.records.items() if key.kind != "AdjournCall"}


@pytest.mark.parametrize("size", [0, 1, 999_999, 1_000_000, 1_000_001, 2_000_000])
def test_pieces_are_all_of_a_body_and_none_is_too_big(size):
    body = bytes(size)

    assert b"".join(parts(body)) == body
    assert all(0 < len(piece) <= 1_000_000 for piece in parts(body))


def test_a_big_argument_arrives_equal_and_leaves_nothing_behind(box, work, ran):
    handle = work(BIG, word="and all the rest")

    (task,) = box.queue.tasks.values()
    assert len(task.task.body) < 1000
    assert sorted(payloads(box)) == [f"{handle.id}-{number}" for number in (1, 2, 3)]
    assert {r["expires_at"] for r in payloads(box).values()} == {box.clock.now() + 33 * DAY}
    assert box.drain() == [Outcome.DONE]
    assert ran == [(BIG, "and all the rest")]
    assert kept(box) == {}


def test_a_call_that_a_task_can_carry_costs_no_operation(box, work, ran, monkeypatch):
    for name in ("get", "put", "query", "transact"):
        monkeypatch.setattr(box.store, name, away)

    work(BIG[: MAX_BODY * 9 // 10])

    assert box.drain() == [Outcome.DONE]
    assert len(ran) == 1


def test_an_older_reader_refuses_a_reference_by_its_version(box, work):
    work(BIG)

    (task,) = box.queue.tasks.values()
    assert task.task.body.startswith(b'{"v":2,"id":')


def test_a_call_far_ahead_is_kept_until_it_has_run(box, work, ran):
    work.options(delay=70 * DAY).defer(BIG)
    until = {record["expires_at"] for record in payloads(box).values()}
    assert until == {box.clock.now() + 103 * DAY}

    for _ in range(3):
        box.clock.advance(29 * DAY)
        box.drain()

    assert ran == [(BIG, "")]
    assert payloads(box) == {}


def test_a_call_above_the_cap_is_refused_with_both_sizes(box, work):
    noise = random.Random(1).randbytes(MAX_CALL + 500_000)

    with pytest.raises(EncodeError, match=r"takes 3[34],\d{3},\d{3} bytes and may take 33,554,432"):
        work(noise)
    assert kept(box) == {}
    with pytest.raises(EncodeError, match="bytes and may take 67,108,864"):
        work("a" * (65 << 20))


def test_a_context_that_no_task_can_carry_is_refused():
    app_wide = Envelope(
        id="1",
        task="work",
        enqueued_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        context={"environment": BIG},
    )
    with pytest.raises(EncodeError, match="the call of work takes 2,"):
        LargePayloads(store=MemoryStore(), clock=FakeClock()).body_for(app_wide, Codec(), None)


def test_when_datastore_is_away_a_big_call_is_not_enqueued(box, work, monkeypatch):
    monkeypatch.setattr(box.store, "put", away)

    with pytest.raises(UnavailableError, match="could not be stored: Datastore is away"):
        work(BIG)
    results = list(work.map([b"small", BIG, b"too"]))

    assert [type(each).__name__ for each in results] == [
        "TaskHandle",
        "UnavailableError",
        "TaskHandle",
    ]
    assert len(box.queue.tasks) == 2


def test_a_map_has_big_items_and_small_ones(box, work, ran):
    assert all(each.is_new for each in work.map([b"small", BIG, b"too"]))

    assert box.drain() == [Outcome.DONE] * 3
    assert sorted(len(data) for data, _ in ran) == [3, 5, len(BIG)]
    assert kept(box) == {}


# What was kept is gone or changed


@pytest.mark.parametrize("once", [False, True])
def test_a_missing_piece_is_final(box, work, ran, once):
    handle = work.options(once=once).defer(BIG)
    del box.store.records[RecordKey(KIND, f"{handle.id}-2")]

    assert box.drain() == [Outcome.DEAD]
    assert ran == []
    (letter,) = letters(box)
    assert letter["task"] == "work"
    assert letter["error"].startswith("DecodeError: part 2 of 3 of its payload is missing in")


@pytest.mark.parametrize("data", [b"short", bytes(1_000_000), "text", None])
def test_a_piece_that_was_changed_is_final(box, work, ran, data):
    handle = work(BIG)
    spoil(box, f"{handle.id}-1", data=data)

    assert box.drain() == [Outcome.DEAD]
    assert ran == []
    assert "its payload in Datastore (kind AdjournPayload) was changed" in letters(box)[0]["error"]


def test_a_reference_that_is_none_cannot_be_decoded():
    wrong = '{"pieces":-1,"size":1,"sha256":"0","until":0}'
    for stowed in ("", ',"stowed":1', ',"stowed":{}', f',"stowed":{wrong}'):
        body = f'{{"v":2,"id":"1","task":"work"{stowed}}}'.encode()
        with pytest.raises(DecodeError, match="the body is not an envelope"):
            Envelope.decode(body, Codec())


@pytest.mark.parametrize("options", [{}, {"once": True}, {"no_retry": True}])
def test_when_datastore_is_away_the_call_waits(box, work, ran, monkeypatch, options):
    work.options(**options).defer(BIG)
    with monkeypatch.context() as patch:
        patch.setattr(box.store, "get", away)
        assert box.drain() == [Outcome.TROUBLE]

    assert box.drain() == [Outcome.DONE]
    assert ran == [(BIG, "")]


# How it ends


def test_a_repetition_of_a_call_that_took_effect_needs_no_payload(box, work, ran):
    work.options(once=True).defer(BIG)
    (queued,) = box.queue.tasks.values()

    assert [box.deliver(queued), box.deliver(queued)] == [Outcome.DONE, Outcome.DONE]
    assert len(ran) == 1
    assert letters(box) == []
    assert payloads(box) == {}


def test_a_failed_attempt_keeps_the_payload_for_the_next(box, work, ran, endings):
    endings.append(RuntimeError())
    work(BIG)

    assert box.drain() == [Outcome.FAILED]
    assert len(payloads(box)) == 3
    assert box.drain() == [Outcome.DONE]
    assert len(ran) == 2
    assert payloads(box) == {}


def test_a_call_that_is_put_back_keeps_its_reference(box, work, ran, endings, monkeypatch):
    endings.append(Snooze(DAY))
    work(BIG)
    with monkeypatch.context() as patch:
        patch.setattr(box.store, "put", away)
        assert box.drain() == [Outcome.DONE]

    box.clock.advance(DAY)
    assert box.drain() == [Outcome.DONE]
    assert ran == [(BIG, ""), (BIG, "")]
    assert payloads(box) == {}


def test_a_payload_outlives_every_snooze(box, work, ran, endings):
    endings.extend([Snooze(DAY)] * 40)
    work(BIG)

    for _ in range(40):
        assert box.drain() == [Outcome.DONE]
        box.clock.advance(DAY)
        latest = box.clock.now() + 31 * DAY
        assert all(record["expires_at"] >= latest for record in payloads(box).values())

    assert box.drain() == [Outcome.DONE]
    assert len(ran) == 41
    assert payloads(box) == {}


def test_a_call_that_is_not_wanted_any_more_leaves_nothing(box, work, endings):
    endings.append(Discard("not wanted"))
    work(BIG)
    assert box.drain() == [Outcome.DONE]

    work.options(expires=DAY).defer(BIG)
    box.clock.advance(2 * DAY)
    assert box.drain() == [Outcome.DONE]

    assert kept(box) == {}


def test_a_payload_that_cannot_be_deleted_does_no_harm(box, work, ran, monkeypatch, caplog):
    work(BIG)
    monkeypatch.setattr(box.store, "transact", away)

    assert box.drain() == [Outcome.DONE]
    assert len(ran) == 1
    assert [record.adjourn["event"] for record in caplog.records] == ["payload.kept"]


# Inside a transaction


def test_a_call_of_a_committed_transaction_runs(box, work, ran):
    with box.transactions.begin():
        work(BIG)

    box.clock.advance(dt.timedelta(seconds=1))
    assert box.drain() == [Outcome.DONE]
    assert ran == [(BIG, "")]
    assert payloads(box) == {}


def test_a_call_of_a_transaction_that_failed_never_runs_and_leaves_nothing(box, work, ran):
    def fail():
        with box.transactions.begin():
            work(BIG)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    for _ in itertools.takewhile(lambda _: box.queue.tasks, range(60)):
        box.drain()
        box.clock.advance(dt.timedelta(seconds=30))
    assert box.queue.tasks == {}
    assert ran == []
    assert kept(box) == {}


# Dead letters


def test_a_dead_letter_can_be_replayed_as_long_as_it_is_there(
    box, work, ran, endings, dead_letters
):
    endings.append(PermanentTaskFailure())
    handle = work(BIG, word="again")
    assert box.drain() == [Outcome.DEAD]

    letter = dead_letters.get(handle.id)
    assert len(letter.body) < 1000
    assert {record["expires_at"] for record in payloads(box).values()} == {letter.expires_at}

    box.clock.advance(89 * DAY)
    dead_letters.replay(handle.id)
    latest = box.clock.now() + 33 * DAY
    assert {record["expires_at"] for record in payloads(box).values()} == {latest}
    assert box.drain() == [Outcome.DONE]
    assert ran == [(BIG, "again")] * 2
    assert kept(box) == {}


def test_a_dead_letter_is_thrown_away_with_its_payload(box, work, endings, dead_letters):
    endings.append(PermanentTaskFailure())
    handle = work(BIG)
    box.drain()

    dead_letters.discard(handle.id)

    assert kept(box) == {}


def test_a_letter_thrown_away_during_its_replay_leaves_the_payload(
    box, work, endings, dead_letters, monkeypatch
):
    endings.append(PermanentTaskFailure())
    handle = work(BIG)
    box.drain()
    monkeypatch.setattr("adjourn.execution.replay._remove", away)
    with pytest.raises(StoreError):
        dead_letters.replay(handle.id)

    dead_letters.discard(handle.id)

    assert len(payloads(box)) == 3
    assert box.drain() == [Outcome.DONE]
    assert kept(box) == {}

"""What calls return is kept once, with their end, and read by whom it is meant for."""

import dataclasses
import datetime as dt
import json
import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

import adjourn
from adjourn import Discard, PermanentTaskFailure
from adjourn.errors import DecodeError, StoreError, StoreRefusedError
from adjourn.execution.attempt import Attempt
from adjourn.execution.delivery import Outcome
from adjourn.execution.replay import StoredDeadLetters
from adjourn.names import CallIdentity
from adjourn.ports import NewTask, RecordKey, Target
from adjourn.ports.sealer import is_sealed
from adjourn.serialization.envelope import Envelope
from adjourn.state.call_results import KIND, MAX_RESULT
from adjourn.testing import SETTINGS, sandbox
from tests.golden_records import record, text

GOLDEN = Path(__file__).parent / "golden_results"
HOUR = dt.timedelta(hours=1)
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


class Unregistered:
    pass


@pytest.fixture
def work(app, ran):
    """Return a task that returns or raises what it is told, and counts how often it ran."""

    @app.deferred(name="work", keep_result=HOUR, max_retries=0)
    def work(*endings):
        ending = endings[min(len(ran), len(endings) - 1)] if endings else None
        ran.append(ending)
        if ending in CONTROL:
            raise CONTROL[ending]
        return OBJECTS.get(ending, ending) if isinstance(ending, str) else ending

    return work


CONTROL = {
    "fail": ValueError("no order"),
    "discard": Discard("sold"),
    "permanent": PermanentTaskFailure("gone"),
}
OBJECTS = {
    "object": Unregistered(),
    "large": random.Random(1).randbytes(MAX_RESULT + 1).hex(),
    "many": [0] * 400_001,
}


def stored(box):
    return {key.name: found for key, (_, found) in box.store.records.items() if key.kind == KIND}


def outcome_of(handle):
    """Return what a call returned, or the class of the error that says why it returned nothing."""
    try:
        return handle.result()
    except (adjourn.ResultError, DecodeError) as error:
        return type(error)


def commits(box, monkeypatch):
    """Return a list to which each transaction adds the kinds that it writes."""
    found, transact = [], box.store.transact

    def counted(work):
        kinds = []

        def watched(transaction):
            put = transaction.put
            transaction.put = lambda key, *a, **k: (kinds.append(key.kind), put(key, *a, **k))
            return work(transaction)

        result = transact(watched)
        found.append(kinds)
        return result

    monkeypatch.setattr(box.store, "transact", counted)
    return found


# What stands


def test_of_duplicates_the_first_result_stands(box, work, ran):
    handle = work(1, 2)
    (queued,) = box.queue.due()

    assert [box.deliver(queued), box.deliver(queued)] == [Outcome.DONE, Outcome.DONE]

    assert (ran, handle.result()) == ([1, 2], 1)


def test_a_failure_does_not_replace_what_was_returned(box, work, ran):
    handle = work(1, "fail")
    (queued,) = box.queue.due()

    assert [box.deliver(queued), box.deliver(queued)] == [Outcome.DONE, Outcome.DEAD]

    assert (ran, handle.result()) == ([1, "fail"], 1)


def test_a_replay_forgets_the_failure_and_keeps_what_it_returns(box, work):
    handle = work("fail", "late")
    box.drain()
    failed = outcome_of(handle)

    StoredDeadLetters.of(box.wiring.adapters).replay(handle.id)
    began = stored(box)
    box.drain()

    assert (failed, began) == (adjourn.CallFailedError, {})
    assert handle.result() == "late"


def test_what_another_call_with_the_same_id_returns_is_its_own(box, work):
    handle = work("mine")
    (queued,) = box.queue.due()
    forged = Envelope.decode(queued.task.body, box.wiring.enqueuer.codec)
    forged = forged._replace(args=("forged",), enqueued_at=forged.enqueued_at - HOUR)
    body = forged.encode(box.wiring.enqueuer.codec)
    box.queue.enqueue(
        NewTask(target=Target.DEFERRED, label="work", queue="default", body=body, name="forged")
    )
    first, second = box.queue.due()
    box.deliver(second)

    assert outcome_of(handle) is adjourn.ResultNotReadyError
    box.deliver(first)
    assert handle.result() == "mine"
    assert len(stored(box)) == 2


# In one commit


def test_the_result_of_a_claimed_call_is_written_with_its_claim(box, work, monkeypatch):
    handle = work.options(once=True).defer(5)
    made = commits(box, monkeypatch)
    box.drain()

    assert made == [["AdjournOnce"], ["AdjournOnce", KIND]]
    assert handle.result() == 5


def test_a_failure_is_written_with_its_dead_letter(box, work, monkeypatch):
    work("fail")
    made = commits(box, monkeypatch)
    box.drain()

    assert made == [["AdjournDeadLetter", KIND]]


def test_a_plain_call_writes_its_result_alone(box, work, monkeypatch):
    work(5)
    made = commits(box, monkeypatch)
    box.drain()

    assert made == [[KIND]]


# Without Datastore


@pytest.fixture
def away(box, monkeypatch):
    """Return what makes each write of a result fail with an error, as long as that is set."""
    raised, transact = [StoreError("away")], box.store.transact

    def failing(work):
        is_of_result = "PendingResult" in repr(work) or "settle" in repr(work)
        if raised and is_of_result:
            raise raised[0]
        return transact(work)

    monkeypatch.setattr(box.store, "transact", failing)
    return raised


def test_a_call_whose_result_cannot_be_written_runs_again(box, work, ran, away):
    handle = work(1, 2)
    (queued,) = box.queue.due()
    outcome = box.deliver(queued)

    away.clear()

    assert (outcome, box.drain()) == (Outcome.TROUBLE, [Outcome.DONE])
    assert (ran, handle.result()) == ([1, 2], 2)


def test_a_claimed_call_does_not_and_loses_its_result(box, work, ran, away):
    handle = work.options(once=True).defer(1)
    outcomes = box.drain()

    away.clear()

    assert (outcomes, ran) == ([Outcome.DONE], [1])
    assert outcome_of(handle) is adjourn.ResultNotKeptError


def test_a_result_that_is_refused_for_good_is_told_and_lost(box, work, ran, away, lines):
    away[0] = StoreRefusedError("no permission")
    handle = work("secret")

    assert (box.drain(), ran) == ([Outcome.DONE], ["secret"])

    assert outcome_of(handle) is adjourn.ResultNotKeptError
    (line,) = [line for line in lines() if line.get("event") == "result.lost"]
    assert (line["severity"], "secret" in str(line)) == ("ERROR", False)


# What is too large or cannot be encoded


@pytest.mark.parametrize("kind", ["object", "large", "many"])
def test_a_call_whose_result_cannot_be_kept_is_done(box, work, ran, kind, lines):
    handle = work(kind)

    assert box.drain() == [Outcome.DONE]

    with pytest.raises(adjourn.ResultRefusedError) as refused:
        handle.result()
    fix = {"object": "add_extension", "large": "may take 1,000,000", "many": "400,000 values"}
    assert fix[kind] in str(refused.value)
    assert (ran, box.dead_letters()) == ([kind], [])
    (line,) = [line for line in lines() if line.get("event") == "result.refused"]
    assert line["severity"] == "ERROR"


def test_what_is_long_is_compressed(box, work):
    handle = work("x" * 5_000_000)
    box.drain()

    assert len(stored(box)[handle.id]["body"]) < 10_000
    assert handle.result() == "x" * 5_000_000


# Ends without a value


def test_each_end_has_its_error(box, work):
    permanent, dropped = work("permanent"), work("discard")
    expired = work.options(expires=10, delay=30).defer(1)
    cancelled = work.options(delay=60).defer(1)
    with suppress(KeyError), box.transactions.begin():
        rolled_back = work(1)
        raise KeyError
    assert cancelled.cancel()
    box.drain()
    for _ in range(40):
        box.clock.advance(dt.timedelta(seconds=60))
        box.drain()

    made = [permanent, dropped, expired, rolled_back, cancelled]
    found = box.app.results.find([handle.id for handle in made])

    errors = [*[adjourn.CallFailedError], *[adjourn.CallDroppedError] * 3]
    assert [outcome_of(h) for h in made] == [*errors, adjourn.CallCancelledError]
    assert [type(each.error) for each in found] == [*errors, adjourn.CallCancelledError]
    assert found[0].error.error == "PermanentTaskFailure: gone"
    assert [str(each.error) for each in found[1:4]] == [
        "work: it is no longer wanted: Discard: sold",
        "work: it has expired",
        "work: its transaction was rolled back",
    ]


def test_a_result_ends_with_its_time(box, work):
    handle = work(5)
    box.drain()
    box.clock.advance(HOUR - dt.timedelta(seconds=1))
    before = outcome_of(handle)
    box.clock.advance(dt.timedelta(seconds=1))

    assert (before, outcome_of(handle)) == (5, adjourn.ResultNotKeptError)
    assert handle.id in stored(box)  # it is only for the TTL policy to delete
    assert box.wiring.cleaner.clean_up() == 0
    box.clock.advance(dt.timedelta(seconds=1))
    assert box.wiring.cleaner.clean_up() == 1


def test_a_type_that_is_not_registered_here_hides_no_other_result(app, box, work, monkeypatch):
    @dataclasses.dataclass
    class Order:
        number: int

    app.register(Order, name="Order")
    monkeypatch.setitem(OBJECTS, "order", Order(1))
    order, plain = work("order"), work(1)
    box.drain()
    assert order.result() == Order(1)
    other = adjourn.App()
    with other.rewired(box.wiring.settings, box.wiring.adapters):
        unknown, known = other.results.find([order.id, plain.id])

        assert isinstance(unknown.error, adjourn.UnknownTypeError)
        assert known.returned() == 5 - 4


# Seals


@pytest.mark.parametrize("seal", ["signed", "encrypted"])
def test_a_result_is_sealed_as_bodies_are_for_its_own_call(app, work, seal):
    settings = replace(SETTINGS, envelope_key=(KEY,), envelope_seal=seal, envelope_required=True)
    with sandbox(app, settings) as box:
        mine, other = work("a-secret"), work("b-secret")
        box.drain()
        assert (mine.result(), other.result()) == ("a-secret", "b-secret")
        records = stored(box)
        assert all(is_sealed(each["body"]) for each in records.values())
        assert (b"a-secret" in records[mine.id]["body"]) == (seal == "signed")

        def swap(**changes):
            box.store.put(RecordKey(KIND, mine.id), {**records[mine.id], **changes})

        swap(body=records[other.id]["body"])
        assert outcome_of(mine) is DecodeError
        swap(body=b'{"v":1,"task":"work","end":"done","value":1}')
        assert outcome_of(mine) is DecodeError
        swap(body="text")
        assert outcome_of(mine) is DecodeError


def test_a_sealed_result_needs_the_key(app, work):
    settings = replace(SETTINGS, envelope_key=(KEY,), envelope_seal="encrypted")
    with sandbox(app, settings) as box:
        handle = work("a-secret")
        box.drain()
        keyless = replace(box.wiring.adapters, sealer=None)
    with app.rewired(SETTINGS, keyless), pytest.raises(DecodeError, match="sealed with the key"):
        app.results.get(handle.id)


# What is stored is read for ever


WRITTEN = {"done": (7, dt.date(2026, 1, 2)), "failed": "fail", "dropped": "discard"}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_golden_record_is_written_for_ever(box, work, name):
    box.travel(to=NOON)
    handle = work(WRITTEN[name])
    box.drain()

    assert text(stored(box)[handle.id]) == (GOLDEN / f"{name}.json").read_text()


def test_golden_records_are_read_for_ever(box):
    box.travel(to=NOON)
    names = ("done", "failed", "dropped", "refused", "newer")
    for name in names:
        golden = record((GOLDEN / f"{name}.json").read_text())
        box.store.put(RecordKey(KIND, name), golden)

    done, failed, dropped, refused, newer = box.app.results.find(names)

    assert done == (WRITTEN["done"], None, NOON + HOUR)
    assert str(failed.error) == "work: ValueError: no order"
    assert isinstance(dropped.error, adjourn.CallDroppedError)
    assert isinstance(refused.error, adjourn.ResultRefusedError)
    assert isinstance(newer.error, DecodeError)


@pytest.mark.parametrize("tree", [[], {"v": 1}, {"v": 1, "end": []}, {"v": 1, "end": "x"}])
def test_a_record_that_was_changed_is_refused(box, tree):
    changed = record((GOLDEN / "done.json").read_text())
    body = json.dumps(tree).encode()
    box.store.put(RecordKey(KIND, "a"), {**changed, "body": body})

    (found,) = box.wiring.enqueuer.results().records.read([CallIdentity("a", "")])

    assert isinstance(found.error, DecodeError)


def test_a_call_that_was_resumed_keeps_its_result(box, app, ran):
    @app.deferred(name="again", keep_result=HOUR)
    def again():
        ran.append(1)
        if len(ran) < 3:
            raise adjourn.Snooze(60) if len(ran) == 1 else adjourn.RetryLater(60)
        return len(ran)

    handle = again()
    for _ in range(3):
        box.drain()
        box.clock.advance(dt.timedelta(seconds=60))

    assert handle.result() == 3


def test_a_call_that_crashed_too_often_has_failed(box, work):
    handle = work(1)
    (queued,) = box.queue.due()
    queued.attempt = Attempt(retry_count=1, execution_count=0)
    box.wiring.enqueuer.call_records.begin(handle._call, 1, resumed=0, task=queued.name)
    box.deliver(queued)

    assert outcome_of(handle) is adjourn.CallFailedError

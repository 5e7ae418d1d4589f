"""A dead letter is given other arguments at once or not at all, and is replayed with them."""

import random

import pytest

from adjourn import PermanentTaskFailure
from adjourn.errors import DecodeError, EncodeError, EnqueueError, UnknownNameError
from adjourn.execution.dead_letters import KIND
from adjourn.execution.edited_letters import edit
from adjourn.execution.replay import StoredDeadLetters
from adjourn.execution.stored_letters import DeadLetterFilter
from adjourn.ports import RecordKey


@pytest.fixture
def letters(box):
    return StoredDeadLetters(store=box.store, queue=box.queue, clock=box.clock)


@pytest.fixture
def ran():
    return []


@pytest.fixture
def pay(app, ran):
    """Give a task that dies unless it is told the amount."""

    @app.deferred(name="shop.pay", queue="mail", once=True)
    def pay(order, amount=None):
        ran.append((order, amount))
        if amount is None:
            raise PermanentTaskFailure("no amount")

    return pay


def ids(letters):
    return [each.task_id for each in letters.find(DeadLetterFilter())]


def test_an_edited_letter_is_replayed_with_its_new_arguments_as_a_call_of_its_own(
    box, letters, pay, ran
):
    call = pay(7)
    box.drain()
    before = letters.get(call.id)

    name = edit(letters, call.id, [7], {"amount": {"$decimal": "1.50"}})

    assert ids(letters) == [name] != [call.id]
    letter = letters.get(name)
    assert (letter.task, letter.queue, letter.error) == ("shop.pay", "mail", before.error)
    assert box.store.get([RecordKey(KIND, name)])[0]["group"]
    letters.replay(name)
    box.drain()
    assert [f"{each}" for each in ran[1]] == ["7", "1.50"]
    assert ids(letters) == []


def test_the_same_edit_twice_is_one_letter_and_one_call(box, letters, pay, ran):
    call = pay(7)
    box.drain()
    name = edit(letters, call.id, [8], {"amount": 1})

    with pytest.raises(UnknownNameError):
        edit(letters, call.id, [8], {"amount": 1})
    letters.replay(name)
    with pytest.raises(UnknownNameError):
        letters.replay(name)
    box.drain()

    assert ran == [(7, None), (8, 1)]


def test_an_edited_letter_stays_if_it_cannot_be_enqueued(box, letters, pay, monkeypatch):
    call = pay(7)
    box.drain()
    name = edit(letters, call.id, [8], {"amount": 1})

    def refuse(_task):
        raise EnqueueError("no")

    with monkeypatch.context() as patch:
        patch.setattr(box.queue, "enqueue", refuse)
        with pytest.raises(EnqueueError):
            letters.replay(name)

    assert ids(letters) == [name]


def test_a_letter_whose_replay_has_begun_is_not_edited(box, letters, pay):
    call = pay(7)
    box.drain()
    key = RecordKey(KIND, call.id)
    begun = {**box.store.get([key])[0], "replayed_at": box.clock.now()}
    box.store.put(key, begun)

    with pytest.raises(DecodeError, match="has begun"):
        edit(letters, call.id, [8], {})

    assert box.store.get([key]) == [begun]


def test_arguments_that_are_too_large_change_nothing(box, letters, pay):
    text = random.Random(1).randbytes(1_200_000).hex()
    call, large = pay(7), pay(text)
    box.drain()

    with pytest.raises(EncodeError, match="too large"):
        edit(letters, call.id, [text], {})
    with pytest.raises(DecodeError, match="too large"):
        edit(letters, large.id, [8], {})

    assert sorted(ids(letters)) == sorted([call.id, large.id])


def test_what_a_user_has_started_is_nobody_elses(box, letters, pay):
    call = pay(7)
    box.drain()
    key = RecordKey(KIND, call.id)
    record = box.store.get([key])[0]
    box.store.put(key, {**record, "body": record["body"].replace(b"shop.pay", b"callable:pay")})

    with pytest.raises(DecodeError, match="A user has started"):
        edit(letters, call.id, [8], {})

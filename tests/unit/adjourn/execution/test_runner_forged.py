"""What a call may touch that names another call's id, as somebody can make it who creates tasks.

Each test lets such a call be delivered, and the genuine one, which must fare as if it were alone.
"""

import datetime as dt
import random
from dataclasses import replace

import pytest

from adjourn import RetryLater, Snooze, current_task
from adjourn.execution.attempt import Attempt
from adjourn.execution.delivery import Outcome
from adjourn.execution.replay import StoredDeadLetters
from adjourn.ports import NewTask, RecordKey, Target
from adjourn.serialization.envelope import Envelope
from adjourn.serialization.payload_reference import MAX_BODY, PayloadReference
from adjourn.state.large_payloads import KIND as PAYLOAD
from adjourn.testing import SETTINGS, sandbox

SECOND = dt.timedelta(seconds=1)
MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
BIG = random.Random(1).randbytes(2_000_000)


@pytest.fixture
def box(app):
    with sandbox(app, replace(SETTINGS, max_attempts={"": 5})) as made:
        yield made


@pytest.fixture
def endings():
    """Return what the attempts raise, one after the other; None is success."""
    return []


@pytest.fixture
def work(app, ran, endings):
    @app.deferred(name="work")
    def work(data="", *_more):
        ran.append(data)
        if endings and (ending := endings.pop(0)):
            raise ending

    return work


@pytest.fixture(autouse=True)
def other(app):
    @app.deferred(name="other")
    def other(ending="", _data=b""):
        if ending == "fail":
            raise RuntimeError("forged")
        if ending == "snooze":
            raise Snooze(30 * DAY)

    return other


def genuine(box):
    """Return the only task that waits."""
    (queued,) = box.queue.tasks.values()
    return queued


def forge(box, call, *, name="forged", attempt=None, queue="default", **fields):
    """Put a task on a queue with a call that says it is another one; made a moment later."""
    made = box.clock.now() + dt.timedelta(microseconds=1)
    envelope = Envelope(**{"id": call, "task": "other", "enqueued_at": made, **fields})
    body = envelope.encode(box.wiring.enqueuer.codec)
    new = NewTask(target=Target.DEFERRED, label="other", queue=queue, body=body, name=name)
    queued = box.queue.tasks[box.queue.enqueue(new)]
    queued.attempt = attempt or Attempt()
    return queued


def id_of(box, queued):
    return Envelope.decode(queued.task.body, box.wiring.enqueuer.codec).id


def payloads(box):
    return [key.name for key in box.store.records if key.kind == PAYLOAD]


def wrong_reference(size=1, pieces=3):
    return PayloadReference(pieces=pieces, size=size, sha256="0" * 64, until=0)


# Large payloads


@pytest.mark.parametrize(
    "how",
    [
        {"expires_at": dt.datetime(2000, 1, 1, tzinfo=dt.UTC)},
        {"marker": "none", "waiting_since": dt.datetime(2000, 1, 1, tzinfo=dt.UTC)},
    ],
    ids=["expired", "rolled back"],
)
def test_a_call_that_is_dropped_takes_no_other_calls_payload_along(box, work, ran, how):
    handle = work(BIG)
    task = genuine(box)

    box.deliver(forge(box, handle.id, stowed=wrong_reference(), **how))
    assert len(payloads(box)) == 3

    assert box.deliver(task) is Outcome.DONE
    assert ran == [BIG]


def test_no_call_reads_another_calls_payload(box, work, ran):
    handle = work(BIG)
    task = genuine(box)

    forged = forge(box, handle.id, task="work", stowed=wrong_reference(len(BIG)))
    assert box.deliver(forged) is Outcome.DEAD
    assert ran == []

    assert box.deliver(task) is Outcome.DONE
    assert ran == [BIG]


def test_a_letter_that_is_discarded_takes_no_other_calls_payload_along(box, work, ran):
    handle = work(BIG)
    task = genuine(box)
    box.deliver(forge(box, handle.id, stowed=wrong_reference()))
    letters = StoredDeadLetters(store=box.store, queue=box.queue, clock=box.clock)

    (letter,) = box.dead_letters()
    letters.discard(letter.task_id)

    assert box.deliver(task) is Outcome.DONE
    assert ran == [BIG]


def test_a_call_that_grows_overwrites_no_other_calls_payload(box, work, ran):
    handle = work(BIG)
    task = genuine(box)
    forged, size = forge(box, handle.id), MAX_BODY
    while not MAX_BODY - 100 < len(forged.task.body) <= MAX_BODY:
        box.queue.settle(forged)
        almost = random.Random(2).randbytes(size)
        forged = forge(box, handle.id, name=f"of-{size}", args=("snooze", almost))
        size += MAX_BODY - 50 - len(forged.task.body)

    box.deliver(forged)  # put off, it says more of itself, and is then too large for a task
    assert len(payloads(box)) > 3

    assert box.deliver(task) is Outcome.DONE
    assert ran == [BIG]
    box.clock.advance(31 * DAY)
    box.drain(2)  # it reads its own, and is put off again
    assert not box.dead_letters()


# Dead letters


def test_a_letter_is_not_replaced_by_the_failure_of_another_call(box, work, endings):
    handle = work.options(max_retries=0).defer("mine")
    endings.append(RuntimeError("mine"))
    assert box.drain() == [Outcome.DEAD]

    box.deliver(forge(box, handle.id, args=("fail",), max_retries=0))

    mine, forged = sorted(box.dead_letters(), key=lambda letter: letter.task_id)
    assert (mine.task_id, mine.error) == (handle.id, "RuntimeError: mine")
    assert forged.error == "RuntimeError: forged"


def test_a_letter_comes_although_another_call_left_one(box, work, endings):
    handle = work.options(max_retries=0).defer("mine")
    task = genuine(box)
    box.deliver(forge(box, handle.id, args=("fail",), max_retries=0))

    endings.append(RuntimeError("mine"))
    assert box.deliver(task) is Outcome.DEAD

    assert {letter.error for letter in box.dead_letters()} == {
        "RuntimeError: forged",
        "RuntimeError: mine",
    }


def test_a_letter_of_an_unreadable_body_is_not_replaced(box):
    new = NewTask(target=Target.DEFERRED, label="", queue="default", body=b"{", name="first")
    box.deliver(box.queue.tasks[box.queue.enqueue(new)])
    (letter,) = box.dead_letters()

    box.deliver(forge(box, letter.task_id, args=("fail",), max_retries=0))

    assert b"{" in {letter.body for letter in box.dead_letters()}


def test_a_call_that_fails_again_replaces_its_letter(box, work, endings):
    handle = work.options(max_retries=0).defer("mine")
    endings += [RuntimeError("first"), RuntimeError("second")]
    task = genuine(box)

    box.deliver(task)
    box.deliver(task)

    assert [(letter.task_id, letter.error) for letter in box.dead_letters()] == [
        (handle.id, "RuntimeError: second")
    ]


def test_the_replay_of_a_forged_letter_lets_no_other_call_run_again(box, work, ran):
    handle = work.options(once=True).defer("mine")
    task = genuine(box)
    assert box.deliver(task) is Outcome.DONE
    box.deliver(forge(box, handle.id, args=("fail",), max_retries=0, once=True))
    (letter,) = box.dead_letters()

    StoredDeadLetters(store=box.store, queue=box.queue, clock=box.clock).replay(letter.task_id)
    box.deliver(task)

    assert ran == ["mine"]


# Claims


@pytest.mark.parametrize("option", ["once", "no_retry"])
@pytest.mark.parametrize("ending", ["", "fail"])
def test_a_claim_of_another_call_keeps_no_call_from_running(box, work, ran, option, ending):
    handle = work.options(**{option: True}).defer("mine")
    task = genuine(box)

    box.deliver(forge(box, handle.id, args=(ending,), **{option: True}))

    assert box.deliver(task) is Outcome.DONE
    assert ran == ["mine"]


def test_a_claim_that_another_call_holds_is_not_waited_for(box, app, work, ran):
    handle = work.options(once=True).defer("mine")
    task, outcomes = genuine(box), []

    @app.deferred(name="nested")
    def nested():
        outcomes.append(box.deliver(task))

    box.deliver(forge(box, handle.id, task="nested", once=True))

    assert outcomes == [Outcome.DONE]
    assert ran == ["mine"]


def test_a_claim_of_another_call_lets_no_call_run_twice(box, work, ran):
    handle = work.options(once=True).defer("mine")
    task = genuine(box)
    box.deliver(task)

    box.deliver(forge(box, handle.id, once=True))
    box.deliver(task)

    assert ran == ["mine"]


def test_a_call_settles_its_own_claim_in_its_transaction(box, app):
    settled = []

    @app.deferred(name="settling", once=True)
    def settling():
        with box.transactions.begin() as transaction:
            current_task().done_with(transaction)
        settled.append(1)
        raise RuntimeError("after that")

    handle = settling()
    task = genuine(box)
    box.deliver(forge(box, handle.id, once=True))

    for _ in range(3):
        box.deliver(task)

    assert settled == [1]


# Records of calls


ATTACKS = {
    "gone far": {"resumed": 1000},
    "ended": {"resumed": 1},
    "expired": {"resumed": 1, "expires_at": dt.datetime(2000, 1, 1, tzinfo=dt.UTC)},
    "crashed": {"attempt": Attempt(retry_count=3, execution_count=0)},
    "put off": {"args": ("snooze",)},
    "unknown": {"task": "nothing"},
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_no_call_ends_or_moves_the_record_of_another(box, work, ran, attack):
    handle = work("mine")
    task = genuine(box)
    box.deliver(forge(box, handle.id, **attack))

    task.attempt = Attempt(retry_count=1, execution_count=0)  # now the record is asked
    assert box.deliver(task) is Outcome.DONE

    assert ran == ["mine"]


def test_no_call_shortens_the_hour_for_which_another_may_be_unknown(box, work):
    handle = work("mine")
    task = genuine(box)
    box.deliver(forge(box, handle.id, task="nothing"))
    box.clock.advance(HOUR - MINUTE)
    body = task.task.body.replace(b'"work"', b'"wark"')
    task.task = task.task._replace(body=body)

    assert box.deliver(task) is Outcome.UNKNOWN
    box.clock.advance(2 * MINUTE)
    assert box.deliver(task) is Outcome.UNKNOWN


def test_a_call_is_cancelled_although_another_wrote_a_record_of_its_id(box, work, ran, endings):
    handle = work("mine")
    task = genuine(box)
    box.deliver(forge(box, handle.id, resumed=1000))
    endings.append(Snooze(MINUTE))
    box.deliver(task)

    assert handle.fetch() is not None
    assert handle.cancel() is True
    box.clock.advance(HOUR)
    box.drain()

    assert ran == ["mine"]


@pytest.mark.parametrize("ending", [Snooze(MINUTE), RetryLater(MINUTE)], ids=["snooze", "retry"])
def test_no_call_takes_the_name_under_which_another_comes_back(box, work, ran, endings, ending):
    handle = work("mine")
    task = genuine(box)
    box.deliver(forge(box, handle.id, args=("snooze",)))
    endings.append(ending)

    box.deliver(task)
    box.clock.advance(2 * MINUTE)
    box.drain()

    assert ran == ["mine", "mine"]


def test_a_warning_about_another_call_leaves_a_call_its_own(app, box, work):
    warned = []
    app.on_retry_warning(lambda warning: warned.append(warning.task))
    handle = work("mine")
    task, many = genuine(box), Attempt(retry_count=25, execution_count=25)
    box.deliver(forge(box, handle.id, attempt=many, max_retries=100))

    task.attempt = many
    box.deliver(task)

    assert warned == ["other", "work"]


# Unique calls


@pytest.fixture(params=["until begun", "until done", "all day"])
def unique(app, request, ran):
    options = {
        "until begun": {"unique_until": "begun"},
        "until done": {"unique_until": "done"},
        "all day": {},
    }[request.param]

    @app.deferred(name="unique", unique_by="arguments", unique_for=DAY, **options)
    def unique(number):
        ran.append(number)

    return unique


@pytest.mark.parametrize("args", [(), ("snooze",)], ids=["done", "put off"])
def test_no_call_says_of_a_unique_call_that_it_began(box, unique, ran, args):
    handle = unique(1)
    name = handle.name.rpartition("/")[2]
    box.queue.delete(handle.name)
    box.store.records.clear()  # as if it had never been made
    box.queue._tombstones.clear()
    box.deliver(forge(box, "any", unique=name, args=args))
    box.clock.advance(SECOND)

    assert unique(1).is_new
    box.drain()
    assert ran == [1]


def test_no_call_lets_a_second_unique_call_be_made(app, box, ran):
    @app.deferred(name="unique", unique_by="arguments", unique_for=DAY, unique_until="begun")
    def unique(number):
        ran.append(number)

    handle = unique.options(delay=HOUR).defer(1)
    box.deliver(forge(box, "any", unique=handle.name.rpartition("/")[2]))

    assert not unique.options(delay=HOUR).defer(1).is_new


def test_a_unique_call_that_comes_back_still_prevents_another(app, box, ran):
    @app.deferred(name="unique", unique_by="arguments", unique_for=DAY, unique_until="done")
    def unique(number):
        ran.append(number)
        if len(ran) < 3:
            raise Snooze(HOUR)

    unique(1)
    for _ in range(2):
        box.drain()
        assert not unique(1).is_new
        box.clock.advance(HOUR)
    box.drain()
    box.clock.advance(2 * HOUR)

    assert unique(1).is_new


# Periodic runs


@pytest.fixture
def sweep(app, ran):
    @app.periodic(interval=HOUR, name="sweep", overlap="skip")
    def sweep():
        ran.append("sweep")

    return sweep


@pytest.mark.parametrize(
    "fields",
    [
        {
            "starts_at": dt.datetime(2030, 1, 1, tzinfo=dt.UTC),
            "hops_at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        },
        {},
    ],
    ids=["put off", "at once"],
)
@pytest.mark.usefixtures("sweep")
def test_no_call_makes_a_periodic_function_wait_for_it(box, ran, fields):
    box.tick()
    run = genuine(box)
    box.deliver(forge(box, id_of(box, run), task="sweep", **fields))
    ran.clear()
    box.deliver(run)
    box.clock.advance(HOUR)
    box.tick()
    box.drain()

    assert ran == ["sweep", "sweep"]


@pytest.mark.usefixtures("sweep")
def test_no_call_settles_a_slot_whose_task_is_missing(box, ran):
    box.tick()
    run = genuine(box)
    (key,) = (key for key in box.store.records if key.kind == "AdjournPeriodic")
    record = {**box.store.get([key])[0], "is_enqueued": False}
    box.store.put(key, record)  # the cron function died before it created the task
    box.queue.delete(run.name)
    box.queue._tombstones.clear()
    box.deliver(forge(box, id_of(box, run), task="sweep"))
    ran.clear()

    box.tick()
    box.drain()

    assert ran == ["sweep"]


# Queues, transactions and iterations


def test_a_call_goes_on_in_the_queue_that_delivered_it(box):
    box.deliver(forge(box, "any", args=("snooze",), queue="default"))
    forged = forge(box, "more", name="more", args=("snooze",))
    body = forged.task.body.replace(b'"args"', b'"queue":"mail","args"')
    forged.task = forged.task._replace(body=body)

    box.deliver(forged)

    assert {queued.task.queue for queued in box.queue.tasks.values()} == {"default"}


def test_the_marker_of_another_call_is_read_and_left(box, work, ran):
    with box.transactions.begin():
        handle = work("mine")
    task = genuine(box)
    box.deliver(forge(box, "any", marker=handle.id))
    box.clock.advance(MINUTE)

    assert box.deliver(task) is Outcome.DONE
    assert ran == ["mine"]
    assert RecordKey("AdjournMarker", handle.id) in box.store.records

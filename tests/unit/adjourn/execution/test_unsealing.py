"""Sealed tasks run; what nobody with a key has sealed does not, and is a letter in the end."""

import datetime as dt
import itertools
import json
import random
from dataclasses import replace

import pytest

from adjourn import CallableTask, PermanentTaskFailure, QueryIter, RetryLater, Snooze
from adjourn.errors import StoreError
from adjourn.execution.attempt import Attempt
from adjourn.execution.delivery import Outcome
from adjourn.execution.replay import StoredDeadLetters
from adjourn.ports import NewTask, Target
from adjourn.ports.sealer import is_sealed
from adjourn.requests.wsgi import STATUS
from adjourn.serialization.envelope import Envelope
from adjourn.serialization.seals import Key, KeySealer, Sort
from adjourn.testing import SETTINGS, MemoryQuery, sandbox
from tests.unit.adjourn.serialization.test_seals import text_of

OLD, NEW, OTHER = (text_of(number) for number in range(3))
SECRET = "s3cret-argument"
MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
KEYED = replace(SETTINGS, envelope_key=(NEW,), envelope_required=True)
ENCRYPTED = replace(KEYED, envelope_seal="encrypted")
BIG = random.Random(1).randbytes(1_500_000).hex()


@pytest.fixture
def endings():
    return []


@pytest.fixture(autouse=True)
def work(app, ran, endings):
    @app.deferred(name="work")
    def work(data="", **_options):
        ran.append(data)
        if endings and (ending := endings.pop(0)):
            raise ending

    return work


@pytest.fixture(params=["signed", "encrypted"])
def settings(request):
    return replace(KEYED, envelope_seal=request.param)


@pytest.fixture
def box(app, settings):
    with sandbox(app, settings) as made:
        yield made


def letters(box, key=NEW, sort=Sort.ENCRYPTED, *, is_required=True):
    sealer = KeySealer(keys=[Key(key)], sort=sort, is_required=is_required) if key else None
    queue = box.wiring.adapters.queue
    return StoredDeadLetters(store=box.store, queue=queue, clock=box.clock, sealer=sealer)


def put(box, body, name="forged", target=Target.DEFERRED):
    new = NewTask(target=target, label="", queue="default", body=body, name=name)
    return box.queue.tasks[box.queue.enqueue(new)]


def only(box):
    (queued,) = box.queue.tasks.values()
    return queued


# What the application enqueues


def test_a_sealed_call_runs(box, work, ran):
    work(SECRET)
    assert is_sealed(only(box).task.body)
    box.assert_enqueued(work, SECRET)

    assert box.drain() == [Outcome.DONE]
    assert ran == [SECRET]
    assert box.store.records == {}


@pytest.mark.parametrize("ending", [Snooze(MINUTE), RetryLater(MINUTE), RuntimeError()], ids=repr)
def test_what_comes_back_is_sealed_again(box, work, ran, endings, ending):
    endings += [ending] * 2
    work(SECRET)
    for _ in range(3):
        box.drain()
        box.clock.advance(MINUTE)

    assert ran == [SECRET] * 3
    assert all(is_sealed(queued.task.body) for queued in box.queue.accepted)


def test_a_call_far_ahead_is_sealed_for_each_task_that_carries_it(box, work, ran):
    work.options(delay=70 * DAY).defer(SECRET)
    for _ in range(3):
        box.clock.advance(29 * DAY)
        box.drain()

    assert ran == [SECRET]
    assert len(box.queue.accepted) == 3
    assert all(is_sealed(queued.task.body) for queued in box.queue.accepted)


@pytest.fixture
def busy(app, ran):
    """Declare one of everything that functions enqueue; return the iteration."""

    @app.periodic(interval=HOUR, name="sweep")
    def sweep():
        ran.append("sweep")

    @app.startup_task(name="warm")
    def warm():
        ran.append("warm")

    class Walk(QueryIter):
        batch_size = 2

        def handle_entry(self, entry, _custom_data):
            ran.append(entry)

        def handle_finish(self, total_count, _custom_data):
            ran.append(f"{total_count} in all")

    class Start(CallableTask):
        def can_call(self, _user):
            return True

        def execute(self):
            ran.append("started")

    app.callable_task(Start)
    return app.query_iter(name="walk")(Walk)


def test_all_that_functions_enqueue_is_sealed(app, settings, ran, busy):
    with sandbox(app, replace(settings, revision="1")) as box:
        for number in range(1, 6):
            box.queries.add("Order", number)
        box.tick()
        app.run_startup_tasks(wait=True)
        busy.start(MemoryQuery("Order"), shards=2)
        assert box.ask("ann@shop.example", "Start").status == 202
        while box.queue.tasks:
            assert set(box.drain()) <= {Outcome.DONE}
            box.clock.advance(MINUTE)

        assert all(is_sealed(queued.task.body) for queued in box.queue.accepted)
        assert not [key for key in box.store.records if key.kind == "AdjournUserStart"]
    assert sorted(map(str, ran)) == sorted(["sweep", "warm", "started", *"12345", "5 in all"])


def test_map_seals_each_call_for_its_own_name(box, work, ran):
    assert all(handle.is_new for handle in work.map(["a", "b", "c"]))
    box.drain()

    assert sorted(ran) == ["a", "b", "c"]


# What it does not


def forged(**changes):
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    fields = {"id": "forged", "task": "work", "enqueued_at": now, "args": (SECRET,)}
    return Envelope(**{**fields, **changes})


def test_a_call_without_a_seal_is_a_dead_letter_where_seals_are_required(box, ran):
    body = forged().encode(box.wiring.enqueuer.codec)

    assert box.deliver(put(box, body)) is Outcome.DEAD

    assert ran == []
    (letter,) = box.dead_letters()
    assert letter.task_id.startswith("undecodable-")
    assert letter.error.startswith("DecodeError: The body is not sealed")


def test_a_call_without_a_seal_runs_where_they_are_not_required(app, ran, lines):
    with sandbox(app, replace(KEYED, envelope_required=False)) as box:
        body = forged().encode(box.wiring.enqueuer.codec)

        assert box.deliver(put(box, body)) is Outcome.DONE
        assert ran == [SECRET]
        assert "seal.missing" in [line.get("event") for line in lines()]


@pytest.mark.parametrize("target", Target)
def test_no_changed_bit_runs_or_shows_as_a_fault(box, work, ran, target):
    work(SECRET)
    body, name = only(box).task.body, only(box).name.rpartition("/")[2]
    box.queue.tasks.clear()
    outcomes = []
    for index in range(0, len(body) * 8, 7):
        changed = bytearray(body)
        changed[index // 8] ^= 1 << index % 8
        box.queue.tasks.clear()
        box.queue._tombstones.clear()
        outcomes.append(box.deliver(put(box, bytes(changed), name, target)))

    assert {STATUS[outcome] for outcome in outcomes} <= {200, 404}
    assert ran == []
    errors = {letter.error.partition("\n")[0] for letter in box.dead_letters()}
    assert not any(SECRET in error for error in errors)


def test_a_copy_under_another_name_or_in_another_queue_does_not_run(box, work, ran):
    work(SECRET)
    original = only(box)
    name = original.name.rpartition("/")[2]
    elsewhere = original.task._replace(queue="mail", name=name)

    assert box.deliver(put(box, original.task.body)) is Outcome.DEAD
    assert box.deliver(box.queue.tasks[box.queue.enqueue(elsewhere)]) is Outcome.DEAD
    assert ran == []
    assert {letter.error.partition(":")[0] for letter in box.dead_letters()} == {"DecodeError"}

    assert box.deliver(original) is Outcome.DONE
    assert ran == [SECRET]


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("key", [(), (OTHER,)], ids=["no key", "another key"])
def test_a_key_that_is_not_there_yet_is_waited_for(app, work, lines, key, target):
    waiting = replace(SETTINGS, envelope_key=key)
    with sandbox(app, KEYED) as box:
        work(SECRET)
        queued = only(box)
    with sandbox(app, waiting) as early:
        early.queue.tasks[queued.name] = queued
        queued.task = queued.task._replace(target=target)
        assert early.deliver(queued) is Outcome.UNKNOWN
        early.clock.advance(HOUR - MINUTE)
        assert early.deliver(queued) is Outcome.UNKNOWN
        assert "seal.unknown_key" in [line.get("event") for line in lines()]
        early.clock.advance(2 * MINUTE)
        assert early.deliver(queued) is Outcome.DEAD
        (letter,) = early.dead_letters()
        assert letter.error.startswith("UnknownKeyError: The body is sealed with the key")


def test_a_call_that_waits_for_its_key_outlives_the_last_attempt_of_its_queue(app, work, ran):
    with sandbox(app, KEYED) as box:
        work(SECRET)
        queued = only(box)
    with sandbox(app, replace(SETTINGS, max_attempts={"": 5})) as early:
        early.queue.tasks[queued.name] = queued
        queued.attempt = Attempt(retry_count=4, execution_count=4)

        assert early.deliver(queued) is Outcome.DEAD
        records = early.store.records
        name = early.dead_letters()[0].task_id
    with sandbox(app, KEYED) as later:
        later.store.records |= records
        letters(later).replay(name)
        later.drain()

    assert ran == [SECRET]


def test_a_key_is_waited_for_while_datastore_is_away(app, work, monkeypatch):
    def away(*_args, **_more):
        raise StoreError("away")

    with sandbox(app, KEYED) as box:
        work(SECRET)
        queued = only(box)
    with sandbox(app) as early:
        early.queue.tasks[queued.name] = queued
        monkeypatch.setattr(early.store, "transact", away)

        assert early.deliver(queued) is Outcome.UNKNOWN


# Rotation, one process after the other


def test_a_key_is_replaced_step_by_step_and_nothing_is_refused(app, work, ran):
    # Each pair is what seals and what may open that while a step is being deployed; also
    # functions seal, and for each other.
    meeting = [
        ((OLD,), (OLD,)),
        ((OLD,), (OLD, NEW)),
        ((OLD, NEW), (OLD,)),
        ((NEW,), (OLD, NEW)),
        ((NEW, OLD), (OLD, NEW)),
        ((OLD, NEW), (NEW, OLD)),
        ((NEW,), (NEW, OLD)),
        ((NEW, OLD), (NEW,)),
        ((NEW,), (NEW, OLD)),
        ((NEW,), (NEW,)),
    ]
    for number, (sealing, opening) in enumerate(meeting):
        with sandbox(app, replace(KEYED, envelope_key=sealing)) as before:
            work(number)
            queued = only(before)
        with sandbox(app, replace(KEYED, envelope_key=opening)) as after:
            after.queue.tasks[queued.name] = queued
            assert after.deliver(queued) is Outcome.DONE

    assert ran == list(range(len(meeting)))


@pytest.mark.parametrize("seal", ["signed", "encrypted"])
def test_sealing_is_turned_on_step_by_step_and_nothing_is_refused(app, work, ran, seal):
    steps = [
        SETTINGS,
        replace(SETTINGS, envelope_key=(NEW,), envelope_seal="none"),
        replace(SETTINGS, envelope_key=(NEW,), envelope_seal=seal),
        replace(KEYED, envelope_seal=seal),
    ]
    sent = itertools.count()
    # Each pair is an enqueuer and a function that may meet while a step is being deployed.
    for enqueuer, function in [
        (0, 0),
        (0, 1),
        (1, 1),
        (1, 2),
        (2, 1),
        (2, 2),
        (2, 3),
        (3, 2),
        (3, 3),
    ]:
        with sandbox(app, steps[enqueuer]) as before:
            work(next(sent))
            queued = only(before)
        with sandbox(app, steps[function]) as after:
            after.queue.tasks[queued.name] = queued
            assert after.deliver(queued) is Outcome.DONE

    assert ran == list(range(9))


# Dead letters


def test_a_letter_keeps_the_seal_and_is_replayed_with_the_key(box, work, ran, endings):
    endings.append(PermanentTaskFailure("not today"))
    work(SECRET)
    box.drain()
    (letter,) = box.dead_letters()
    assert is_sealed(letter.body)
    assert (letter.task, letter.queue, bool(letter.name)) == ("work", "default", True)

    letters(box).replay(letter.task_id)

    assert is_sealed(only(box).task.body)
    assert box.drain() == [Outcome.DONE]
    assert ran == [SECRET] * 2


def test_an_encrypted_letter_is_not_replayed_readable(app, work, endings):
    endings.append(PermanentTaskFailure("not today"))
    with sandbox(app, ENCRYPTED) as box:
        work(SECRET)
        box.drain()
        (letter,) = box.dead_letters()

        with pytest.raises(Exception, match="set ADJOURN_ENVELOPE_SEAL=encrypted"):
            letters(box, sort=Sort.SIGNED).replay(letter.task_id)
        assert box.dead_letters() == [letter]


@pytest.mark.parametrize("key", ["", OTHER])
def test_a_letter_is_not_replayed_without_its_key(box, work, endings, key):
    endings.append(PermanentTaskFailure("not today"))
    work(SECRET)
    box.drain()
    (letter,) = box.dead_letters()

    with pytest.raises(Exception, match=r"sealed with the key [0-9a-f]{8}"):
        letters(box, key).replay(letter.task_id)

    assert box.dead_letters() == [letter]
    assert not box.queue.tasks


def test_a_replay_makes_no_forged_call_genuine(box, ran):
    box.deliver(put(box, forged().encode(box.wiring.enqueuer.codec)))
    (letter,) = box.dead_letters()

    with pytest.raises(Exception, match=r"anybody may have made it; .* with --vouch"):
        letters(box).replay(letter.task_id)
    assert box.dead_letters() == [letter]
    assert not box.queue.tasks

    letters(box).replay(letter.task_id, is_vouched_for=True)
    assert box.drain() == [Outcome.DONE]
    assert ran == [SECRET]


def test_a_letter_that_was_changed_is_not_replayed_even_if_vouched_for(box, work, endings):
    endings.append(PermanentTaskFailure("not today"))
    work(SECRET)
    box.drain()
    (letter,) = box.dead_letters()
    (key,) = (key for key in box.store.records if key.name == letter.task_id)
    record = box.store.get([key])[0]
    box.store.put(key, {**record, "body": record["body"][:-1] + b"!"})

    with pytest.raises(Exception, match="does not hold"):
        letters(box).replay(letter.task_id, is_vouched_for=True)


def test_a_replay_where_seals_are_not_required_seals_what_it_enqueues(app, work, ran, endings):
    endings.append(PermanentTaskFailure("not today"))
    with sandbox(app) as box:
        work(SECRET)
        box.drain()
        records = box.store.records
    with sandbox(app, replace(KEYED, envelope_required=False)) as box:
        box.store.records |= records
        letters(box, is_required=False).replay(box.dead_letters()[0].task_id)
        assert is_sealed(only(box).task.body)
        box.drain()

    assert ran == [SECRET] * 2


# What is at rest


@pytest.fixture
def encrypted(app):
    with sandbox(app, ENCRYPTED) as made:
        yield made


def everything(box):
    """Return the texts of all that is stored or was queued, bytes in hexadecimal as well."""
    values = [value for _, record in box.store.records.values() for value in record.values()]
    values += [queued.task.body for queued in box.queue.accepted]
    return "\n".join(f"{v!r} {v.hex()}" if isinstance(v, bytes) else f"{v}" for v in values)


@pytest.mark.parametrize("argument", [SECRET, BIG + SECRET], ids=["small", "large"])
def test_arguments_are_unreadable_in_tasks_letters_and_payloads(
    encrypted, work, endings, lines, argument
):
    box = encrypted
    endings += [Snooze(MINUTE), PermanentTaskFailure("not today"), None]
    work(argument)
    box.drain()
    box.clock.advance(MINUTE)
    box.drain()
    (letter,) = box.dead_letters()
    letters(box).replay(letter.task_id)
    assert box.drain() == [Outcome.DONE]

    for at_rest in (everything(box), json.dumps(lines())):
        assert SECRET not in at_rest
        assert SECRET.encode().hex() not in at_rest
        assert BIG[:1000] not in at_rest


def test_a_payload_holds_for_its_own_call(encrypted, work, ran):
    box = encrypted
    work(BIG)
    first = only(box)
    box.queue.tasks.clear()
    work(BIG[::-1])
    keys = sorted(key for key in box.store.records if key.kind == "AdjournPayload")
    half = len(keys) // 2
    for mine, others in zip(keys[:half], keys[half:], strict=True):
        box.store.put(mine, box.store.get([others])[0])
    box.queue.tasks[first.name] = first

    assert box.deliver(first) is Outcome.DEAD
    assert ran == []


def test_a_signed_call_leaves_its_payload_as_it_is(app, work, ran):
    with sandbox(app, KEYED) as box:
        work(BIG)
        parts = [
            r["data"] for key, (_, r) in box.store.records.items() if key.kind.endswith("load")
        ]
        assert not any(map(is_sealed, parts))
        assert box.drain() == [Outcome.DONE]
    assert ran == [BIG]


def test_a_payload_waits_in_vain_for_a_key_that_is_gone(app, work, ran):
    with sandbox(app, replace(ENCRYPTED, envelope_key=(OLD,))) as box:
        work.options(delay=40 * DAY).defer(BIG)
        records, queued = box.store.records, only(box)
    with sandbox(app, replace(ENCRYPTED, envelope_key=(NEW, OLD))) as box:
        box.store.records |= records
        box.queue.tasks[queued.name] = queued
        box.clock.advance(30 * DAY)
        box.deliver(queued)
        records, (queued,) = box.store.records, box.queue.tasks.values()
    with sandbox(app, ENCRYPTED) as box:
        box.store.records |= records
        box.queue.tasks[queued.name] = queued
        box.clock.advance(50 * DAY)
        assert box.deliver(queued) is Outcome.DEAD
        (letter,) = box.dead_letters()
        assert letter.error.startswith("UnknownKeyError: It is sealed with the key")
    assert ran == []

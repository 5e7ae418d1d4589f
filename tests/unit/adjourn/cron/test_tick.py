"""A slot of a periodic function runs once, and never sooner than the interval after the last."""

import datetime as dt
import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adjourn.cron.due import KIND, PeriodicState, due
from adjourn.cron.periodic import Timing
from adjourn.cron.tick import PeriodicRunner
from adjourn.errors import ConflictError, EnqueueError, StoreError, UnavailableError
from adjourn.execution.delivery import Outcome
from adjourn.ports import RecordKey
from adjourn.testing import MemoryQueue, MemoryStore

NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


def every(interval):
    return Timing(when=interval)


def queued(slot):
    return PeriodicState(slot=slot, is_enqueued=True)


# What is due


@pytest.mark.parametrize(
    ("interval", "state", "tick", "now", "slot"),
    [
        # The first time.
        (HOUR, None, NOON, NOON + SECOND, NOON + SECOND),
        # A crash left a claim.
        (HOUR, PeriodicState(slot=NOON, is_enqueued=False), NOON + MINUTE, NOON + MINUTE, NOON),
        (HOUR, PeriodicState(slot=NOON, is_enqueued=False), NOON + DAY, NOON + DAY, NOON),
        # An interval is a lower bound.
        (HOUR, queued(NOON), NOON + MINUTE, NOON + MINUTE, None),
        (HOUR, queued(NOON), NOON + HOUR * 0.89, NOON + HOUR * 0.89, None),
        (HOUR, queued(NOON), NOON + HOUR * 0.9, NOON + HOUR * 0.9, NOON + HOUR),
        (HOUR, queued(NOON), NOON + HOUR, NOON + HOUR, NOON + HOUR),
        (HOUR, queued(NOON), NOON + HOUR, NOON + HOUR + SECOND, NOON + HOUR + SECOND),
        (HOUR, queued(NOON), NOON + DAY, NOON + DAY, NOON + DAY),
        # What is due rarely is not enqueued weeks ahead.
        (365 * DAY, queued(NOON), NOON + 363 * DAY, NOON + 363 * DAY, None),
        (365 * DAY, queued(NOON), NOON + 364 * DAY, NOON + 364 * DAY, NOON + 365 * DAY),
        # At every call.
        (0 * HOUR, None, NOON, NOON + SECOND, NOON),
        (0 * HOUR, queued(NOON), NOON, NOON + SECOND, None),
        (0 * HOUR, queued(NOON), NOON + MINUTE, NOON + MINUTE, NOON + MINUTE),
        (0 * HOUR, queued(NOON + MINUTE), NOON, NOON + 2 * MINUTE, None),
        (0 * HOUR, PeriodicState(slot=NOON, is_enqueued=False), NOON + MINUTE, NOON + MINUTE, NOON),
    ],
)
def test_what_is_due(interval, state, tick, now, slot):
    assert due(every(interval), state, tick, now) == slot


def ticks(interval, jitters, state=None):
    """Tick once an interval, late by some parts of it, and return the slots."""
    for number, jitter in enumerate(jitters):
        now = NOON + number * interval + interval * jitter
        slot = due(every(interval), state, NOON + number * interval, now)
        yield now, slot
        state = queued(slot) if slot else state


INTERVALS = st.timedeltas(SECOND, 10 * DAY)


@given(INTERVALS, st.lists(st.floats(0, 0.0999), min_size=2, max_size=20))
def test_jitter_of_up_to_a_tenth_of_the_interval_skips_no_run(interval, jitters):
    slots = [slot for _, slot in ticks(interval, jitters)]

    assert None not in slots


@given(INTERVALS, st.lists(st.floats(0, 5), min_size=2, max_size=20))
def test_a_run_is_never_sooner_than_the_interval_nor_before_its_slot(interval, jitters):
    found = [(now, slot) for now, slot in ticks(interval, sorted(jitters)) if slot]

    for (_, before), (now, slot) in pairwise(found):
        assert slot - before >= interval
        assert slot >= now


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30))
def test_a_tick_makes_one_slot_however_often_and_late_it_is_repeated(minutes):
    state, slots = None, []
    for minute in sorted(minutes):
        tick = NOON + minute * MINUTE
        if slot := due(every(0 * HOUR), state, tick, tick + SECOND):
            slots.append(slot)
            state = queued(slot)

    assert slots == [NOON + minute * MINUTE for minute in sorted(set(minutes))]


# Ticks


@pytest.fixture
def ran():
    return []


@pytest.fixture
def declare(app, ran):
    def declared(name="sweep", interval=HOUR, cron_name="default", **options):
        @app.periodic(interval=interval, cron_name=cron_name, name=name, **options)
        def function():
            ran.append(name)

        return function

    return declared


@pytest.fixture
def enqueued(monkeypatch):
    """Return the names of all tasks that were ever put on the queue."""
    names, enqueue = [], MemoryQueue.enqueue

    def recording(queue, task):
        names.append(enqueue(queue, task))
        return names[-1]

    monkeypatch.setattr(MemoryQueue, "enqueue", recording)
    return names


@pytest.fixture
def failing(monkeypatch):
    """Return the labels of tasks that the queue refuses at present."""
    labels, enqueue = set(), MemoryQueue.enqueue

    def fail(queue, task):
        if task.label in labels:
            raise UnavailableError("away")
        return enqueue(queue, task)

    monkeypatch.setattr(MemoryQueue, "enqueue", fail)
    return labels


def test_what_is_due_runs(box, declare, ran):
    declare(queue="cron")

    assert box.tick() is Outcome.DONE

    assert [q.task.queue for q in box.queue.tasks.values()] == ["cron"]
    box.drain()
    assert ran == ["sweep"]


def test_only_the_functions_of_the_cron_name_run(box, declare, ran):
    declare("hourly", cron_name="hourly")
    declare("nightly", cron_name="nightly")

    box.tick("nightly")

    box.drain()
    assert ran == ["nightly"]


def test_an_early_tick_enqueues_for_the_time_at_which_it_is_due(box, declare, ran):
    declare()
    box.tick()
    box.drain()

    box.clock.advance(HOUR - MINUTE)
    box.tick()

    assert box.drain() == []
    box.clock.advance(MINUTE)
    box.drain()
    assert ran == ["sweep", "sweep"]


def test_a_declared_delay_does_not_contradict_the_slot(box, declare, ran):
    declare(delay=30)

    assert box.tick() is Outcome.DONE

    box.drain()
    assert ran == ["sweep"]


@pytest.mark.parametrize("interval", [HOUR, 0 * HOUR])
def test_a_repeated_tick_makes_no_second_task(box, declare, enqueued, interval):
    declare(interval=interval)
    scheduled = box.clock.now()

    for _ in range(3):
        assert box.tick(scheduled=scheduled) is Outcome.DONE
        box.drain()
        box.clock.advance(SECOND)

    assert len(enqueued) == 1


def test_a_run_by_hand_does_not_swallow_the_one_that_was_planned(box, declare, ran):
    declare(interval=0 * HOUR)
    planned = box.clock.now() + MINUTE

    box.tick(scheduled=planned)  # the Scheduler gives the next time
    box.drain()
    box.clock.advance(MINUTE)
    box.tick(scheduled=planned)
    box.drain()

    assert ran == ["sweep", "sweep"]


def test_without_a_schedule_time_every_tick_counts(box, declare, ran):
    declare(interval=0 * HOUR)

    for _ in range(2):
        box.tick()
        box.drain()
        box.clock.advance(SECOND)

    assert ran == ["sweep", "sweep"]


@pytest.mark.parametrize("zone", [dt.UTC, dt.timezone(-7 * HOUR)])
def test_a_crash_before_the_slot_was_marked_makes_no_second_task(
    box, declare, enqueued, monkeypatch, zone
):
    declare(interval=0 * HOUR)
    scheduled = box.clock.now().astimezone(zone)
    with monkeypatch.context() as patch:
        patch.setattr(PeriodicRunner, "_mark", crash)
        with pytest.raises(CrashError):
            box.tick(scheduled=scheduled)

    assert box.tick(scheduled=scheduled) is Outcome.DONE

    assert len(enqueued) == 1


class CrashError(KeyboardInterrupt):
    """The process dies."""


def crash(*_):
    raise CrashError


def test_a_crash_before_the_task_was_enqueued_is_completed_by_the_next_call(
    box, declare, ran, monkeypatch
):
    declare()
    with monkeypatch.context() as patch:
        patch.setattr(PeriodicRunner, "_enqueue_all", crash)
        with pytest.raises(CrashError):
            box.tick()
    assert not box.queue.tasks

    box.clock.advance(MINUTE)
    assert box.tick() is Outcome.DONE

    box.drain()
    assert ran == ["sweep"]


def test_a_failure_to_enqueue_one_does_not_keep_the_others(box, declare, failing, ran, lines):
    for name in ("one", "two", "three"):
        declare(name)
    failing.add("two")

    assert box.tick() is Outcome.TROUBLE

    told = [(line["event"], line["severity"]) for line in lines()]
    assert ("cron.failed", "ERROR") in told
    assert ("cron.tick", "ERROR") in told
    box.drain()
    assert sorted(ran) == ["one", "three"]


def test_a_repeated_call_enqueues_only_what_is_missing(box, declare, failing, enqueued):
    for name in ("one", "two"):
        declare(name)
    failing.add("two")
    box.tick()
    failing.clear()
    before = len(enqueued)

    box.clock.advance(MINUTE)
    assert box.tick() is Outcome.DONE

    assert before == 1
    assert len(enqueued) == 2
    assert box.tick() is Outcome.DONE
    assert len(enqueued) == 2


def test_the_lines_of_a_failed_tick_carry_the_fields_of_the_request(box, declare, failing, lines):
    declare()
    failing.add("sweep")

    box.tick()

    (line,) = [line for line in lines() if line["event"] == "cron.failed"]
    assert line["attempt"] == 1


def test_two_calls_that_overlap_make_one_task_for_each_slot(box, declare, enqueued, monkeypatch):
    declare()
    enqueue_all, overlapped = PeriodicRunner._enqueue_all, []

    def overlapping(cron, claims):
        if not overlapped:
            overlapped.append(None)
            overlapped[0] = box.tick()
        return enqueue_all(cron, claims)

    monkeypatch.setattr(PeriodicRunner, "_enqueue_all", overlapping)

    assert box.tick() is Outcome.DONE

    assert overlapped == [Outcome.DONE]
    assert len(enqueued) == 1


def test_a_slow_call_does_not_mark_over_a_later_slot(box, declare, ran, monkeypatch):
    declare(overlap="allow")
    mark, slow = PeriodicRunner._mark, []

    def late(cron, *args):
        if not slow:
            slow.append(True)
            # Meanwhile another call completes this slot, and a third claims the next and crashes.
            box.tick()
            box.clock.advance(HOUR)
            with monkeypatch.context() as patch:
                patch.setattr(PeriodicRunner, "_enqueue_all", crash)
                with pytest.raises(CrashError):
                    box.tick()
        return mark(cron, *args)

    monkeypatch.setattr(PeriodicRunner, "_mark", late)
    box.tick()

    # The claim that crashed is still to be completed.
    record = box.store.get([RecordKey(KIND, "sweep")])[0]
    assert (record["slot"], record["is_enqueued"]) == (box.clock.now(), False)
    box.tick()
    box.drain()
    assert ran == ["sweep", "sweep"]


def test_functions_are_enqueued_beside_each_other(box, declare, monkeypatch):
    together, enqueue = threading.Barrier(3), MemoryQueue.enqueue
    for name in ("one", "two", "three"):
        declare(name)

    def waiting(queue, task):
        together.wait(10)
        return enqueue(queue, task)

    monkeypatch.setattr(MemoryQueue, "enqueue", waiting)

    assert box.tick() is Outcome.DONE

    assert len(box.queue.tasks) == 3


def test_nothing_due_is_nothing_done(box, declare, lines):
    declare()
    box.tick()
    box.clock.advance(MINUTE)

    assert box.tick() is Outcome.DONE

    assert lines()[-1]["message"] == "default: 0 of 1 due, 0 not enqueued"
    assert lines()[-1]["cron_name"] == "default"


@pytest.mark.parametrize("cron_name", ["", "nightly", "sweep", "a/b"])
def test_an_unknown_cron_name_is_told_with_those_that_exist(box, declare, lines, cron_name):
    declare(cron_name="hourly")

    assert box.tick(cron_name) is Outcome.UNKNOWN

    (line,) = lines()
    assert (line["event"], line["severity"]) == ("cron.unknown", "ERROR")
    assert line["message"].endswith("there are: hourly")
    assert not box.store.records


def test_without_any_periodic_function_there_are_none(box, lines):
    assert box.tick() is Outcome.UNKNOWN

    assert lines()[0]["message"].endswith("there are: none")


@pytest.mark.parametrize("error", [StoreError("away"), ConflictError("others")])
def test_a_store_that_fails_is_trouble_and_enqueues_nothing(box, declare, monkeypatch, error):
    def fail(*_):
        raise error

    declare()
    monkeypatch.setattr(MemoryStore, "transact", fail)

    assert box.tick() is Outcome.TROUBLE

    assert not box.queue.tasks


def test_any_refusal_of_the_queue_is_told(box, declare, monkeypatch):
    def refuse(*_):
        raise EnqueueError("no")

    declare()
    monkeypatch.setattr(MemoryQueue, "enqueue", refuse)

    assert box.tick() is Outcome.TROUBLE

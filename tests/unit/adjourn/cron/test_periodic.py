"""What can be declared periodic, and what its slots do: schedules, overlap, grace and methods."""

import contextlib
import dataclasses
import datetime as dt
import random
import re
import threading
from zoneinfo import ZoneInfo

import pytest

from adjourn import App, current_task
from adjourn.cron.due import KIND, PeriodicState, follow
from adjourn.cron.forecast import upcoming
from adjourn.cron.tick import PeriodicRunner
from adjourn.errors import DeclarationError, RetryLater, Snooze, TaskExistsError, UnavailableError
from adjourn.execution.current_task import Call
from adjourn.execution.delivery import Delivery, Outcome
from adjourn.names import RUN
from adjourn.ports import RecordKey
from adjourn.serialization.envelope import Envelope
from adjourn.testing import SETTINGS, MemoryQueue, sandbox
from tests.faults import CrashError, Faults

SECOND = dt.timedelta(seconds=1)
MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
BERLIN = "Europe/Berlin"


@pytest.fixture
def declare(app, ran):
    def declared(name="sweep", **options):
        @app.periodic(name=name, **options)
        def function():
            ran.append(name)

        return function

    return declared


def to(box, *parts):
    """Move the clock to a time in UTC."""
    box.clock.advance(dt.datetime(*parts, tzinfo=dt.UTC) - box.clock.now())


# What is wrong is said where it is declared


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "Give either interval= or cron="),
        ({"interval": HOUR, "cron": "0 3 * * *"}, "Give either interval= or cron="),
        ({"interval": HOUR, "time_zone": BERLIN}, "An interval has no time zone"),
        ({"cron": "every 5 minutes", "time_zone": BERLIN}, "An interval has no time zone"),
        ({"cron": "0 25 * * *"}, "cron='0 25 * * *': '25' is not a valid hour"),
        ({"cron": "0 3 * * *", "time_zone": "Mars/Olympus"}, "'Mars/Olympus' is not a time zone"),
        ({"cron": 5}, 'texts such as "0 3 * * *"'),
        ({"cron": "0 3 * * *", "time_zone": None}, 'texts such as "0 3 * * *"'),
        ({"cron": "0 3 30 2 *"}, "no month has such a day"),
        ({"cron": "every 0 minutes"}, "is not a number of minutes"),
        ({"interval": HOUR, "overlap": "never"}, 'must be "skip" or "allow"'),
        ({"interval": HOUR, "overlap": True}, 'must be "skip" or "allow"'),
        ({"interval": HOUR, "grace": dt.timedelta()}, "a timedelta greater than zero"),
        ({"interval": HOUR, "grace": 60}, "a timedelta greater than zero"),
        ({"interval": HOUR, "unique_by": "task"}, "Leave unique_by out"),
        ({"interval": HOUR, "qeue": "a"}, "did you mean 'queue'"),
    ],
)
def test_wrong_combinations_are_refused_at_the_declaration(app, arguments, said):
    with pytest.raises(DeclarationError) as refused:
        app.periodic(name="sweep", **arguments)(lambda: None)

    assert said in str(refused.value)
    assert not app.cron_names()


@pytest.mark.usefixtures("box")
def test_one_decorator_may_declare_several_functions(app):
    """A fault of old: each use of one decorator multiplied its interval again."""
    every = app.periodic(cron="every 5 minutes")
    for name in ("one", "two", "three"):
        exec(f"def {name}(): pass", scope := {"__name__": "shop"})
        every(scope[name])

    assert [p.timing.when for p in app.wiring().cron.periodics()] == [5 * MINUTE] * 3


# Schedules


def test_a_schedule_is_due_at_its_times_by_the_wall_clock_of_its_zone(box, declare):
    declare(cron="30 2 * * *", time_zone=BERLIN)
    to(box, 2026, 3, 27, 12)
    found = []

    for _ in range(4 * 24 * 60):
        box.tick()
        if box.drain():
            found.append(box.clock.now())
        box.clock.advance(MINUTE)

    # On the 29th there is no half past two.
    assert [f"{at.astimezone(ZoneInfo(BERLIN)):%d %H:%M}" for at in found] == [
        "28 02:30",
        "30 02:30",
        "31 02:30",
    ]


def test_any_calls_of_the_scheduler_run_the_latest_time_that_has_passed_once(box, declare):
    """Against brute force: every minute of three days with a clock change, calls at random."""
    declare(cron="*/20 1-4 * * *", time_zone=BERLIN)
    to(box, 2026, 10, 23, 22)
    chance, since, expected, found = random.Random(5), box.clock.now() - MINUTE, [], []
    end = box.clock.now() + 3 * DAY

    while (now := box.clock.now()) < end:
        box.tick()
        minutes = [since + n * MINUTE for n in range(1, (now - since) // MINUTE + 1)]
        walls = [(at, at.astimezone(ZoneInfo(BERLIN))) for at in minutes]
        passed = [at for at, wall in walls if wall.minute % 20 == 0 and 1 <= wall.hour <= 4]
        since = since + (now - since) // MINUTE * MINUTE
        expected += passed[-1:]
        found += [queued.task.eta for queued in box.queue.due()]
        box.drain()
        box.clock.advance(chance.choice([MINUTE, 7 * MINUTE, 13 * MINUTE, 3 * HOUR]))

    assert found == expected
    assert len(found) > 10


def test_a_first_call_at_the_time_of_the_schedule_is_not_a_day_early(box, declare, ran):
    declare(cron="0 3 * * *")
    to(box, 2026, 5, 1, 3)
    scheduled = box.clock.now()
    box.clock.advance(4 * SECOND)

    box.tick(scheduled=scheduled)

    box.drain()
    assert ran == ["sweep"]


def test_what_is_deployed_after_its_time_of_the_day_waits_for_the_next(box, declare, ran):
    declare(cron="0 3 * * *")
    to(box, 2026, 5, 1, 15)
    for _ in range(5):
        box.tick()
        box.clock.advance(2 * HOUR)
    box.drain()
    assert ran == []

    box.clock.advance(2 * HOUR)
    box.tick()

    box.drain()
    assert ran == ["sweep"]


def test_a_clock_that_is_behind_the_schedulers_misses_no_time(box, declare, ran):
    declare(cron="0 3 * * *")
    to(box, 2026, 5, 1)
    box.tick()
    box.clock.advance(3 * HOUR - 2 * SECOND)

    box.tick()

    assert box.drain() == []
    box.clock.advance(2 * SECOND)
    box.drain()
    assert ran == ["sweep"]


@pytest.mark.parametrize("late", [-2 * SECOND, 4 * MINUTE])
def test_a_run_knows_for_which_time_it_was_due(app, box, late):
    seen = []

    @app.periodic(cron="0 3 * * *", name="sweep")
    def sweep():
        seen.append(current_task().eta)
        if len(seen) == 1:
            raise Snooze(HOUR)

    to(box, 2026, 5, 1)
    box.tick()
    due = box.clock.now() + 3 * HOUR
    box.clock.advance(3 * HOUR + late)

    box.tick()
    for _ in range(2):
        box.clock.advance(HOUR)
        box.drain()

    assert seen == [due, due]


def test_a_schedule_that_was_changed_makes_up_for_nothing(app, box, declare, ran):
    declare(cron="0 3 * * *")
    to(box, 2026, 5, 1, 3)
    box.tick()
    box.drain()
    app.remove_periodic(app._declared.tasks.get("sweep"))
    app._declared.tasks.remove("sweep")
    declare(cron="0 9 * * *")
    to(box, 2026, 5, 1, 15)

    for _ in range(2):
        box.tick()
        box.drain()
        box.clock.advance(MINUTE)
    assert ran == ["sweep"]

    to(box, 2026, 5, 2, 9, 20)
    box.tick()
    box.drain()
    assert ran == ["sweep", "sweep"]


# Overlap


def fail_first(app, times, **options):
    attempts = []

    @app.periodic(name="sweep", **options)
    def sweep():
        attempts.append(1)
        if len(attempts) <= times:
            raise RuntimeError

    return attempts


def test_a_run_that_hangs_in_retries_has_not_ended(app, box, lines):
    """A fault of old: a failed run counted as done and waited a whole interval."""
    attempts = fail_first(app, 2, interval=HOUR)
    box.tick()
    box.drain()
    box.clock.advance(HOUR)

    box.tick()

    assert len(box.queue.tasks) == 1
    (line,) = [line for line in lines() if line["event"] == "cron.skipped"]
    assert line["severity"] == "WARNING"
    assert (
        "sweep, due 2026-01-01 01:00:00 UTC, is skipped: the last run has not ended"
        in line["message"]
    )
    box.drain()
    box.drain()
    assert len(attempts) == 3

    box.clock.advance(MINUTE)
    box.tick()  # what has an interval is due as soon as the last run has ended
    box.drain()
    assert len(attempts) == 4


def test_a_time_of_a_schedule_passes_while_the_last_run_has_not_ended(app, box):
    attempts = fail_first(app, 1, cron="0 * * * *")
    box.tick()
    box.drain()
    box.clock.advance(HOUR)
    box.tick()
    box.drain()
    assert len(attempts) == 2

    box.clock.advance(MINUTE)
    box.tick()
    assert box.drain() == []
    box.clock.advance(HOUR)
    box.tick()
    box.drain()
    assert len(attempts) == 3


def test_runs_may_overlap_where_that_is_allowed(box, declare, monkeypatch):
    declare(interval=HOUR, overlap="allow")

    def fetch(*_):
        raise UnavailableError("must not be asked")

    monkeypatch.setattr(MemoryQueue, "fetch", fetch)

    for _ in range(3):
        assert box.tick() is Outcome.DONE
        box.clock.advance(HOUR)

    assert len(box.queue.tasks) == 3


def test_a_run_that_was_given_up_holds_nothing_up(app, box):
    attempts = fail_first(app, 5, interval=HOUR, max_retries=0)
    for _ in range(3):
        box.tick()
        box.drain()
        box.clock.advance(HOUR)

    assert len(attempts) == 3


@pytest.mark.parametrize("most", [{"max_retries": 2}, {}])
@pytest.mark.parametrize("timing", [{"interval": HOUR}, {"cron": "0 * * * *"}])
def test_a_run_whose_process_always_dies_is_given_up_and_holds_no_slot_for_ever(
    app, lines, most, timing
):
    ran = []

    @app.periodic(name="sweep", **timing, **most)
    def sweep():
        ran.append(current_task().eta)
        if ran[0] == ran[-1]:
            raise KeyboardInterrupt  # what no code of ours catches

    with sandbox(app, dataclasses.replace(SETTINGS, max_attempts={"": 4})) as box:
        for _ in range(8):
            box.tick()
            for queued in list(box.queue.due()):
                try:
                    box.deliver(queued)
                except KeyboardInterrupt:
                    count = queued.attempt.retry_count + 1
                    queued.attempt = queued.attempt._replace(retry_count=count)
                    if count == 4:  # the queue makes no further attempt
                        box.queue.settle(queued)
            box.clock.advance(HOUR)

    (letter,) = box.dead_letters()
    assert letter.task == "sweep"
    assert len(set(ran)) > 1
    assert "the last run has not ended" in str(lines())


def test_that_it_cannot_be_asked_keeps_one_and_not_the_others(box, declare, ran, monkeypatch):
    declare("one", interval=HOUR)
    box.tick()
    box.drain()
    declare("two", interval=HOUR)
    box.clock.advance(HOUR)
    with monkeypatch.context() as patch:

        def fetch(*_):
            raise UnavailableError("away")

        patch.setattr(MemoryQueue, "fetch", fetch)

        assert box.tick() is Outcome.TROUBLE

    box.drain()
    assert ran == ["one", "two"]
    assert box.tick() is Outcome.DONE
    box.drain()
    assert ran == ["one", "two", "one"]


def test_a_task_that_another_call_enqueued_meanwhile_is_waited_for(box, declare, monkeypatch):
    declare(interval=dt.timedelta())
    box.tick()
    box.drain()
    box.clock.advance(MINUTE)
    fetch, overlapped = MemoryQueue.fetch, []

    def fetching(queue, name):
        told = fetch(queue, name)
        if not overlapped:
            overlapped.append(True)
            box.tick(scheduled=box.clock.now() - 30 * SECOND)
        return told

    monkeypatch.setattr(MemoryQueue, "fetch", fetching)

    box.tick(scheduled=box.clock.now())

    assert len(box.queue.tasks) == 1


@pytest.mark.parametrize("steer", [RetryLater, Snooze])
@pytest.mark.parametrize("is_marked_late", [False, True])
def test_a_run_that_puts_itself_off_has_not_ended(app, box, monkeypatch, steer, is_marked_late):
    attempts, mark = [], PeriodicRunner._mark

    @app.periodic(interval=HOUR, name="sweep")
    def sweep():
        attempts.append(1)
        if len(attempts) <= 2:
            raise steer(50 * MINUTE)

    if is_marked_late:  # the task runs before the cron function has noted that it is there
        monkeypatch.setattr(PeriodicRunner, "_mark", lambda *args: (box.drain(), mark(*args)))

    box.tick()
    box.drain()
    for _ in range(3):
        box.clock.advance(30 * MINUTE)
        box.tick()
        box.drain()

    assert len(attempts) == 2
    assert len(box.queue.tasks) == 1
    box.clock.advance(30 * MINUTE)
    box.drain()
    assert len(attempts) == 3
    box.tick()
    box.drain()
    assert len(attempts) == 4


def test_a_method_that_puts_itself_off_has_not_ended(app, box):
    attempts = []

    class Module:
        def __init__(self, path):
            app.add_object(path, self)

    def sweep(self):
        attempts.append(self)
        raise Snooze(2 * HOUR)

    sweep.__qualname__, sweep.__module__ = "Module.sweep", "shop"
    Module.sweep = app.periodic(interval=HOUR)(sweep)
    Module("one"), Module("two")

    for _ in range(2):
        box.tick()
        box.drain()
        box.clock.advance(HOUR)

    assert len(attempts) == 2


def test_a_call_of_ones_own_that_puts_itself_off_is_no_run(app, box, ran):
    @app.periodic(interval=HOUR, name="sweep")
    def sweep():
        ran.append(1)
        if len(ran) == 1:
            raise Snooze(5 * HOUR)

    sweep()
    box.drain()
    for _ in range(2):
        box.tick()
        box.drain()
        box.clock.advance(HOUR)

    assert len(ran) == 3


# Grace


def test_what_is_found_too_late_is_left_out_and_logged(box, declare, ran, lines):
    declare(cron="0 3 * * *", grace=HOUR)
    to(box, 2026, 5, 1)
    box.tick()
    to(box, 2026, 5, 1, 4, 0, 1)

    for _ in range(2):
        assert box.tick() is Outcome.DONE

    (line,) = [line for line in lines() if line["event"] == "cron.skipped"]
    assert (
        "sweep, due 2026-05-01 03:00:00 UTC, is skipped: it was found too late" in line["message"]
    )
    to(box, 2026, 5, 2, 4)
    box.tick()
    box.drain()
    assert ran == ["sweep"]


def test_without_grace_the_latest_time_is_made_up_for_however_late(box, declare, ran):
    declare(cron="0 3 * * *")
    to(box, 2026, 5, 1)
    box.tick()
    to(box, 2026, 5, 4, 22)

    for _ in range(3):
        box.tick()
        box.drain()

    assert ran == ["sweep"]


def test_a_claim_that_is_too_old_makes_room_for_what_is_due(box, declare):
    declare(interval=HOUR, grace=10 * MINUTE)
    key = RecordKey("AdjournPeriodic", "sweep")
    box.store.put(key, {"slot": box.clock.now() - DAY, "is_enqueued": False})

    box.tick()

    assert [queued.task.eta for queued in box.queue.tasks.values()] == [box.clock.now()]


# Once


def crash(*_):
    raise CrashError


def etas_of(app, **arguments):
    """Declare a periodic function; return the list of the times for which it ran."""
    ran = []

    @app.periodic(name="sweep", **arguments)
    def function():
        ran.append(current_task().eta)

    return ran


def crash_after_the_queue_took_it(monkeypatch, box):
    with monkeypatch.context() as patch:
        patch.setattr(PeriodicRunner, "_mark", crash)
        with pytest.raises(CrashError):
            box.tick()


@pytest.mark.parametrize("arguments", [{"interval": DAY}, {"cron": "0 3 * * *"}])
def test_a_rare_slot_whose_mark_was_lost_runs_once_and_so_does_the_next(
    app, box, monkeypatch, arguments
):
    ran = etas_of(app, **arguments)
    to(box, 2026, 5, 4, 3)
    crash_after_the_queue_took_it(monkeypatch, box)
    box.drain()

    for _ in range(3):
        box.clock.advance(DAY)  # Cloud Tasks remembers names for an hour
        box.tick()
        box.drain()

    assert [at.day for at in ran] == [4, 5, 6, 7]


@pytest.mark.parametrize("arguments", [{"interval": DAY}, {"cron": "0 3 * * *"}])
def test_a_rare_slot_whose_mark_was_lost_and_that_waits_is_known(
    app, box, monkeypatch, arguments, lines
):
    ran = etas_of(app, **arguments)
    to(box, 2026, 5, 4, 3)
    crash_after_the_queue_took_it(monkeypatch, box)
    box.clock.advance(DAY)

    box.tick()

    assert len(box.queue.tasks) == 1
    box.drain()
    assert [at.day for at in ran] == [4]
    assert [line["message"] for line in lines() if line["event"] == "cron.skipped"] == [
        "sweep, due 2026-05-05 03:00:00 UTC, is skipped: the last run has not ended"
    ]


def test_a_rare_slot_whose_mark_was_lost_and_that_waits_makes_no_other_wait(app, box, monkeypatch):
    ran = etas_of(app, overlap="allow", cron="0 3 * * *")
    to(box, 2026, 5, 4, 3)
    crash_after_the_queue_took_it(monkeypatch, box)
    box.clock.advance(DAY)

    box.tick()
    box.drain()

    assert [at.day for at in ran] == [4, 5]


def test_a_rare_slot_that_was_claimed_and_never_enqueued_makes_room_and_is_told(
    app, box, monkeypatch, lines
):
    ran = etas_of(app, cron="0 3 * * *")
    to(box, 2026, 5, 4, 3)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryQueue, "enqueue", crash)
        with pytest.raises(CrashError):
            box.tick()
    box.clock.advance(DAY)

    box.tick()
    box.drain()

    assert [at.day for at in ran] == [5]
    assert "due 2026-05-04 03:00:00 UTC, is skipped" in str(lines())


@pytest.mark.parametrize("overlap", ["skip", "allow"])
@pytest.mark.parametrize("step", [5 * MINUTE, HOUR, DAY])
def test_wherever_calls_die_each_time_runs_once_or_is_told(app, box, lines, overlap, step):
    """The call, or the run that it has enqueued, dies at each of its writes in turn."""
    expression = {5 * MINUTE: "*/5 * * * *", HOUR: "0 * * * *", DAY: "0 3 * * *"}[step]
    ran = etas_of(app, cron=expression, overlap=overlap)
    to(box, 2026, 5, 4, 3)
    faults, chance, slots = Faults(box), random.Random(7), []
    for _ in range(60):
        slots.append(box.clock.now())
        faults.die_at = faults.passed + chance.randrange(12)
        for receive in (box.tick, box.drain):
            with contextlib.suppress(CrashError):
                receive()
        faults.die_at = None
        if chance.random() < 0.5:
            box.drain()
        box.clock.advance(step)
    box.tick()
    box.drain()

    told = {text for line in lines() if line["event"] == "cron.skipped" for text in skipped(line)}
    assert len(ran) == len(set(ran)) >= 35
    assert {f"{at:%F %H:%M}" for at in slots if at not in ran} <= told


def skipped(line):
    """Yield the minutes that a log line says are skipped."""
    first, end = re.search(r"due (.{16})(?:.*before (.{16}))?", line["message"]).groups()
    at = dt.datetime.fromisoformat(first)
    yield first
    while end and f"{at:%F %H:%M}" < end:
        yield f"{at:%F %H:%M}"
        at += MINUTE


def test_the_first_of_the_times_that_had_no_call_is_told(app, box, lines):
    ran = etas_of(app, cron="0 3 * * *")
    to(box, 2026, 5, 4, 3)
    box.tick()
    box.drain()
    box.clock.advance(3 * DAY)

    box.tick()
    box.drain()

    assert [at.day for at in ran] == [4, 7]
    (text,) = [line["message"] for line in lines() if line["event"] == "cron.skipped"]
    assert "due 2026-05-05 03:00:00 UTC, is skipped: like all times before 2026-05-07" in text


def test_a_run_costs_one_lookup_and_no_other_call_costs_any(app, box, declare, monkeypatch):
    declare(interval=DAY)
    calls, get = [], type(box.store).get
    app.deferred(name="plain")(lambda: None)()
    box.tick()
    monkeypatch.setattr(type(box.store), "get", lambda *args: calls.append(args) or get(*args))
    monkeypatch.setattr(type(box.store), "commit", crash)

    box.drain()

    assert len(calls) == 1
    assert not box.queue.tasks


def test_a_slot_that_went_on_as_another_task_was_enqueued(app, box, monkeypatch):
    ran = etas_of(app, interval=DAY)
    box.tick()
    box.drain()
    box.clock.advance(0.95 * DAY)
    crash_after_the_queue_took_it(monkeypatch, box)
    (early,) = box.queue.tasks.values()

    box.deliver(early)  # as when it is run by hand
    box.clock.advance(2 * HOUR)
    box.tick()
    box.drain()

    assert len(ran) == 2


def test_a_claim_whose_task_is_there_is_only_marked(box, declare, monkeypatch, lines):
    declare(interval=HOUR)
    crash_after_the_queue_took_it(monkeypatch, box)

    assert box.tick() is Outcome.DONE

    assert box.app.wiring().cron.status(the_one(box)).state.is_enqueued
    assert "cron.skipped" not in [line["event"] for line in lines()]


def test_an_interval_counts_from_its_slot_if_the_task_was_there(box, declare, monkeypatch):
    declare(interval=HOUR)
    crash_after_the_queue_took_it(monkeypatch, box)
    box.drain()
    box.clock.advance(50 * MINUTE)
    box.tick()

    box.clock.advance(10 * MINUTE)
    box.tick()

    assert len(box.queue.tasks) == 1


def test_a_run_that_has_put_itself_off_is_known_after_a_crash(app, box, ran, monkeypatch):
    @app.periodic(interval=HOUR, name="sweep")
    def sweep():
        ran.append(1)
        raise Snooze(5 * HOUR)

    crash_after_the_queue_took_it(monkeypatch, box)
    box.drain()
    for _ in range(3):
        box.tick()
        box.drain()
        box.clock.advance(HOUR)

    assert len(ran) == 1


def test_a_task_that_another_region_took_is_waited_for(box, declare, monkeypatch):
    enqueue = MemoryQueue.enqueue

    def elsewhere(queue, task):
        queued = queue.tasks.pop(enqueue(queue, task))
        queued.name = queued.name.replace("europe-west1", "europe-west4")
        queue.tasks[queued.name] = queued
        return queued.name

    declare(interval=HOUR)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryQueue, "enqueue", elsewhere)
        box.tick()

    box.clock.advance(HOUR)
    box.tick()

    assert len(box.queue.tasks) == 1


def carried(box, call, name):
    """Return a call that a task of this name delivers."""
    envelope = Envelope(id=call, task="sweep", enqueued_at=box.clock.now())
    return Call.of(envelope, Delivery([], b"", queue="default", task_name=name), 0)


def test_only_the_last_run_is_followed(box):
    key = RecordKey(KIND, "sweep")
    task = box.queue.full_name("default", "t")
    record = {"slot": box.clock.now(), "is_enqueued": True, "task": task, "call": f"new{RUN}"}
    box.store.put(key, record)

    for call, name in (("new", "t"), (f"old{RUN}", "t"), (f"new{RUN}", "other")):
        follow(box.store, carried(box, call, name), "elsewhere")

    assert box.store.get([key]) == [record]


def test_any_other_call_that_puts_itself_off_costs_nothing(box):
    follow(None, carried(box, "1", "t"), "elsewhere")


def test_an_interval_counts_from_when_a_claim_was_completed(box, declare, monkeypatch):
    declare(interval=HOUR)
    with monkeypatch.context() as patch:
        patch.setattr(
            PeriodicRunner,
            "_enqueue_all",
            lambda _, claims: [UnavailableError("away")] * len(claims),
        )
        assert box.tick() is Outcome.TROUBLE
    box.clock.advance(50 * MINUTE)
    box.tick()
    box.drain()

    box.clock.advance(10 * MINUTE)
    box.tick()

    assert not box.queue.tasks


# Faults of the system that this one descends from


def test_functions_are_not_run_in_the_request_and_none_starves_another(app, box, ran):
    """They ran one after another within one request, and a slow one starved the rest."""

    def run(name):
        @app.periodic(interval=HOUR, name=name)
        def function():
            ran.append(name)
            if name == "broken":
                raise RuntimeError(name)

    for name in ("broken", "one", "two"):
        run(name)

    assert box.tick() is Outcome.DONE

    assert ran == []
    assert len(box.queue.tasks) == 3
    for queued in box.queue.due():
        box.deliver(queued)
    assert sorted(ran) == ["broken", "one", "two"]


def test_an_unexpected_error_of_one_keeps_no_other_and_is_told(ran, lines):
    """Errors were swallowed, and the Scheduler always saw success."""

    class Environment:
        def serialize(self):
            if threading.current_thread() is not threading.main_thread() and not ran:
                ran.append("failed")
                raise RuntimeError("of the application")

        def restore(self, value):
            raise NotImplementedError

    app = App(environment=Environment())
    for name in ("one", "two"):
        app.periodic(interval=HOUR, name=name)(lambda: None)
    with sandbox(app) as box:
        assert box.tick() is Outcome.TROUBLE
        assert len(box.queue.tasks) == 1
        assert box.tick() is Outcome.DONE
        assert len(box.queue.tasks) == 2
    assert "cron.failed" in [line["event"] for line in lines()]


def test_with_the_schedulers_own_period_jitter_skips_no_run(box, declare, ran):
    """The time was stamped after the run, so that every second one was skipped."""
    declare(interval=MINUTE)
    chance = random.Random(1)
    start = box.clock.now()

    for number in range(60):
        box.clock.advance(start + number * MINUTE + chance.random() * 5 * SECOND - box.clock.now())
        box.tick()
        box.clock.advance(start + number * MINUTE + 50 * SECOND - box.clock.now())
        box.drain()

    assert len(ran) >= 59


# Run now, and how things stand


def the_one(box):
    (periodic,) = box.app.wiring().cron.periodics()
    return periodic


def test_a_run_by_hand_is_one_task_and_holds_up_the_next(box, declare, ran):
    declare(interval=HOUR)
    cron = box.app.wiring().cron

    handle = cron.run(the_one(box))

    assert list(box.queue.tasks) == [handle.name]
    with pytest.raises(TaskExistsError, match="sweep has not ended its run"):
        cron.run(the_one(box))
    box.clock.advance(HOUR)
    box.tick()
    assert len(box.queue.tasks) == 1
    box.drain()
    box.tick()
    box.drain()
    assert ran == ["sweep", "sweep"]


def test_a_run_by_hand_leaves_the_slots_alone(box, declare, ran):
    declare(interval=HOUR, overlap="allow")
    cron = box.app.wiring().cron
    box.tick()
    box.clock.advance(30 * MINUTE)
    before = cron.status(the_one(box)).state

    for _ in range(2):
        cron.run(the_one(box))

    after = cron.status(the_one(box)).state
    assert (after.slot, after.is_enqueued) == (before.slot, True)
    box.drain()
    assert len(ran) == 3


def test_how_one_stands_is_told(box, declare):
    declare(interval=HOUR)
    cron = box.app.wiring().cron
    assert (cron.status(the_one(box)).state, cron.status(the_one(box)).task) == (None, None)

    box.tick()

    (name,) = box.queue.tasks
    standing = cron.status(the_one(box))
    assert standing.state == PeriodicState(
        slot=box.clock.now(),
        is_enqueued=True,
        task=name,
        call=name.rsplit("/", 1)[1],
        timing="every 1:00:00",
        recent=box.clock.now().isoformat(),
    )
    assert standing.task.attempts == 0


@pytest.mark.parametrize(
    ("arguments", "stored", "hours"),
    [
        ({"interval": HOUR}, (None, True), [0, 1, 2]),
        ({"interval": 4 * HOUR}, (-1, True), [3, 7, 11]),
        ({"interval": 4 * HOUR}, (-9, True), [0, 4, 8]),
        ({"interval": 4 * HOUR}, (-1, False), [-1, 3, 7]),
        ({"interval": dt.timedelta()}, (-1, True), []),
        ({"cron": "0 */6 * * *"}, (None, True), [0, 6, 12]),
        ({"cron": "0 */6 * * *"}, (0, True), [6, 12, 18]),
        ({"cron": "0 1-23/6 * * *"}, (-6, True), [-5, 1, 7]),
        ({"cron": "0 1-23/6 * * *"}, (-5, False), [-5, 1, 7]),
    ],
)
def test_what_comes_next_is_told(box, arguments, stored, hours):
    box.app.periodic(name="sweep", **arguments)(lambda: None)
    slot, is_enqueued = stored
    timing, now = the_one(box).timing, box.clock.now()
    state = None
    if slot is not None:
        state = PeriodicState(slot=now + slot * HOUR, is_enqueued=is_enqueued, timing=timing.text)

    found = [at for at, _ in zip(upcoming(timing, state, now), range(3), strict=False)]

    assert found == [now + hour * HOUR for hour in hours]


def test_a_periodic_function_without_a_word_of_when_is_refused(app):
    with pytest.raises(DeclarationError, match="Say how often"):

        @app.periodic
        def sweep(): ...

"""What is due is enqueued once, whatever dies or is repeated in between."""

import datetime as dt
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adjourn
from adjourn.errors import EnqueueError, StoreError, UnavailableError
from adjourn.execution.delivery import Outcome
from adjourn.ports import RecordKey
from adjourn.schedules import fan_out
from adjourn.schedules.slots import ScheduleSlots
from adjourn.schedules.stored_schedule import KIND
from adjourn.testing import sandbox

pytestmark = pytest.mark.usefixtures("box")

HOUR = dt.timedelta(hours=1)
MINUTE = dt.timedelta(minutes=1)
DAY = dt.timedelta(days=1)


def record(box, name="one"):
    return box.store.records[RecordKey(KIND, name)][1]


def due_times(ran):
    return [eta for *_, eta in ran]


def test_what_is_due_runs_with_its_arguments_at_its_time(app, report, pass_minutes, ran):
    app.schedules.put("a", report, args=(1,), kwargs={"language": "de"}, cron="*/30 * * * *")
    app.schedules.put("b", report, args=(2,), cron="0 * * * *")

    pass_minutes(60)

    assert sorted(each[:2] for each in ran) == [(1, "de"), (1, "de"), (2, "en")]
    assert {eta.minute % 30 for eta in due_times(ran)} == {0}
    found = app.schedules.get("b")
    assert found.last_due == max(due_times(ran))
    assert found.next_due == found.last_due + HOUR


def test_what_is_not_due_costs_no_more_than_the_query(app, box, report, monkeypatch):
    for number in range(50):
        app.schedules.put(f"{number}", report, args=(number,), interval=HOUR)
    monkeypatch.setattr(box.store, "transact", crash)

    assert box.tick("schedules") is Outcome.DONE


def test_an_interval_is_a_lower_bound(app, report, pass_minutes, ran):
    app.schedules.put("one", report, args=(1,), interval=10 * MINUTE)

    pass_minutes(65)

    times = due_times(ran)
    assert len(times) == 6
    assert all(b - a >= 10 * MINUTE for a, b in pairwise(times))


def test_an_instant_is_due_once_and_then_kept_for_a_while(app, box, report, pass_minutes, ran):
    at = box.clock.now() + dt.timedelta(minutes=7, seconds=30)
    app.schedules.put("one", report, args=(1,), at=at.astimezone(dt.timezone(HOUR)))

    pass_minutes(7)
    assert ran == []
    pass_minutes(60)

    assert due_times(ran) == [at]
    found = app.schedules.get("one")
    assert (found.status, found.next_due, found.last_due) == ("ended", None, at)
    assert record(box)["expires_at"] == at + 30 * DAY
    assert not [name for name in record(box) if name.startswith("due_")]


def test_an_instant_is_not_missed_if_the_scheduler_is_late(app, box, report, ran):
    app.schedules.put("one", report, args=(1,), at=box.clock.now() + HOUR)

    box.travel(by=5 * DAY)
    box.tick("schedules")
    box.drain()

    assert len(ran) == 1


@pytest.mark.parametrize("timing", [{"interval": 10 * MINUTE}, {"cron": "*/10 * * * *"}])
def test_nothing_is_due_after_the_end(app, report, pass_minutes, ran, timing):
    until = pass_minutes(0) + 35 * MINUTE
    app.schedules.put("one", report, args=(1,), until=until, **timing)

    pass_minutes(120)

    assert len(ran) == 3
    assert app.schedules.get("one").status == "ended"


def test_a_time_before_the_end_that_is_found_later_still_runs(app, box, report, ran):
    now = box.clock.now().replace(minute=0, second=0, microsecond=0) + HOUR
    box.travel(to=now)
    app.schedules.put("one", report, args=(1,), cron="*/30 * * * *", until=now + 40 * MINUTE)

    box.travel(by=2 * HOUR)
    box.tick("schedules")
    box.drain()

    assert due_times(ran) == [now + 30 * MINUTE]


def test_an_end_can_be_moved(app, box, report, pass_minutes, ran):
    def put(until):
        app.schedules.put("one", report, args=(1,), interval=10 * MINUTE, until=until)

    put(box.clock.now() + 15 * MINUTE)
    pass_minutes(60)
    assert len(ran) == 1

    put(None)

    assert app.schedules.get("one").status == "active"
    assert "expires_at" not in record(box)
    pass_minutes(11)
    assert len(ran) == 2


def test_times_are_those_of_a_zone(app, box, report, ran):
    box.travel(to=dt.datetime(2027, 3, 27, 12, tzinfo=dt.UTC))
    app.schedules.put("one", report, args=(1,), cron="30 9 * * *", time_zone="Europe/Berlin")

    for _ in range(2 * 24):
        box.travel(by=HOUR)
        box.tick("schedules")
        box.drain()

    days = [
        dt.datetime(2027, 3, 28, 7, 30, tzinfo=dt.UTC),
        dt.datetime(2027, 3, 29, 7, 30, tzinfo=dt.UTC),
    ]
    assert due_times(ran) == days


def test_a_run_that_has_not_ended_leaves_the_next_out(app, box, report, lines):
    app.schedules.put("one", report, args=(1,), cron="*/10 * * * *")
    app.schedules.put("two", report, args=(2,), cron="*/10 * * * *", overlap="allow")

    for _ in range(3):
        box.travel(by=10 * MINUTE)
        box.tick("schedules")

    assert sorted(call.args for call in box.enqueued(report)) == [(1,), (2,), (2,), (2,)]
    skipped = [line["message"] for line in lines() if line["event"] == "cron.skipped"]
    assert len(skipped) == 2
    assert "The schedule one, due" in skipped[0]


def test_a_run_that_postpones_itself_has_not_ended(app, box, ran):
    app.schedules.serve()

    @app.deferred(name="patient")
    def patient():
        ran.append(1)
        raise adjourn.Snooze(35 * 60)

    app.schedules.put("one", patient, cron="*/10 * * * *")
    for _ in range(4):
        box.travel(by=10 * MINUTE)
        box.tick("schedules")
        box.drain()

    assert len(box.enqueued(patient)) == 1


def test_what_is_found_too_late_is_left_out(app, box, report, ran, lines):
    app.schedules.put("one", report, args=(1,), cron="0 8 * * *", grace=HOUR)
    box.travel(to=box.clock.now().replace(hour=10, minute=0) + DAY)

    box.tick("schedules")
    box.drain()

    assert ran == []
    assert (
        "found too late"
        in next(line for line in lines() if line["event"] == "cron.skipped")["message"]
    )


def test_a_repeated_call_makes_no_second_task(app, box, report):
    app.schedules.put("one", report, args=(1,), interval=HOUR)
    box.travel(by=HOUR)
    scheduled = box.clock.now()

    for _ in range(3):
        box.tick("schedules", scheduled)
        box.travel(by=1)

    assert len(box.enqueued(report)) == 1


class CrashError(KeyboardInterrupt):
    """The process dies."""


def crash(*_, **__):
    raise CrashError


STEPS = ["claim", "enqueue", "mark"]


def dying(monkeypatch, step):
    """Let the process die before a step."""
    with_enqueue = (fan_out.FanOut, "_enqueued") if step == "enqueue" else (ScheduleSlots, step)
    monkeypatch.setattr(*with_enqueue, crash)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("late", [MINUTE, 75 * MINUTE])
@pytest.mark.parametrize("timing", [{"interval": 3 * HOUR}, {"cron": "0 */3 * * *"}])
def test_after_a_death_the_next_call_goes_on(box, report, step, late, timing):
    schedules = box.app.schedules
    schedules.put("one", report, args=(1,), **timing)
    box.travel(to=schedules.get("one").next_due)
    with pytest.MonkeyPatch.context() as patch:
        dying(patch, step)
        with pytest.raises(CrashError):
            box.tick("schedules")
    box.drain()  # what was enqueued runs, even though nobody has noted that it was

    for _ in range(2):
        box.travel(by=late)
        assert box.tick("schedules") is Outcome.DONE
        box.drain()

    assert len(box.enqueued(report)) == 1


def test_what_the_queue_refuses_is_enqueued_by_the_next_call(app, box, report, ran, monkeypatch):
    for name in ("one", "two"):
        app.schedules.put(name, report.options(queue=name), args=(1,), interval=HOUR)
    box.travel(by=HOUR)
    with monkeypatch.context() as patch:
        refusing(patch, box, "two")
        assert box.tick("schedules") is Outcome.TROUBLE
    box.drain()
    assert len(ran) == 1

    box.travel(by=MINUTE)
    assert box.tick("schedules") is Outcome.DONE
    box.drain()

    assert len(ran) == 2


def refusing(patch, box, queue):
    enqueue = box.queue.enqueue

    def refuse(task):
        if task.queue == queue:
            raise UnavailableError("away")
        return enqueue(task)

    patch.setattr(box.queue, "enqueue", refuse)


def test_while_the_last_run_cannot_be_asked_for_nothing_is_lost(app, box, report, ran, monkeypatch):
    app.schedules.put("one", report, args=(1,), interval=HOUR)
    for outcome in (Outcome.DONE, Outcome.TROUBLE, Outcome.DONE):
        box.travel(by=HOUR)
        with monkeypatch.context() as patch:
            if outcome is Outcome.TROUBLE:
                patch.setattr(box.queue, "fetch", _away)
            assert box.tick("schedules") is outcome
        box.drain()

    assert len(ran) == 2


def _away(*_):
    raise UnavailableError("away")


def test_a_failing_block_holds_no_other_up(app, box, report, monkeypatch):
    monkeypatch.setattr(fan_out, "_BLOCK", 2)
    for number in range(6):
        app.schedules.put(f"{number}", report, args=(number,), interval=HOUR)
    box.travel(by=HOUR)
    get = box.store.get

    def fail(keys):
        if RecordKey(KIND, "2") in keys:
            raise StoreError("away")
        return get(keys)

    with monkeypatch.context() as patch:
        patch.setattr(box.store, "get", fail)
        assert box.tick("schedules") is Outcome.TROUBLE
    assert sorted(call.args[0] for call in box.enqueued(report)) == [0, 1, 4, 5]

    assert box.tick("schedules") is Outcome.DONE
    assert len(box.enqueued(report)) == 6


def test_what_takes_too_long_is_left_to_the_next_call(app, box, report, monkeypatch):
    monkeypatch.setattr(fan_out, "_BLOCK", 2)
    monkeypatch.setattr(fan_out, "_LONGEST", -1.0)
    app.schedules.put("one", report, args=(1,), interval=HOUR)
    box.travel(by=HOUR)

    assert box.tick("schedules") is Outcome.TROUBLE
    monkeypatch.undo()
    assert box.tick("schedules") is Outcome.DONE

    assert len(box.enqueued(report)) == 1


def test_a_task_that_is_not_declared_here_holds_no_other_up(app, box, report, lines):
    gone = app.deferred(name="gone")(lambda: None)
    app.schedules.put("a", gone, interval=HOUR)
    app.schedules.put("b", report, args=(1,), interval=HOUR)
    task = app._declared.tasks.remove("gone")
    box.travel(by=HOUR)

    assert box.tick("schedules") is Outcome.DONE  # to repeat the call would not help
    assert len(box.enqueued(report)) == 1
    (line,) = [line for line in lines() if line["event"] == "schedules.failed"]
    assert "No task is named 'gone'" in line["message"]

    app._declared.tasks.add("gone", task)
    box.tick("schedules")
    assert len(box.enqueued(gone)) == 1


def test_arguments_that_the_task_no_longer_takes_hold_no_other_up(app, box, report, lines):
    app.schedules.put("a", report, args=(1,), interval=HOUR)
    app._declared.tasks.remove("report")
    app.deferred(name="report")(lambda: None)
    box.travel(by=HOUR)

    assert box.tick("schedules") is Outcome.DONE

    assert [line["severity"] for line in lines() if line["event"] == "schedules.failed"] == [
        "ERROR"
    ]


def test_periodic_functions_of_the_same_cron_name_run_as_well(app, box, report, ran, monkeypatch):
    @app.periodic(interval=HOUR, cron_name="schedules", name="sweep")
    def sweep():
        ran.append("sweep")

    app.schedules.put("one", report, args=(1,), interval=HOUR)
    box.travel(by=HOUR)
    with monkeypatch.context() as patch:
        refusing(patch, box, "none")
        patch.setattr("adjourn.cron.tick.PeriodicRunner._claim", _away)
        assert box.tick("schedules") is Outcome.TROUBLE
    assert len(box.enqueued(report)) == 1

    assert box.tick("schedules") is Outcome.DONE
    box.drain()
    assert "sweep" in ran


def test_two_calls_that_overlap_make_one_task(app, box, report, monkeypatch):
    app.schedules.put("one", report, args=(1,), interval=HOUR)
    box.travel(by=HOUR)
    enqueued, overlapped = fan_out.FanOut._enqueued, []

    def overlapping(self, claimed):
        if not overlapped:
            overlapped.append(True)
            box.wiring.receive_tick(
                box.delivery(box.wiring.settings.cron_url, b"", path="/schedules")
            )
        return enqueued(self, claimed)

    monkeypatch.setattr(fan_out.FanOut, "_enqueued", overlapping)

    assert box.tick("schedules") is Outcome.DONE
    assert overlapped
    assert len(box.enqueued(report)) == 1


@pytest.mark.parametrize("change", ["pause", "delete", "put"])
def test_what_is_changed_while_it_is_found_due_is_left_to_the_change(
    app, box, report, monkeypatch, change
):
    app.schedules.put("one", report, args=(1,), interval=HOUR)
    box.travel(by=HOUR)
    claim = ScheduleSlots.claim

    def late(slots, *arguments):
        if change == "put":
            app.schedules.put("one", report, args=(2,), interval=HOUR)
        else:
            getattr(app.schedules, change)("one")
        return claim(slots, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(ScheduleSlots, "claim", late)
        assert box.tick("schedules") is Outcome.DONE
    assert box.enqueued(report) == []

    box.tick("schedules")
    assert [call.args for call in box.enqueued(report)] == ([(2,)] if change == "put" else [])


def test_a_claimed_time_survives_a_new_definition(app, box, report, ran, monkeypatch):
    app.schedules.put("one", report, args=(1,), cron="0 * * * *")
    box.travel(to=app.schedules.get("one").next_due)
    with monkeypatch.context() as patch:
        dying(patch, "enqueue")
        with pytest.raises(CrashError):
            box.tick("schedules")

    app.schedules.put("one", report, args=(2,), cron="0 8 1 1 *")
    box.travel(by=MINUTE)
    box.tick("schedules")
    box.drain()

    assert [tenant for tenant, *_ in ran] == [2]
    assert app.schedules.get("one").next_due.month == 1


def test_what_a_later_version_has_stored_is_kept(app, box, report):
    app.schedules.put("one", report, args=(1,), interval=HOUR)
    box.store.put(RecordKey(KIND, "one"), {**record(box), "newer": 7})
    box.travel(by=HOUR)

    box.tick("schedules")

    assert record(box)["newer"] == 7


def test_only_the_due_time_has_an_index(app, box, report, monkeypatch):
    unindexed = []
    put = adjourn.testing.entity_store._MemoryTransaction.put

    def noting(self, key, record, *, unindexed=()):
        seen.append(set(record) - set(unindexed))
        put(self, key, record)

    seen = unindexed
    monkeypatch.setattr(adjourn.testing.entity_store._MemoryTransaction, "put", noting)
    app.schedules.put("one", report, args=(1,), interval=HOUR)
    box.travel(by=HOUR)
    box.tick("schedules")
    app.schedules.pause("one")

    assert seen == [{"due_schedules"}] * 3 + [set()]


FAULTS = st.sampled_from(
    ["none"] * 4 + ["claim", "enqueue", "mark", "lost", "refused", "silent", "twice"]
)


@settings(max_examples=60)
@given(st.lists(FAULTS, min_size=12, max_size=40), st.integers(0, 3))
def test_whatever_goes_wrong_each_due_time_runs_once(faults, draining):
    """One call in five minutes, times each hour: of a dozen calls, one in each hour is enough."""
    app, ran = adjourn.App(), []
    app.schedules.serve()

    @app.deferred(name="note")
    def note(name: str) -> None:
        ran.append((name, adjourn.current_task().eta))

    with sandbox(app, now=dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)) as box:
        for name in "abc":
            app.schedules.put(name, note, args=(name,), cron="0 * * * *", overlap="allow")
        for number, fault in enumerate(faults):
            box.travel(by=5 * MINUTE)
            _tick(box, fault)
            if number % 4 >= draining:
                box.drain()
        for _ in range(3):  # then all is well again
            box.travel(by=MINUTE)
            box.tick("schedules")
        box.drain()

        hours = range(
            1, int((box.clock.now() - dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)) / HOUR) + 1
        )
        expected = {
            (n, dt.datetime(2026, 11, 23, 12 + h, tzinfo=dt.UTC)) for n in "abc" for h in hours
        }
    assert len(ran) == len(set(ran))
    assert set(ran) == expected


def _tick(box, fault):
    with pytest.MonkeyPatch.context() as patch:
        if fault in STEPS:
            dying(patch, fault)
        elif fault == "lost":
            enqueue_many = box.queue.enqueue_many

            def lose(tasks):
                return [EnqueueError(f"no answer about {each}") for each in enqueue_many(tasks)]

            patch.setattr(box.queue, "enqueue_many", lose)
        elif fault == "refused":
            patch.setattr(box.queue, "enqueue", _away)
        elif fault == "silent":
            return
        try:
            for _ in range(2 if fault == "twice" else 1):
                box.tick("schedules")
        except CrashError:
            pass

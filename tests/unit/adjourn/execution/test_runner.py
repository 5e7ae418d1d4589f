"""What a call may do before it runs, and what follows from how it ends."""

import datetime as dt
import json
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from adjourn import (
    DeadLetter,
    Discard,
    NoCurrentTaskError,
    PermanentTaskFailure,
    RetryLater,
    Snooze,
    current_task,
)
from adjourn.errors import StoreError
from adjourn.execution.attempt import Attempt
from adjourn.execution.delivery import Outcome
from adjourn.testing import SETTINGS, sandbox

SECOND = dt.timedelta(seconds=1)
MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def work(app, ran):
    """Return a task that does what it is told, one instruction for each attempt."""

    @app.deferred(name="work")
    def work(*instructions):
        attempt = len(ran)
        ran.append(current_task())
        if attempt < len(instructions) and instructions[attempt]:
            raise {
                "fail": RuntimeError("fail"),
                "permanent": PermanentTaskFailure("permanent"),
                "discard": Discard("not wanted"),
                "snooze": Snooze(MINUTE),
                "retry": RetryLater(60),
            }[instructions[attempt]]

    return work


def letters(box):
    return [record for key, (_, record) in box.store.records.items() if "Dead" in key.kind]


def ledger(box):
    return {key.name: r["state"] for key, (_, r) in box.store.records.items() if "Once" in key.kind}


# The current task


def test_a_task_has_no_longer_than_the_function(app, ran):
    @app.deferred(name="work")
    def work():
        ran.append(current_task().time_left())

    for seconds in (60, 1800):
        with sandbox(app, replace(SETTINGS, function_timeout=seconds)) as box:
            work()
            box.drain()

    assert ran == [MINUTE, 10 * MINUTE]


def test_a_task_knows_itself(box, work, ran):
    handle = work.options(queue="mail", timeout=60, max_retries=1).defer("fail")

    box.drain()
    box.drain()

    first, second = ran
    assert (first.id, first.task, first.queue) == (handle.id, "work", "mail")
    assert handle.name.endswith(first.name)
    assert (first.attempt, first.retry_count, first.is_last_attempt) == (1, 0, False)
    assert (second.attempt, second.retry_count, second.is_last_attempt) == (2, 1, True)
    assert first.enqueued_at == box.clock.now()
    assert first.deadline == box.clock.now() + MINUTE
    assert first.time_left() == MINUTE

    box.clock.advance(2 * MINUTE)
    assert first.time_left() == dt.timedelta()


def test_outside_of_a_task_there_is_no_current_one(box, work):
    work()
    box.drain()

    with pytest.raises(NoCurrentTaskError, match="call it within a task"):
        current_task()


# How it ends


def test_a_discarded_task_is_acknowledged_without_a_dead_letter(box, work, ran):
    work("discard")

    assert box.drain() == [Outcome.DONE]
    assert (len(ran), letters(box)) == (1, [])


def test_a_snoozed_task_comes_back_and_has_spent_no_attempt(box, work, ran):
    work.options(max_retries=0).defer("snooze")

    assert box.drain() == [Outcome.DONE]
    assert box.queue.due() == []
    box.clock.advance(MINUTE)
    assert box.drain() == [Outcome.DONE]

    assert [(task.attempt, task.is_last_attempt) for task in ran] == [(1, True), (1, True)]
    assert ran[0].id == ran[1].id
    assert box.queue.tasks == {}


def test_retry_later_waits_as_told_and_spends_an_execution(box, work, ran):
    work.options(max_retries=1).defer("retry", "retry")

    assert box.drain() == [Outcome.DONE]
    assert box.queue.due() == []
    box.clock.advance(MINUTE)
    assert box.drain() == [Outcome.DEAD]

    assert [(task.attempt, task.is_last_attempt) for task in ran] == [(1, False), (2, True)]
    assert letters(box)[0]["attempts"] == 2


def test_counts_go_on_over_failures_and_returns(box, work, ran):
    work.options(max_retries=3).defer("fail", "retry", "fail", "fail")

    for expected in (Outcome.FAILED, Outcome.DONE, Outcome.FAILED, Outcome.DEAD):
        assert box.drain() == [expected]
        box.clock.advance(MINUTE)

    assert [task.attempt for task in ran] == [1, 2, 3, 4]


def test_an_answer_lost_after_a_snooze_makes_no_second_task(box, work):
    work("snooze", "snooze")
    (queued,) = box.queue.due()

    box.deliver(queued)
    box.queue.tasks[queued.name] = queued  # the answer never arrived
    box.deliver(queued)

    assert len(box.queue.tasks) == 1


@pytest.mark.parametrize("wait", [-1, dt.timedelta(seconds=-1)])
@pytest.mark.parametrize("kind", [RetryLater, Snooze])
def test_nobody_can_wait_for_less_than_nothing(kind, wait):
    with pytest.raises(ValueError, match="between nothing and a hundred years"):
        kind(wait)


# Whether it may run


def test_an_expired_call_is_dropped_with_a_log_event(box, work, ran, caplog):
    work.options(expires=HOUR).defer()
    work.options(delay=HOUR, expires=HOUR).defer()

    box.clock.advance(HOUR)
    assert box.drain() == [Outcome.DONE, Outcome.DONE]

    assert len(ran) == 1  # the one whose hour began an hour later
    assert "work has expired" in caplog.text


@pytest.mark.parametrize("first", ["fail", "snooze", "retry"])
def test_a_call_that_has_begun_expires_no_more(box, work, ran, first):
    work.options(expires=HOUR).defer(first)
    box.drain()

    box.clock.advance(2 * HOUR)
    assert box.drain() == [Outcome.DONE]

    assert len(ran) == 2


def test_a_call_whose_queue_is_gone_becomes_a_dead_letter_when_it_snoozes(app, work):
    with sandbox(app) as box:
        work.options(queue="mail").defer("snooze")
        box.queue._queues = {"default"}

        assert box.drain() == [Outcome.DEAD]

        (letter,) = letters(box)
        assert "mail" in letter["error"]


def test_an_eta_in_the_second_of_two_equal_hours_is_an_instant(box, work, ran):
    # Clocks in Berlin go from 3:00 back to 2:00; fold=1 is the second 2:30.
    eta = dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))
    handle = work.options(eta=eta, expires=600).defer()

    assert handle.eta == dt.datetime(2026, 10, 25, 1, 30, tzinfo=dt.UTC)
    box.clock.advance(handle.eta - box.clock.now())
    assert box.drain() == [Outcome.DONE]

    assert len(ran) == 1
    assert ran[0].eta == handle.eta


@pytest.mark.usefixtures("box")
def test_a_spread_start_is_never_before_its_eta(work):
    eta = dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))

    handle = work.options(eta=eta, spread=60).defer()

    assert dt.timedelta() <= handle.eta - eta.astimezone(dt.UTC) <= MINUTE


def test_a_zone_or_a_subclass_of_another_library_is_an_instant_too(box, work):
    class Zone(dt.tzinfo):
        def utcoffset(self, _):
            return HOUR

        def dst(self, _):
            return dt.timedelta()

    class Moment(dt.datetime):
        pass

    handle = work.options(eta=Moment(2026, 1, 2, tzinfo=Zone())).defer()

    assert handle.eta == dt.datetime(2026, 1, 1, 23, tzinfo=dt.UTC)
    box.clock.advance(handle.eta - box.clock.now())
    assert box.drain() == [Outcome.DONE]


def test_a_call_is_spread_at_random(box, work):
    handle = work.options(delay=MINUTE, spread=MINUTE).defer()

    assert handle.eta == box.clock.now() + 1.5 * MINUTE


def test_the_back_off_of_a_task_travels_with_it(box, work):
    work.options(min_backoff=5, max_backoff=50).defer("snooze")
    (first,) = box.queue.due()

    box.deliver(first)

    (second,) = box.queue.tasks.values()
    for task in (first.task, second.task):
        assert (task.min_backoff, task.max_backoff) == (5 * SECOND, 50 * SECOND)


# Once


def test_a_duplicate_of_a_call_that_took_effect_is_acknowledged(box, work, ran):
    work.options(once=True).defer()
    (queued,) = box.queue.due()

    assert box.deliver(queued) is Outcome.DONE
    assert box.deliver(queued) is Outcome.DONE

    assert len(ran) == 1


def test_a_duplicate_that_meets_a_live_lease_is_never_acknowledged(app, box, ran):
    @app.deferred(name="slow", once=True)
    def slow():
        ran.append(1)
        outcomes.append(box.deliver(queued))

    outcomes = []
    slow()
    (queued,) = box.queue.due()

    assert box.deliver(queued) is Outcome.DONE

    assert outcomes == [Outcome.BUSY]
    assert len(ran) == 1


def test_waiting_for_another_delivery_does_not_spend_the_retries_of_a_call(app, box, ran):
    """Cloud Tasks gives an attempt up that goes on, and counts each 409 as an execution."""

    @app.deferred(name="slow", once=True, max_retries=1)
    def slow():
        ran.append(current_task().is_last_attempt)
        for answered in range(3 if len(ran) == 1 else 0):
            for _ in range(2):  # the first answer is lost
                queued.attempt = Attempt(retry_count=answered + 1, execution_count=answered)
                assert box.deliver(queued) is Outcome.BUSY
        raise RuntimeError("fail")

    slow()
    (queued,) = box.queue.due()
    assert box.deliver(queued) is Outcome.FAILED
    queued.attempt = Attempt(retry_count=4, execution_count=3)

    assert box.drain() == [Outcome.FAILED]
    assert box.drain() == [Outcome.DEAD]

    assert ran == [False, False, True]


def test_a_duplicate_of_a_running_attempt_does_not_spend_the_retries_of_a_call(app, box, ran):
    @app.deferred(name="slow", once=True, max_retries=2)
    def slow():
        ran.append(current_task().is_last_attempt)
        if len(ran) == 1:
            assert box.deliver(queued) is Outcome.BUSY
        raise RuntimeError("fail")

    slow()
    (queued,) = box.queue.due()

    assert box.deliver(queued) is Outcome.FAILED
    assert box.drain() == [Outcome.FAILED]
    assert box.drain() == [Outcome.DEAD]

    assert ran == [False, False, True]


def test_a_failed_call_is_given_back_and_runs_again(box, work, ran):
    work.options(once=True).defer("fail")

    assert box.drain() == [Outcome.FAILED]
    assert box.drain() == [Outcome.DONE]

    assert len(ran) == 2
    assert list(ledger(box).values()) == ["done"]


def test_a_call_whose_worker_crashed_is_taken_over_after_the_lease(app, box, ran):
    @app.deferred(name="crash", once=True, timeout=60)
    def crash():
        ran.append(1)
        if len(ran) == 1:
            raise KeyboardInterrupt  # as a killed process, this passes everything by

    crash()
    (queued,) = box.queue.due()
    with pytest.raises(KeyboardInterrupt):
        box.deliver(queued)

    assert box.deliver(queued) is Outcome.BUSY
    box.clock.advance(3 * MINUTE)
    assert box.deliver(queued) is Outcome.DONE

    assert len(ran) == 2


@pytest.mark.parametrize("option", ["once", "no_retry"])
@pytest.mark.parametrize("instruction", ["", "permanent", "snooze"])
def test_what_has_ended_does_not_run_again_for_an_entry_that_datastore_did_not_take(
    box, work, monkeypatch, option, instruction
):
    real, left = (
        box.store.transact,
        ["claim", "letter"] if instruction == "permanent" else ["claim"],
    )

    def taking_claims_and_letters_alone(work):
        if not left:
            raise StoreError("away")
        left.pop()
        return real(work)

    work.options(**{option: True}).defer(instruction)
    monkeypatch.setattr(box.store, "transact", taking_claims_and_letters_alone)

    assert box.drain() == [Outcome.DEAD if instruction == "permanent" else Outcome.DONE]
    assert len(box.queue.tasks) == (instruction == "snooze")


def test_a_worker_that_outlived_its_lease_cannot_settle_the_call(app, box, caplog):
    @app.deferred(name="late", once=True)
    def late():
        if not late_runs:
            late_runs.append(1)
            box.clock.advance(HOUR)
            assert box.deliver(queued) is Outcome.DONE

    late_runs = []
    late()
    (queued,) = box.queue.due()

    box.deliver(queued)

    assert "outlived its lease" in caplog.text
    assert list(ledger(box).values()) == ["done"]


def test_a_snoozed_call_is_given_back(box, work, ran):
    work.options(once=True).defer("snooze")

    box.drain()
    assert list(ledger(box).values()) == ["free"]
    box.clock.advance(MINUTE)
    box.drain()

    assert len(ran) == 2
    assert list(ledger(box).values()) == ["done"]


def test_without_a_ledger_nothing_runs(box, work, ran, monkeypatch):
    def away(_):
        raise StoreError("away")

    work.options(once=True).defer()
    monkeypatch.setattr(box.store, "transact", away)

    assert box.drain() == [Outcome.TROUBLE]
    assert ran == []


# Without retry


def test_a_call_without_retry_that_fails_is_dead_at_once(box, work, ran):
    work.options(no_retry=True).defer("fail")
    (queued,) = box.queue.due()

    assert box.deliver(queued) is Outcome.DEAD
    assert box.deliver(queued) is Outcome.DONE

    assert len(ran) == 1
    assert ran[0].is_last_attempt


def test_a_call_without_retry_whose_worker_crashed_is_never_begun_again(app, box, ran):
    @app.deferred(name="crash", no_retry=True)
    def crash():
        ran.append(1)
        raise KeyboardInterrupt

    crash()
    (queued,) = box.queue.due()
    with pytest.raises(KeyboardInterrupt):
        box.deliver(queued)

    assert box.deliver(queued) is Outcome.BUSY
    box.clock.advance(HOUR)
    assert box.deliver(queued) is Outcome.DEAD

    assert len(ran) == 1
    assert "begun before" in letters(box)[0]["error"]


# Hooks


def test_the_dead_are_told_to_the_tasks_hook_and_then_to_the_apps(app, box):
    told = []

    @app.on_dead
    def anybody(letter):
        told.append(("app", letter))

    @app.deferred(name="frail", on_dead=lambda letter: told.append(("task", letter)))
    def frail():
        raise PermanentTaskFailure("frail")

    handle = frail()
    assert box.drain() == [Outcome.DEAD]

    letter = DeadLetter(
        task_id=handle.id,
        task="frail",
        queue="default",
        attempts=1,
        error="PermanentTaskFailure: frail",
    )
    assert told == [("task", letter), ("app", letter)]


def test_an_unreadable_body_is_told_to_the_apps_hook(app, box):
    told = []
    app.on_dead(told.append)

    receive = app.wiring().receive_task
    assert receive(box.delivery("https://deferred.example", b"?")) is Outcome.DEAD

    assert [letter.task for letter in told] == [""]


def test_a_failing_hook_undoes_nothing(app, box, work, caplog):
    @app.on_dead
    def fail(_):
        raise RuntimeError("hook")

    work("permanent")

    assert box.drain() == [Outcome.DEAD]
    assert "failed" in caplog.text
    assert len(letters(box)) == 1


@pytest.mark.parametrize("retries", [(23, 24, 25, 26, 27), (24, 26, 27), (99,)])
def test_a_retry_warning_comes_once_even_if_its_attempt_never_arrived(app, box, work, retries):
    warned = []
    app.on_retry_warning(warned.append)
    work(*["fail"] * 9)
    (queued,) = box.queue.due()

    for count in retries:
        queued.attempt = Attempt(retry_count=count)
        box.deliver(queued)

    (warning,) = warned
    assert warning.retry_count == min(count for count in retries if count >= 25)
    assert warning.task == "work"


def test_a_warning_that_cannot_be_noted_keeps_no_task_from_running(box, work, ran, monkeypatch):
    def away(_):
        raise StoreError("away")

    work()
    (queued,) = box.queue.due()
    queued.attempt = Attempt(retry_count=30)
    monkeypatch.setattr(box.store, "transact", away)

    assert box.deliver(queued) is Outcome.DONE
    assert len(ran) == 1


def test_a_small_call_says_only_what_is_not_the_default(box, work):
    work(1)

    body = json.loads(box.queue.due()[0].task.body)

    assert body.keys() == {"v", "id", "task", "args", "kwargs", "enqueued_at", "queue"}


# Done with a transaction


def test_an_effect_in_a_transaction_is_exactly_once_whatever_comes_after(app, box, ran):
    @app.deferred(name="pay", once=True)
    def pay():
        ran.append(1)
        with box.transactions.begin() as transaction:
            current_task().done_with(transaction)
        raise RuntimeError("after the commit")

    pay()

    assert box.drain() == [Outcome.FAILED]
    assert box.drain() == [Outcome.DONE]
    assert len(ran) == 1
    assert list(ledger(box).values()) == ["done"]


def test_a_transaction_that_is_rolled_back_leaves_the_call_to_be_done(app, box, ran):
    @app.deferred(name="pay", once=True)
    def pay():
        ran.append(1)
        with box.transactions.begin() as transaction:
            current_task().done_with(transaction)
            if len(ran) == 1:
                raise RuntimeError

    pay()

    assert box.drain() == [Outcome.FAILED]
    assert box.drain() == [Outcome.DONE]
    assert len(ran) == 2


def test_a_late_worker_cannot_commit_what_another_has_claimed(app, box, ran):
    @app.deferred(name="pay", once=True)
    def pay():
        late = not ran
        if late:
            ran.append("late")
            box.clock.advance(HOUR)
            assert box.deliver(queued) is Outcome.DONE
        with box.transactions.begin() as transaction:
            current_task().done_with(transaction)
            ran.append("committed late" if late else "committed")

    pay()
    (queued,) = box.queue.due()

    assert box.deliver(queued) is Outcome.FAILED
    assert ran == ["late", "committed"]


def test_a_task_that_is_not_claimed_cannot_be_done_with_a_transaction(app, box, caplog):
    @app.deferred(name="plain")
    def plain():
        current_task().done_with(object())

    plain()

    assert box.drain() == [Outcome.FAILED]
    assert "declare it with once=True" in caplog.text


def test_what_fails_in_the_last_attempt_of_its_queue_becomes_a_dead_letter(app, work, ran):
    with sandbox(app, replace(SETTINGS, max_attempts={"": 5, "default": 2})) as box:
        work("fail", "fail")
        work.options(queue="patient").defer(*["fail"] * 5)

        impatient, patient = box.queue.due()

        outcomes = [box.deliver(impatient) for _ in range(2)]

        assert outcomes == [Outcome.FAILED, Outcome.DEAD]
        assert [(task.attempt, task.is_last_attempt) for task in ran] == [(1, False), (2, True)]
        assert [box.deliver(patient) for _ in range(3)] == [Outcome.FAILED] * 3


def test_a_queue_that_tries_for_ever_makes_no_dead_letter(app, work):
    with sandbox(app, replace(SETTINGS, max_attempts={"": 0})) as box:
        work(*["fail"] * 200)

        assert {box.deliver(box.queue.due()[0]) for _ in range(150)} == {Outcome.FAILED}

"""Calls that the next revision knows and this one does not, and callers whose clocks differ."""

import datetime as dt
import enum
import json
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from adjourn import App, DeclarationError, Flow, Snooze
from adjourn.errors import StoreError
from adjourn.execution.attempt import Attempt
from adjourn.execution.delivery import Outcome
from adjourn.serialization import envelope
from adjourn.testing import SETTINGS, sandbox

MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
BIG = "x" * 2_000_000


class Color(enum.Enum):
    RED = 1


class NewColor(enum.Enum):
    RED = 1
    BLUE = 2


class Rights(enum.Flag):
    READ = 1


class NewRights(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass
class Order:
    number: int


def revision(ran, **types):
    """Return a revision of an application that knows these types by their names."""
    app = App()
    for name, cls in types.items():
        app.register(cls, name=name)

    @app.deferred(name="work")
    def work(*arguments):
        ran.append(arguments)

    return app, work


def letters(box):
    return [record for key, (_, record) in box.store.records.items() if "Dead" in key.kind]


def handed_over(old, new):
    """Hand the only task of one world over to another, with what is stored."""
    (queued,) = new.queue.tasks.values()
    old.queue.tasks = {queued.name: queued}
    old.store.records.update(new.store.records)
    return queued


@pytest.fixture(params=["dataclass", "enum", "flag", "large"])
def revisions(request, ran):
    """Return two revisions, and an argument that only the second knows."""
    known, unknown, argument = {
        "dataclass": ({}, {"it": Order}, Order(7)),
        "enum": ({"it": Color}, {"it": NewColor}, NewColor.BLUE),
        "flag": ({"it": Rights}, {"it": NewRights}, NewRights.READ | NewRights.WRITE),
        "large": ({}, {"it": Order}, [Order(7), BIG]),
    }[request.param]
    old, _ = revision(ran, **known)
    new, work = revision(ran, **unknown)
    settings = replace(SETTINGS, max_attempts={"": 5})
    with sandbox(old, settings) as before, sandbox(new, settings) as after:
        work(argument)
        yield before, after, argument


# Types


def test_a_type_that_the_next_revision_knows_is_waited_for(revisions, ran):
    old, new, argument = revisions
    queued = handed_over(old, new)

    assert old.deliver(queued) is Outcome.UNKNOWN
    old.clock.advance(HOUR - MINUTE)
    assert old.deliver(queued) is Outcome.UNKNOWN
    new.store.records.update(old.store.records)
    assert new.deliver(queued) is Outcome.DONE

    assert ran == [(argument,)]
    assert letters(old) == []


def test_a_type_that_nobody_knows_for_an_hour_makes_a_dead_letter(revisions, ran):
    old, new, _ = revisions
    queued = handed_over(old, new)

    assert old.deliver(queued) is Outcome.UNKNOWN
    old.clock.advance(HOUR + MINUTE)
    assert old.deliver(queued) is Outcome.DEAD

    (letter,) = letters(old)
    assert letter["error"].startswith("UnknownTypeError: ")
    assert (letter["task"], ran) == ("work", [])


def test_a_call_of_an_unknown_type_outlives_the_queues_last_attempt(revisions, ran):
    old, new, argument = revisions
    queued = handed_over(old, new)
    queued.attempt = Attempt(retry_count=4, execution_count=4)

    assert old.deliver(queued) is Outcome.DONE
    (kept,) = old.queue.tasks.values()
    new.store.records.update(old.store.records)
    assert new.deliver(kept) is Outcome.DONE

    assert ran == [(argument,)]


def test_a_body_that_is_cut_short_is_not_waited_for(box):
    box.app.deferred(name="work")(lambda: None)
    box.app.wiring().tasks.get("work")()
    (queued,) = box.queue.tasks.values()
    queued.task = queued.task._replace(body=queued.task.body[:-1])

    assert box.deliver(queued) is Outcome.DEAD


# Calls that ask for more than earlier versions know


@pytest.fixture
def earlier(monkeypatch):
    """Return what makes this process one of a version that knew plain calls alone."""

    @contextmanager
    def earlier():
        with monkeypatch.context() as patch:
            patch.setattr(envelope, "_PREFIXES", {})
            patch.setattr(envelope, "_READ", envelope._READ - {"window", "keep_result", "flow"})
            yield

    return earlier


@pytest.mark.parametrize("is_queues_last", [False, True])
@pytest.mark.parametrize(
    ("prefix", "options"),
    [
        ("result", {"keep_result": HOUR}),
        ("flow", {"flow": Flow(concurrency=1)}),
        ("window", {"debounce": 10, "by": "task"}),
        ("window", {"throttle": 10, "by": "task"}),
    ],
)
def test_what_an_earlier_version_would_run_as_a_plain_call_is_left_to_the_next(
    earlier, ran, prefix, options, is_queues_last
):
    app = App()

    @app.deferred(name="work", **options)
    def work(number):
        ran.append(number)

    with sandbox(app, replace(SETTINGS, max_attempts={"": 5})) as box:
        work(1)
        if prefix == "window":
            work(2)
        (queued,) = [q for q in box.queue.tasks.values() if prefix.encode() in q.task.body]
        if is_queues_last:
            queued.attempt = Attempt(retry_count=4, execution_count=4)
        with earlier():
            outcome = box.deliver(queued)
        assert (outcome, ran) == (Outcome.DONE if is_queues_last else Outcome.UNKNOWN, [])
        box.travel(by=120)
        box.drain()
        box.travel(by=120)
        box.drain()

    assert ran[-1] == (2 if prefix == "window" else 1)
    assert letters(box) == []


def test_fields_of_the_next_version_stay_in_a_call_that_is_enqueued_again(ran):
    app = App()

    @app.deferred(name="work")
    def work():
        ran.append(1)
        raise Snooze(MINUTE)

    with sandbox(app) as box:
        work()
        (queued,) = box.queue.tasks.values()
        body = queued.task.body[:-1] + b',"priority":{"$level":7}}'
        queued.task = queued.task._replace(body=body)
        assert box.deliver(queued) is Outcome.DONE

        (again,) = box.queue.tasks.values()
    assert json.loads(again.task.body)["priority"] == {"$level": 7}
    assert json.loads(again.task.body)["resumed"] == 1


# Since when


def test_the_hour_counts_from_the_first_delivery_to_a_revision_that_lacks_it(ran):
    old, (new, work) = App(), revision(ran)
    with sandbox(old) as before, sandbox(new) as after:
        work()
        queued = handed_over(before, after)
        before.clock.advance(DAY)  # as when the queue was paused

        assert before.deliver(queued) is Outcome.UNKNOWN
        before.clock.advance(HOUR + MINUTE)
        assert before.deliver(queued) is Outcome.DEAD


def test_the_hour_counts_anew_after_it_was_known(app, box, ran):
    @app.deferred(name="work")
    def work():
        ran.append(1)
        raise RuntimeError

    work()
    (queued,) = box.queue.tasks.values()
    declared = app.wiring().tasks.remove("work")
    assert box.deliver(queued) is Outcome.UNKNOWN
    app.wiring().tasks.add("work", declared)
    assert box.deliver(queued) is Outcome.FAILED
    box.clock.advance(DAY)
    app.wiring().tasks.remove("work")

    assert box.deliver(queued) is Outcome.UNKNOWN


def test_a_call_that_has_put_itself_off_has_its_own_hour(app, box, ran):
    @app.deferred(name="work")
    def work():
        ran.append(1)
        raise Snooze(DAY)

    work()
    box.drain()
    box.clock.advance(DAY)
    app.wiring().tasks.remove("work")

    assert box.drain() == [Outcome.UNKNOWN]


def test_without_datastore_an_unknown_call_waits(app, box, monkeypatch):
    def away(_):
        raise StoreError("away")

    app.deferred(name="work")(lambda: None)
    app.wiring().tasks.remove("work")()
    monkeypatch.setattr(box.store, "transact", away)

    assert box.drain() == [Outcome.UNKNOWN]


def test_an_unknown_call_that_was_cancelled_ends(app, box):
    app.deferred(name="work")(lambda: None)
    handle = app.wiring().tasks.remove("work")()
    (queued,) = box.queue.tasks.values()
    box.deliver(queued)
    handle.cancel()

    assert box.deliver(queued) is Outcome.DONE


@pytest.mark.parametrize("is_known_later", [True, False])
def test_a_call_that_was_unknown_and_has_ended_is_not_cancelled(app, box, is_known_later):
    declared = app.deferred(name="work")(lambda: None)
    handle = declared()
    app.wiring().tasks.remove("work")
    (queued,) = box.queue.tasks.values()
    box.deliver(queued)
    if is_known_later:
        app.wiring().tasks.add("work", declared)
    box.clock.advance(HOUR + MINUTE)

    assert box.deliver(queued) is (Outcome.DONE if is_known_later else Outcome.DEAD)
    assert not handle.cancel()


# Registration


def test_a_renamed_class_finds_what_was_stored_under_its_former_name(ran):
    former, work = revision(ran, it=Order)
    with sandbox(former) as before:
        work(Order(7))
    renamed = App()
    renamed.register(Order, name="order", aliases=["it"])
    renamed.deferred(name="work")(lambda *arguments: ran.append(arguments))
    with sandbox(renamed) as after:
        queued = handed_over(after, before)
        assert after.deliver(queued) is Outcome.DONE

    assert ran == [(Order(7),)]


def test_aliases_are_a_list(app):
    with pytest.raises(DeclarationError, match="must be a list of names"):
        app.register(Order, aliases="it")


# Clocks


def test_a_caller_whose_clock_is_behind_loses_no_committed_call(app, box, ran):
    @app.deferred(name="work")
    def work():
        ran.append(1)

    with box.transactions.begin():
        work()
        box.clock.advance(HOUR)  # the function's clock, seen from the caller's
        assert box.drain() == [Outcome.DONE]
    box.clock.advance(MINUTE)

    assert box.drain() == [Outcome.DONE]
    assert ran == [1]


def test_a_call_whose_transaction_failed_is_dropped_five_minutes_after_its_first_delivery(
    app, box, ran
):
    app.deferred(name="work")(lambda: ran.append(1))

    def fail():
        with box.transactions.begin():
            app.wiring().tasks.get("work")()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    box.clock.advance(HOUR)
    begun = box.clock.now()
    while box.queue.tasks:
        box.drain()
        box.clock.advance(dt.timedelta(seconds=10))

    assert ran == []
    assert 5 * MINUTE <= box.clock.now() - begun <= 7 * MINUTE

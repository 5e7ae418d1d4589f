"""A declared function: how a call of it is queued, and what is refused before it is."""

import datetime as dt
import functools
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from adjourn import App
from adjourn.errors import (
    DeclarationError,
    EncodeError,
    QueueNotFoundError,
    UnavailableError,
)
from adjourn.execution.delivery import Outcome
from adjourn.ports import Target, TaskState
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn.tasks.options import Options
from adjourn.testing import SETTINGS, MemoryQueue, sandbox

CONCEPTS = Path(__file__).resolve().parents[4] / "docs" / "concepts.md"
NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def calls():
    return []


@pytest.fixture
def send(app, calls):
    @app.deferred(name="send")
    def function(*args, **kwargs):
        calls.append((args, kwargs))
        return len(calls)

    return function


def only(box):
    (queued,) = box.queue.tasks.values()
    return queued


# Options


def test_the_documentation_lists_every_option():
    _, _, table = CONCEPTS.read_text(encoding="utf-8").partition("| option | meaning |\n")
    rows = table.partition("\n\n")[0].splitlines()
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]

    assert sorted(listed) == sorted(Options._fields)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dellay": 5}, r"There is no option 'dellay'; did you mean 'delay'\?"),
        (
            {"zzz": 5},
            "There is no option 'zzz'; there are: by, call_name, debounce, delay, eta, expires",
        ),
        ({"delay": 5, "eta": NOON}, "Give delay or eta, not both"),
        ({"delay": -1}, "delay must not be negative"),
        ({"delay": -MINUTE}, "delay must not be negative"),
        ({"delay": math.nan}, "delay=nan is not a number of seconds"),
        ({"delay": math.inf}, "delay=inf is not a number of seconds"),
        ({"delay": 1e300}, r"delay=1e\+300 is not a number of seconds"),
        ({"delay": True}, "delay=True must be a timedelta or a number of seconds"),
        ({"delay": "5"}, "delay='5' must be a timedelta or a number of seconds"),
        ({"spread": -1}, "spread must not be negative"),
        ({"expires": 0}, "expires must be more than zero"),
        ({"min_backoff": 0}, "min_backoff must be more than zero"),
        ({"expires": dt.timedelta.max}, "expires must be more than zero, and at most a hundred"),
        ({"max_backoff": 1e13}, "max_backoff must be .* at most a hundred years"),
        ({"min_backoff": 9, "max_backoff": 3}, "min_backoff must not be longer than max_backoff"),
        ({"once": 1}, "once=1 must be True or False"),
        ({"no_retry": True, "max_retries": 2}, "no_retry contradicts max_retries"),
        ({"eta": NOON.replace(tzinfo=None)}, "eta=.* must be an aware datetime; add a time zone"),
        ({"eta": "tomorrow"}, "eta=.* must be an aware datetime"),
        ({"eta": NOON.date()}, "eta=.* must be an aware datetime"),
        ({"queue": ""}, "queue='' must be 1 to 100 letters, digits or hyphens"),
        ({"queue": "my_queue"}, "queue='my_queue' must be"),
        ({"queue": "mail\n"}, "must be 1 to 100"),
        ({"queue": "q" * 101}, "must be 1 to 100"),
        ({"queue": 5}, "queue=5 must be 1 to 100"),
        (
            {"call_name": ""},
            "call_name='' must be 1 to 500 letters, digits, hyphens or underscores",
        ),
        ({"call_name": "a/b"}, "call_name='a/b' must be"),
        ({"call_name": "n" * 501}, "must be 1 to 500"),
        ({"call_name": 5}, "call_name=5 must be 1 to 500"),
        ({"timeout": 14.9}, "timeout=0:00:14.900000 must be between 15 seconds and 30 minutes"),
        ({"timeout": dt.timedelta(minutes=31)}, "timeout=0:31:00 must be between"),
        ({"timeout": math.nan}, "timeout=nan is not a number of seconds"),
        ({"timeout": False}, "timeout=False must be a timedelta"),
        ({"max_retries": -1}, "max_retries=-1 must be a whole number from 0"),
        ({"max_retries": True}, "max_retries=True must be a whole number"),
        ({"max_retries": 1.0}, "max_retries=1.0 must be a whole number"),
    ],
)
def test_a_wrong_option_is_refused_with_the_fix(changes, message):
    with pytest.raises(DeclarationError, match=message):
        Options().changed(**changes)


def test_a_declared_delay_gives_way_only_when_it_is_taken_back():
    declared = Options().changed(delay=5)

    with pytest.raises(DeclarationError, match="delay=None undoes a declared delay"):
        declared.changed(eta=NOON)

    assert declared.changed(eta=NOON, delay=None).eta == NOON


@pytest.mark.parametrize(
    "changes",
    [
        {"delay": 0},
        {"delay": dt.timedelta(days=400)},
        {"spread": 0, "expires": 1, "min_backoff": 1, "max_backoff": 1},
        {"no_retry": True, "max_retries": 0},
        {"eta": NOON - dt.timedelta(days=400)},
        {"queue": "q" * 100},
        {"call_name": "n" * 500},
        {"call_name": "A-z_0"},
        {"timeout": 15},
        {"timeout": dt.timedelta(minutes=30)},
        {"max_retries": 0},
    ],
)
def test_the_bounds_themselves_are_allowed(changes):
    assert next(Options().changed(**changes).mistakes(), None) is None


def test_seconds_become_a_timedelta():
    options = Options().changed(delay=1.5, timeout=60)

    assert options.delay == dt.timedelta(seconds=1.5)
    assert options.timeout == MINUTE


def test_changing_options_leaves_the_original_as_it_was():
    original = Options().changed(queue="mail", delay=5)

    changed = original.changed(queue="fast")

    assert (original.queue, changed.queue) == ("mail", "fast")
    assert changed.delay == original.delay


@pytest.mark.parametrize(
    ("options", "start"),
    [
        (Options(), None),
        (Options(delay=MINUTE), NOON + MINUTE),
        (Options(eta=NOON), NOON),
        (Options(spread=MINUTE), NOON + MINUTE / 2),
        (Options(delay=MINUTE, spread=MINUTE), NOON + 1.5 * MINUTE),
    ],
)
def test_the_earliest_start_is_counted_from_the_call(options, start):
    assert options.start(NOON, 0.5) == start


@pytest.mark.parametrize(
    "options",
    [
        Options(delay=dt.timedelta.max),
        Options(delay=dt.timedelta(days=40_000)),
        Options(delay=MINUTE, spread=dt.timedelta.max),
        Options(eta=dt.datetime.max.replace(tzinfo=dt.timezone(-5 * HOUR))),
        Options(eta=dt.datetime.min.replace(tzinfo=dt.timezone(5 * HOUR))),
    ],
)
def test_a_start_that_nobody_can_mean_is_refused(options):
    with pytest.raises(DeclarationError, match="more than a hundred years away"):
        options.start(NOON, 1)


# Calls


@pytest.mark.parametrize("way", ["call", "defer"])
def test_a_call_enqueues_and_runs_nothing(box, send, calls, way):
    enqueue = send if way == "call" else send.defer

    handle = enqueue(5, resend=True)

    assert not calls
    queued = only(box)
    assert (handle.name, handle.queue, handle.eta, handle.is_new) == (
        queued.name,
        "default",
        None,
        True,
    )
    assert (queued.task.target, queued.task.label) == (Target.DEFERRED, "send")
    envelope = Envelope.decode(queued.task.body, Codec())
    assert (envelope.id, envelope.task) == (handle.id, "send")
    assert (envelope.args, dict(envelope.kwargs)) == ((5,), {"resend": True})
    assert envelope.enqueued_at == box.clock.now()


def test_what_was_enqueued_runs_with_its_arguments(box, send, calls):
    send(5, resend=True)

    box.drain()

    assert calls == [((5,), {"resend": True})]


def test_the_users_arguments_and_the_options_share_no_namespace(box, send, calls):
    send(queue="a", eta="b", delay="c", name="d", self="e")

    box.drain()

    assert calls == [((), {"queue": "a", "eta": "b", "delay": "c", "name": "d", "self": "e"})]


def test_running_a_call_here_and_now_enqueues_nothing(box, send, calls):
    assert send.call_local(5) == 1

    assert calls == [((5,), {})]
    assert not box.queue.tasks


def test_options_reach_the_queue(box, send):
    eta = box.clock.now() + MINUTE

    handle = send.options(
        queue="mail", delay=MINUTE, call_name="once", timeout=20, max_retries=3
    ).defer()

    task = only(box).task
    assert (task.queue, task.eta, task.name) == ("mail", eta, "once")
    assert task.timeout == dt.timedelta(seconds=20)
    assert Envelope.decode(task.body, Codec()).max_retries == 3
    assert Envelope.decode(task.body, Codec()).eta == eta
    assert (handle.queue, handle.eta) == ("mail", eta)
    assert handle.name.endswith("/queues/mail/tasks/once")


def test_a_call_may_not_take_longer_than_the_function_has(app):
    @app.deferred(name="send")
    def send(): ...

    with sandbox(app, replace(SETTINGS, function_timeout=60)) as box:
        send.options(timeout=60)()
        with pytest.raises(DeclarationError) as caught:
            send.options(timeout=61)()

        assert len(box.queue.tasks) == 1
    assert str(caught.value) == (
        "timeout=0:01:01 of send is more than the 0:01:00 that the deferred function has; shorten"
        " it, or raise the function's own timeout and then ADJOURN_FUNCTION_TIMEOUT."
    )


def test_calls_within_a_task_are_enqueued_with_their_options(app, box, send, calls):
    @app.deferred(name="work")
    def work():
        send()
        send.options(queue="mail", delay=MINUTE, call_name="later")(1)
        assert calls == []

    work()
    box.deliver(only(box))

    at_once, later = box.queue.tasks.values()
    assert (at_once.task.queue, at_once.due) == ("default", box.clock.now())
    assert (later.task.queue, later.task.name) == ("mail", "later")
    assert later.due == box.clock.now() + MINUTE


def test_options_are_chained_and_used_many_times(box, send):
    mail = send.options(queue="mail")
    later = mail.options(delay=MINUTE)

    mail(1)
    later(2)
    later(3)
    send(4)

    queued = [(q.task.queue, q.task.eta) for q in box.queue.tasks.values()]
    eta = box.clock.now() + MINUTE
    assert queued == [("mail", None), ("mail", eta), ("mail", eta), ("default", None)]


def test_a_taken_name_enqueues_nothing_and_says_so(box, send):
    first = send.options(call_name="once").defer(1)

    second = send.options(call_name="once").defer(2)

    assert (first.is_new, second.is_new) == (True, False)
    assert first.id is not None
    assert second.id is None
    assert second.name == first.name
    assert len(box.queue.tasks) == 1


def test_a_task_can_be_cancelled_once(box, send, calls):
    handle = send()

    assert handle.cancel() is True
    assert handle.cancel() is False

    assert box.drain() == []
    assert not calls


def test_a_handle_tells_how_its_task_stands(app):
    @app.deferred(name="fail")
    def fail():
        raise LookupError

    with sandbox(app) as box:
        handle = fail()
        before = handle.fetch()
        box.drain()

        assert before == TaskState(attempts=0, last_status="", next_start=box.clock.now())
        assert handle.fetch() == before._replace(attempts=1, last_status="failed")
        handle.cancel()
        assert handle.fetch() is None


@pytest.mark.usefixtures("box")
@pytest.mark.parametrize(
    ("args", "kwargs", "path"), [((object(),), {}, r"args\[0\]"), ((), {"a": [{1j}]}, "kwargs")]
)
def test_an_argument_that_cannot_be_carried_is_refused_at_the_call(send, args, kwargs, path):
    with pytest.raises(EncodeError, match=path):
        send(*args, **kwargs)


@pytest.mark.usefixtures("box")
def test_arguments_that_the_function_does_not_take_are_refused_at_the_call(app, ran):
    @app.deferred(name="greet")
    def greet(who, *, loud=False):
        ran.append((who, loud))

    with pytest.raises(EncodeError, match="greet: missing a required argument: 'who'"):
        greet()
    with pytest.raises(EncodeError, match="greet: got an unexpected keyword argument 'load'"):
        greet("Ann", load=True)
    first, second = greet.map(["Ann"]), greet.map(["Ann"], ["Bob"])
    assert [each.is_new for each in first] == [True]
    assert [str(each) for each in second] == ["greet: too many positional arguments"]


def test_a_decorated_function_takes_what_its_decorator_does(app, box, ran):
    def with_customer(function):
        @functools.wraps(function)
        def wrapper(*args):
            return function("customer", *args)

        return wrapper

    @app.deferred(name="greet")
    @with_customer
    def greet(customer, who):
        ran.append((customer, who))

    greet("Ann")
    box.drain()

    box.assert_enqueued(greet, "Ann")
    assert ran == [("customer", "Ann")]


def test_a_missing_queue_is_told(app, send):
    with sandbox(app) as box:
        box.queue._queues = {"default"}

        with pytest.raises(QueueNotFoundError, match="There is no queue 'mail'"):
            send.options(queue="mail").defer()


def test_a_service_out_of_reach_is_told(box, send, monkeypatch):
    def fail(*_):
        raise UnavailableError("away")

    monkeypatch.setattr(MemoryQueue, "enqueue", fail)

    with pytest.raises(UnavailableError, match="away"):
        send()
    assert not box.queue.tasks


def test_a_start_far_ahead_is_reached_in_hops(box, send, calls):
    start = box.clock.now() + dt.timedelta(days=70)

    handle = send.options(eta=start).defer(5)

    assert handle.eta == start
    for _ in range(3):
        assert calls == []
        box.clock.advance(dt.timedelta(days=29))
        assert box.drain() == [Outcome.DONE]
    assert len(calls) == 1
    assert box.drain() == []


def test_defaults_of_the_declaration_hold_for_every_call():
    app = App()

    @app.deferred(name="slow", queue="slow", delay=60, max_retries=2)
    def slow():
        pass

    with sandbox(app) as box:
        slow()

        task = only(box).task
        assert (task.queue, task.eta) == ("slow", box.clock.now() + MINUTE)

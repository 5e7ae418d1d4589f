"""Whatever happens to a delivery ends in one outcome, and nothing is dropped without a record."""

import datetime as dt
import json
import logging
from dataclasses import replace

import pytest

from adjourn import App, PermanentTaskFailure
from adjourn.errors import KeysUnavailableError, StoreError
from adjourn.execution.attempt import Attempt
from adjourn.execution.dead_letters import KIND
from adjourn.execution.delivery import Outcome
from adjourn.execution.runner import GRACE
from adjourn.ports import Adapters
from adjourn.requests.wsgi import STATUS
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn.testing import SETTINGS, MemoryJobs, MemoryStore, MemoryVerifier, sandbox

SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def raises():
    """Return what the task is to raise, in turn."""
    return []


@pytest.fixture
def work(app, raises):
    @app.deferred(name="work")
    def function(_secret=None):
        if raises and (error := raises.pop(0)):
            raise error

    return function


def enqueue(box, task, *args, **options):
    name = task.options(**options).defer(*args).name
    return box.queue.tasks[name]


def letters(box):
    return [record for key, (_, record) in box.store.records.items() if key.kind == KIND]


def body(box, **changes):
    fields = {"id": "7f3a", "task": "gone", "enqueued_at": box.clock.now()}
    return Envelope(**fields | changes).encode(Codec())


def receive(box, raw, **changes):
    delivery = box.delivery(SETTINGS.deferred_url, raw)
    return box.app.wiring().receive_task(delivery._replace(**changes))


def test_every_outcome_has_a_status_and_only_our_own_trouble_throttles_the_queue():
    assert set(STATUS) == set(Outcome)
    acknowledged = {o for o, status in STATUS.items() if status < 300}
    assert acknowledged == {Outcome.DONE, Outcome.DROPPED, Outcome.DEAD}
    assert {o for o, status in STATUS.items() if status in {429, *range(500, 600)}} == {
        Outcome.TROUBLE
    }


# The user's code


def test_a_task_that_returns_is_done(box, work, lines):
    queued = enqueue(box, work)

    assert box.deliver(queued) is Outcome.DONE

    assert not box.queue.tasks
    assert not box.store.records
    assert [line["event"] for line in lines()] == ["task.done"]


def test_a_plain_call_costs_no_operation_of_the_store(app, work):
    class Untouchable(MemoryStore):
        def __getattribute__(self, name):
            raise AssertionError(name)

    with sandbox(app) as box, app.rewired(SETTINGS, untouched(box, Untouchable())) as wiring:
        work()

        assert replace(box, wiring=wiring).drain() == [Outcome.DONE]


def untouched(box, store):
    return Adapters(
        queue=box.queue,
        store=store,
        queries=box.queries,
        jobs=MemoryJobs(),
        verifier=box.verifier,
        transactions=box.transactions,
        clock=box.clock,
        new_id=lambda: "7f3a",
        chance=lambda: 0.5,
    )


def test_a_task_that_raises_is_tried_again(box, work, raises, lines):
    raises.append(RuntimeError("broken"))
    queued = enqueue(box, work)

    assert box.deliver(queued) is Outcome.FAILED

    (line,) = lines()
    assert (line["event"], line["severity"]) == ("task.failed", "WARNING")
    assert line["stack_trace"].endswith("RuntimeError: broken\n")
    assert box.deliver(queued) is Outcome.DONE


@pytest.mark.parametrize("error", [SystemExit(3), SystemExit(), RecursionError("deep")])
def test_a_task_that_exits_has_failed_and_takes_nothing_along(box, work, raises, error):
    raises.append(error)

    assert box.deliver(enqueue(box, work)) is Outcome.FAILED


def test_a_permanent_failure_is_a_dead_letter_at_once(box, work, raises):
    raises.append(PermanentTaskFailure("no such order"))

    assert box.deliver(enqueue(box, work, queue="mail")) is Outcome.DEAD

    (letter,) = letters(box)
    assert (letter["task"], letter["queue"], letter["attempts"]) == ("work", "mail", 1)
    assert letter["error"] == "PermanentTaskFailure: no such order"
    assert not box.queue.tasks


def test_what_spends_the_tasks_own_budget_is_a_dead_letter(box, work, raises):
    raises += [RuntimeError("one"), SystemExit("two"), RuntimeError("three")]
    queued = enqueue(box, work, max_retries=2)

    outcomes = [box.deliver(queued) for _ in range(3)]

    assert outcomes == [Outcome.FAILED, Outcome.FAILED, Outcome.DEAD]
    (letter,) = letters(box)
    assert (letter["error"], letter["attempts"]) == ("RuntimeError: three", 3)
    assert Envelope.decode(letter["body"], Codec()).task == "work"


def test_trouble_of_the_platform_does_not_spend_the_budget(box, work, raises):
    raises.append(RuntimeError("one"))
    queued = enqueue(box, work, max_retries=1)
    queued.attempt = Attempt(retry_count=50, execution_count=0)

    assert box.deliver(queued) is Outcome.FAILED


def test_without_a_budget_the_queue_decides(box, work, raises):
    raises.append(RuntimeError("one"))
    queued = enqueue(box, work)
    queued.attempt = Attempt(retry_count=98, execution_count=5000)

    assert box.deliver(queued) is Outcome.FAILED


@pytest.mark.usefixtures("work")
def test_arguments_that_do_not_fit_any_more_are_a_failure_of_the_task(box):
    raw = body(box, task="work", args=(1, 2, 3))

    assert receive(box, raw) is Outcome.FAILED


def test_an_error_of_adjourn_that_the_users_code_raises_is_its_own(box, work, raises):
    raises.append(StoreError("in the user's code"))

    assert box.deliver(enqueue(box, work)) is Outcome.FAILED


# Unknown names


def test_an_unknown_name_is_tried_again_for_an_hour(box, lines):
    raw = body(box)
    box.clock.advance(GRACE)

    assert receive(box, raw) is Outcome.UNKNOWN

    (line,) = lines()
    assert (line["event"], line["severity"]) == ("task.unknown", "WARNING")
    assert not letters(box)


def test_after_the_hour_an_unknown_name_is_a_dead_letter(box):
    raw = body(box)
    assert receive(box, raw) is Outcome.UNKNOWN
    box.clock.advance(GRACE + SECOND)

    assert receive(box, raw, attempt=Attempt(1, 1)) is Outcome.DEAD

    (letter,) = letters(box)
    assert letter["error"] == "UnknownNameError: No task is named 'gone'"


def test_the_hour_begins_with_the_first_delivery(box):
    raw = body(box)
    box.clock.advance(dt.timedelta(days=20))  # as when the queue was paused
    receive(box, raw)

    box.clock.advance(GRACE)
    within = receive(box, raw, attempt=Attempt(1, 1))
    box.clock.advance(SECOND)
    after = receive(box, raw, attempt=Attempt(2, 2))

    assert (within, after) == (Outcome.UNKNOWN, Outcome.DEAD)


# Bodies


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[]", b'{"v": 2}', b'{"v": 1}'])
def test_an_undecodable_body_is_a_dead_letter_at_once(box, raw):
    outcome = receive(box, raw, queue="mail", attempt=Attempt(retry_count=4))

    assert outcome is Outcome.DEAD
    (letter,) = letters(box)
    assert (letter["task"], letter["queue"], letter["attempts"]) == ("", "mail", 5)
    assert letter["body"] == raw


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "\udc80"},
        {"id": "a/b"},
        {"id": "__a__"},
        {"id": "x" * 501},
        {"task": "\udc80"},
        {"task": "\u00e4" * 251},
        {"queue": "../mail"},
        {"marker": "__a__"},
        {"v": 2, "stowed": {"pieces": 10**8, "size": 1, "sha256": "0", "until": 1}},
    ],
)
def test_a_body_with_what_nothing_can_store_is_a_dead_letter_at_once(box, changes):
    told = {"v": 1, **json.loads(body(box)), **changes}

    assert receive(box, json.dumps(told).encode()) is Outcome.DEAD
    assert [letter["task"] for letter in letters(box)] == [""]


def test_the_same_undecodable_body_leaves_one_record(box):
    receive(box, b"{")
    receive(box, b"{")

    assert len(letters(box)) == 1


def test_a_body_cannot_name_what_was_not_registered(box):
    raw = body(box, task="os.system", args=("true",))

    assert receive(box, raw) is Outcome.UNKNOWN


# Trouble of our own


@pytest.mark.parametrize("raw", [b"{", None])
def test_what_cannot_be_recorded_is_not_acknowledged(box, work, raises, monkeypatch, raw):
    def fail(*_, **__):
        raise StoreError("away")

    raises.append(PermanentTaskFailure("no"))
    queued = enqueue(box, work)
    monkeypatch.setattr(MemoryStore, "transact", fail)

    assert receive(box, raw or queued.task.body) is Outcome.TROUBLE


def test_a_fault_of_ours_does_not_show(box, monkeypatch, lines):
    def fail(*_):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(Envelope, "decode", fail)

    assert receive(box, b"{}") is Outcome.TROUBLE

    (line,) = lines()
    assert (line["event"], line["severity"]) == ("adjourn.fault", "CRITICAL")


def test_keys_out_of_reach_are_trouble_but_no_fault(box, monkeypatch, lines):
    def fail(*_):
        raise KeysUnavailableError("the keys could not be fetched")

    monkeypatch.setattr(MemoryVerifier, "verify", fail)

    assert receive(box, b"{}") is Outcome.TROUBLE

    (line,) = lines()
    assert (line["event"], line["severity"]) == ("service.unavailable", "WARNING")


# Callers


def bearer(box, email=SETTINGS.service_account, audience=SETTINGS.deferred_url):
    return [f"Bearer {box.verifier.token(email, audience)}"]


REFUSED = {
    "no header": (lambda _: [], Outcome.UNAUTHENTICATED, "token missing"),
    "two headers": (
        lambda box: bearer(box) * 2,
        Outcome.UNAUTHENTICATED,
        "several Authorization headers",
    ),
    "another scheme": (lambda _: ["Basic a.b.c"], Outcome.UNAUTHENTICATED, "wrong scheme"),
    "no token": (lambda _: ["Bearer x"], Outcome.UNAUTHENTICATED, "malformed token"),
    "a forgery": (lambda _: ["Bearer a.b.c"], Outcome.UNAUTHENTICATED, "bad signature"),
    "meant for another function": (
        lambda box: bearer(box, audience=SETTINGS.cron_url),
        Outcome.UNAUTHENTICATED,
        "wrong audience",
    ),
    "another account": (
        lambda box: bearer(box, email="mallory@evil.example"),
        Outcome.FORBIDDEN,
        "caller not on the list",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_caller_that_is_not_ours_is_refused_and_runs_nothing(box, work, raises, lines, case):
    authorization, expected, reason = REFUSED[case]
    raises.append(AssertionError("it ran"))
    queued = enqueue(box, work)

    outcome = receive(box, queued.task.body, authorization=authorization(box))

    assert outcome is expected
    assert len(raises) == 1
    (line,) = lines()
    assert (line["event"], line["reason"]) == ("caller.refused", reason)
    assert not box.store.records


def test_an_expired_token_is_refused(box, work):
    queued = enqueue(box, work)
    authorization = bearer(box)
    box.clock.advance(dt.timedelta(hours=1, seconds=11))

    outcome = receive(box, queued.task.body, authorization=authorization)

    assert outcome is Outcome.UNAUTHENTICATED


@pytest.mark.parametrize("receiver", ["receive_task", "receive_step", "receive_tick"])
def test_every_function_refuses_strangers(box, receiver):
    delivery = box.delivery("https://elsewhere.example", b"")

    outcome = getattr(box.app.wiring(), receiver)(delivery)

    assert outcome is Outcome.UNAUTHENTICATED


# The log


def test_every_line_of_a_delivery_says_which_it_was(box, work, raises, lines):
    raises.append(RuntimeError("broken"))
    queued = enqueue(box, work, queue="mail", call_name="once")
    queued.attempt = Attempt(retry_count=2)

    box.deliver(queued)

    (line,) = lines()
    envelope = Envelope.decode(queued.task.body, Codec())
    told = {key: line[key] for key in ("queue", "delivery", "attempt", "task", "task_id")}
    assert told == {
        "queue": "mail",
        "delivery": "once",
        "attempt": 3,
        "task": "work",
        "task_id": envelope.id,
    }


def test_neither_arguments_nor_tokens_are_logged(box, work, raises, lines):
    raises += [None, RuntimeError("broken"), PermanentTaskFailure("no")]
    for _ in range(3):
        box.deliver(enqueue(box, work, "s3cret"))
    receive(box, body(box, args=("s3cret",)))
    receive(box, b's3cret{"v": 1}')
    receive(box, b'{"v": 1, "args": [{"$date": "s3cret"}]}')
    receive(box, b"{}", authorization=["Bearer s3cret.s3cret.s3cret"])

    written = str(lines())

    assert "task.done" in written
    assert "caller.refused" in written
    assert "s3cret" not in written
    assert "memory." not in written


def test_users_lines_within_a_task_carry_its_fields(lines):
    app = App()

    @app.deferred(name="chatty")
    def chatty():
        logging.getLogger("shop").info("hello")

    with sandbox(app) as box:
        chatty()
        box.drain()

    assert [line["task"] for line in lines() if line["logger"] == "shop"] == ["chatty"]

"""Calls that ViUR enqueued and that arrive here, and values as ViUR writes them."""

import dataclasses
import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import flask
import pytest
from google.cloud.datastore import Entity, Key

import adjourn
from adjourn.execution.delivery import Outcome
from adjourn.execution.replay import StoredDeadLetters
from adjourn.execution.stored_letters import DeadLetterFilter
from adjourn.ports import NewTask, RecordKey, Target
from adjourn.settings import Platform
from adjourn.testing import sandbox
from adjourn.testing.sandbox import SETTINGS
from adjourn.viur import JsonKeyEncoder, TaskHandler, jsonDecodeObjectHook
from tests import viur_shop as shop

BODIES = Path(__file__).parent / "bodies"
ORDER = Key("Order", 7, project="shop")
ANN = "agRzaG9wchgLEgRVc2VyIgNhbm4MCxIFT3JkZXIYBww"
HOUR = dt.timedelta(hours=1)
MINUTE = dt.timedelta(minutes=1)

EMBEDDED = Entity()
EMBEDDED["n"] = 1

EXPECTED = {
    "older-function.json": (
        "receipt",
        ORDER,
        True,
        dt.datetime(2023, 12, 24, 18, 30, 5, tzinfo=dt.UTC),
    ),
    "newer-function.json": (
        "receipt",
        {
            "key": ORDER,
            "at": dt.datetime(2026, 2, 28, 14, 43, 17, 125207, tzinfo=dt.UTC),
            "for": dt.timedelta(minutes=13, microseconds=37),
            "never": dt.timedelta(),
            "data": b"\x00\x01\x02",
            "nothing": b"",
            "price": Decimal("19.90"),
            "tags": {("a", 1), "b"},
            "none": set(),
        },
        EMBEDDED,
        "de",
    ),
    "method.json": ("sync", "vi/order", "k"),
    "method-of-the-application.json": ("ping", "hello"),
    "without-environment.json": ("second", 7),
    "user-as-a-plain-dict.json": ("second", 7),
}


def body(name):
    return (BODIES / name).read_bytes()


def arrive(box, content, name="0123"):
    """Put a task on a queue, as ViUR has put it there."""
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    new = NewTask(target=Target.DEFERRED, label="", queue="default", body=content, name=name)
    return box.queue.tasks[box.queue.enqueue(new)]


def letters(box):
    return [record for _, record in box.store.query("AdjournDeadLetter", by="buried_at")]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_body_that_viur_wrote_is_the_call_that_was_meant(box, noted, name):
    arrive(box, body(name))

    assert box.drain() == [Outcome.DONE, Outcome.DONE]
    assert noted == [EXPECTED[name]]
    assert [type(each) for each in noted[0]] == [type(each) for each in EXPECTED[name]]


def test_every_golden_body_is_tested():
    tested = {*EXPECTED, "in-a-transaction.json", "step.json"}
    assert {path.name for path in BODIES.iterdir()} == tested


@pytest.mark.parametrize(
    ("name", "user", "language"),
    [
        ("older-function.json", ANN, "de"),
        ("newer-function.json", ANN, "en"),
        ("user-as-a-plain-dict.json", ANN, None),
        ("method.json", None, "de"),
    ],
)
def test_of_the_environment_the_identifiers_remain_and_nothing_else(box, name, user, language):
    arrive(box, body(name))
    box.deliver(box.queue.due()[0])

    (call,) = box.queue.due()
    told = json.loads(call.task.body)

    assert told.get("context", {}) == {
        key: value for key, value in {"user": user, "language": language}.items() if value
    }
    assert b"Ann Shopper" not in call.task.body
    assert b"secret" not in call.task.body


def test_the_call_is_enqueued_once_however_often_the_body_is_delivered(box, noted):
    queued = arrive(box, body("without-environment.json"))

    box.deliver(queued)
    box.deliver(queued)
    box.drain()

    assert noted == [("second", 7)]


def test_two_equal_calls_are_two(box, noted):
    arrive(box, body("without-environment.json"), name="1")
    arrive(box, body("without-environment.json"), name="2")

    box.drain()

    assert noted == [("second", 7)] * 2


def test_the_limits_of_the_task_hold_for_the_call(box):
    arrive(box, ["unb", ["charge.tests.viur_shop", [5], {}, {}]])

    assert box.drain() == [Outcome.DONE, Outcome.DEAD]


def test_a_task_that_app_engine_delivers_is_handed_on_to_the_functions(noted):
    settings = dataclasses.replace(SETTINGS, platform=Platform.APP_ENGINE)
    headers = {
        "X-AppEngine-User-IP": "0.1.0.2",
        "X-AppEngine-QueueName": "slow",
        "X-AppEngine-TaskName": "0123",
        "X-AppEngine-TaskRetryCount": "0",
    }
    content = body("without-environment.json")
    context = flask.Flask("viur").test_request_context(
        "/_tasks/deferred", method="POST", data=content, headers=headers
    )

    with sandbox(shop.app, settings) as box, context:
        assert TaskHandler().deferred(context.request).status_code == 204
        (call,) = box.queue.due()

    assert (call.task.label, call.task.queue, noted) == ("tests.viur_shop.second", "slow", [])


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("unb", "gone.tests.viur_shop"),
        ("unb", "sweep.tests.viur_shop"),  # there, but ViUR never deferred it
        ("unb", "system.os"),
        ("rel", "gone/sync"),
        ("rel", "order/gone"),
        ("rel", "order/__init__"),
        ("rel", "order/lazy"),
        ("rel", ""),
    ],
)
def test_what_is_unknown_is_tried_for_an_hour_and_then_a_dead_letter(
    box, noted, lines, command, path
):
    arrive(box, [command, [path, [], {}, {}]])

    assert box.drain() == [Outcome.DONE]
    assert "task.unknown" in [line["event"] for line in lines()]
    box.clock.advance(59 * MINUTE)
    assert box.drain() == [Outcome.DONE]
    box.clock.advance(5 * MINUTE)
    assert box.drain() == [Outcome.DEAD]
    assert (noted, len(letters(box))) == ([], 1)


def test_what_is_known_within_the_hour_runs(box, noted):
    arrive(box, ["rel", ["late/ping", ["k"], {}, {}]])
    box.drain()

    late = shop.index()
    shop.app.add_object("late", late)
    box.clock.advance(5 * MINUTE)
    box.drain()

    assert noted == [("ping", "k")]


def test_a_name_that_means_several_methods_runs_none_of_them(box, noted):
    arrive(box, ["unb", ["sync.tests.viur_shop", ["k"], {}, {}]])

    assert box.drain() == [Outcome.DEAD]
    assert noted == []
    assert "Order.sync" in letters(box)[0]["error"]
    assert "Archive.sync" in letters(box)[0]["error"]


def test_a_function_at_the_top_is_meant_before_methods_of_its_name(box, noted):
    assert shop.rebuild is not shop.Order.rebuild
    arrive(box, ["unb", ["rebuild.tests.viur_shop", ["all"], {}, {}]])

    box.drain()

    assert noted == [("rebuild everything", "all")]


def test_a_call_of_a_committed_transaction_runs(box, noted):
    marked = RecordKey("viur-transactionmarker", "0a1b2c")
    box.store.put(marked, {"creationdate": box.clock.now()})
    arrive(box, body("in-a-transaction.json"))

    assert box.drain() == [Outcome.DONE, Outcome.DONE]
    assert noted == [("second", 7)]


def test_a_call_waits_for_its_transaction(box, noted):
    arrive(box, body("in-a-transaction.json"))
    box.drain()
    box.clock.advance(2 * MINUTE)
    marked = RecordKey("viur-transactionmarker", "0a1b2c")
    box.store.put(marked, {"creationdate": box.clock.now()})

    box.drain()

    assert noted == [("second", 7)]


def test_a_call_of_a_transaction_that_cannot_be_committed_any_more_is_dropped(box, noted, lines):
    arrive(box, body("in-a-transaction.json"))
    box.drain()
    box.clock.advance(4 * MINUTE)

    assert box.drain() == [Outcome.DONE]
    assert (noted, box.queue.tasks) == ([], {})
    assert "task.discarded" in [line["event"] for line in lines()]


@pytest.mark.parametrize(
    "content",
    [
        ["run", ["second.tests.viur_shop", [7], {}, {}]],
        ["unb", ["second.tests.viur_shop", [7]]],
        ["unb", ["second.tests.viur_shop", 7, {}, {}]],
        ["unb", ["second.tests.viur_shop", [7], {}, {}, {}]],
        ["unb", [7, [], {}, {}]],
        ["unb"],
        [[]],
        [],
        b"[",
        b"[\xff]",
        b"[" * 100_000,
        b'["unb", ["second.tests.viur_shop", [' + b"[" * 500 + b"]" * 500 + b"], {}, {}]]",
        b'["unb", ["second.tests.viur_shop", ["\\ud800"], {}, {}]',
        ["unb", ["second.tests.viur_shop", [{".__set__": [{}]}, 1], {1: 2}, "x", {}]],
    ],
)
def test_a_body_that_is_no_call_is_a_dead_letter_at_once(box, noted, content):
    arrive(box, content)

    assert box.drain() == [Outcome.DEAD]
    assert (noted, len(letters(box))) == ([], 1)


def test_a_call_that_was_given_up_can_be_replayed(box, noted):
    arrive(box, ["rel", ["found/ping", [{".__key__": "agZzfnNob3ByCwsSBU9yZGVyGAcM"}], {}, {}]])
    box.drain()
    box.clock.advance(2 * HOUR)
    assert box.drain() == [Outcome.DEAD]

    found = shop.index()
    shop.app.add_object("found", found)
    dead_letters = StoredDeadLetters(store=box.store, queue=box.queue, clock=box.clock)
    (letter,) = dead_letters.find(DeadLetterFilter())
    dead_letters.replay(letter.task_id)

    assert box.drain() == [Outcome.DONE, Outcome.DONE]
    assert noted == [("ping", ORDER)]


def test_without_viurs_names_a_body_of_viur_is_not_understood():
    app = adjourn.App()
    with sandbox(app) as box:
        arrive(box, body("without-environment.json"))

        assert box.drain() == [Outcome.DEAD]


def test_neither_arguments_nor_the_user_are_logged(box, lines):
    arrive(box, body("newer-function.json"))
    box.drain()

    assert "Ann Shopper" not in str(lines())
    assert "19.90" not in str(lines())


# Values


VALUES = [
    None,
    True,
    1.5,
    "text",
    b"",
    b"\x00\xff",
    dt.timedelta(),
    dt.timedelta(days=-1, microseconds=1),
    dt.datetime(2026, 2, 28, 14, 43, tzinfo=dt.UTC),
    Decimal("0.10"),
    set(),
    {("a", ("b", 1)), 2},
    ORDER,
    EMBEDDED,
    {"a": [{"b": b"c"}]},
    [],
]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_comes_back_from_viurs_json_with_its_type(value):
    text = json.dumps([value], cls=JsonKeyEncoder)

    (decoded,) = json.loads(text, object_hook=jsonDecodeObjectHook)

    assert decoded == value
    assert type(decoded) is type(value)


def test_an_entity_keeps_its_key():
    entity = Entity(ORDER)
    entity["at"] = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    decoded = json.loads(json.dumps(entity, cls=JsonKeyEncoder), object_hook=jsonDecodeObjectHook)

    assert (decoded, decoded.key) == (entity, ORDER)


@pytest.mark.parametrize(
    "value",
    [
        {".__key__": "agZzfnNob3ByCwsSBU9yZGVyGAcM"},
        {"deep": [{".__entity__": {}, "other": 1}]},
        dt.date(2026, 1, 1),
        object(),
    ],
)
def test_what_would_come_back_as_something_else_is_refused(value):
    with pytest.raises(TypeError):
        json.dumps(value, cls=JsonKeyEncoder)


@pytest.mark.parametrize(
    "tree",
    [
        {".__bytes__": "?"},
        {".__datetime__": "yesterday"},
        {".__timedelta__": "long"},
        {".__timedelta__": 1e300},
        {".__decimal__": "much"},
        {".__set__": [{}]},
        {".__set__": 5},
        {".__key__": None},
        {".__key__": ""},
        {".__entity__": {}, ".__key__": "?"},
        {".__key__": "not a key"},
    ],
    ids=repr,
)
def test_a_value_that_cannot_be_read_is_an_error_and_never_a_dict(box, tree):
    with pytest.raises(ValueError, match="cannot be read"):
        json.loads(json.dumps(tree), object_hook=jsonDecodeObjectHook)

    body = json.dumps(["unb", ["first.tests.viur_shop", [tree], {}, None]]).encode()
    new = NewTask(target=Target.DEFERRED, label="", queue="default", body=body, name="t")
    queued = box.queue.tasks[box.queue.enqueue(new)]
    assert box.deliver(queued) is Outcome.DEAD
    (letter,) = [record for _, record in box.store.query("AdjournDeadLetter", by="buried_at")]
    assert "cannot be read" in letter["error"]


@pytest.mark.parametrize("tree", [{".__key__": "agZzfnNob3ByCwsSBU9yZGVyGAcM", "more": 1}, {}])
def test_an_object_that_is_none_of_viurs_stays_a_dict(tree):
    assert json.loads(json.dumps(tree), object_hook=jsonDecodeObjectHook) == tree


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("24.12.2023 18:30:05", dt.datetime(2023, 12, 24, 18, 30, 5, tzinfo=dt.UTC)),
        # Up to 3.2.0 the day was lost when it was written, and ViUR read the first.
        ("d.12.2023 18:30:05", dt.datetime(2023, 12, 1, 18, 30, 5, tzinfo=dt.UTC)),
    ],
)
def test_times_of_older_encoders_are_understood(text, moment):
    assert jsonDecodeObjectHook({".__datetime__": text}) == moment


def test_an_encoder_that_is_extended_writes_its_own_values_and_viurs():
    class Money:
        pass

    class Encoder(JsonKeyEncoder):
        def default(self, o):
            return (
                {"money": ORDER, "at": [EMBEDDED]} if isinstance(o, Money) else super().default(o)
            )

    told = json.loads(json.dumps({"price": Money()}, cls=Encoder), object_hook=jsonDecodeObjectHook)

    assert told == {"price": {"money": ORDER, "at": [EMBEDDED]}}
    assert JsonKeyEncoder().default(ORDER) == {".__key__": ORDER.to_legacy_urlsafe().decode()}
    with pytest.raises(TypeError):
        JsonKeyEncoder().default(Money())

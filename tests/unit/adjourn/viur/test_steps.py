"""Steps of iterations that were under way in ViUR."""

import base64
import datetime as dt
import json
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.datastore import Client, Key

from adjourn.errors import DecodeError
from adjourn.execution.delivery import Outcome
from adjourn.gcp.legacy import query_of
from adjourn.ports import NewTask, Target
from adjourn.viur.steps import ViurStep, content_of
from tests import viur_shop as shop

STEP = (Path(__file__).parent / "bodies" / "step.json").read_bytes()
HOUR = dt.timedelta(hours=1)
AT = dt.datetime(2023, 12, 24, 18, 30, 5, tzinfo=dt.UTC)


@pytest.fixture
def client():
    return Client(project="shop", credentials=AnonymousCredentials())


def step(**changes):
    return json.dumps({**json.loads(STEP), **changes}).encode()


def text(**changes):
    return step(**changes).decode()


def arrive(box, body, name="0123"):
    new = NewTask(target=Target.QUERYITER, label="", queue="slow", body=body, name=name)
    return box.queue.tasks[box.queue.enqueue(new)]


def letters(box):
    return [record for _, record in box.store.query("AdjournDeadLetter", by="buried_at")]


def test_a_step_says_where_its_run_stands():
    read = ViurStep.read(content_of(STEP.decode()))

    assert read.iteration == "tests.viur_shop.Reprice"
    assert (read.query.start_cursor, read.query.end_cursor) == ("CjQKLg==", None)
    assert read.custom_data == {"sum": 5, "order": Key("Order", 7, project="shop")}


def test_a_cursor_that_was_encoded_once_stays_as_it_is():
    once = base64.urlsafe_b64encode(b"\n\x34\x12\x2e").decode()

    assert ViurStep.read(content_of(text(endCursor=once))).query.end_cursor == once


def test_the_query_is_made_again(client):
    query = query_of(client, ViurStep.read(content_of(STEP.decode())).query._asdict())

    told = [(each.property_name, each.operator, each.value) for each in query.filters]
    assert query.kind == "Product"
    assert told == [
        ("shop", "=", "north"),
        ("tag", "=", "new"),
        ("tag", "=", "red"),
        ("at", ">", AT),
    ]
    assert (query.order, query.distinct_on) == (["at", "-n"], [])


def test_orders_that_viur_turned_round_run_as_they_were_asked(client):
    orders = [["a", 3], ["b", 4]]
    query = query_of(
        client, ViurStep.read(content_of(text(orders=orders, filters={}))).query._asdict()
    )

    assert query.order == ["-a", "b"]


def test_lists_of_values_stay_lists_where_the_operator_takes_one(client):
    query = query_of(
        client, {"kind": "A", "filters": {"n IN": [1, 2]}, "orders": [], "distinct": ["n"]}
    )

    assert [each.value for each in query.filters] == [[1, 2]]
    assert query.distinct_on == ["n"]


def test_a_step_becomes_one_deferred_call_however_often_it_is_delivered(box):
    queued = arrive(box, STEP)

    assert [box.deliver(queued), box.deliver(queued)] == [Outcome.DONE] * 2
    assert [each.task.target for each in box.queue.due()] == [Target.DEFERRED]


def test_an_iteration_that_is_unknown_is_tried_for_an_hour_and_then_a_dead_letter(box):
    arrive(box, step(classID="<class 'gone.Reprice'>"))

    assert box.drain() == [Outcome.DONE, Outcome.DONE]
    box.clock.advance(HOUR)
    assert box.drain() == [Outcome.DEAD]
    assert "gone.Reprice" in letters(box)[0]["error"]


@pytest.mark.parametrize(
    "changes",
    [
        {"srcSkel": "product"},
        {"classID": 5},
        {"startCursor": 5},
        {"startCursor": "a"},
        {"startCursor": "no cursor"},
        {"filters": {"at >": {".__datetime__": "soon"}}},
        {"filters": {"of =": {".__key__": "?"}}},
        {"orFilters": [[["n =", 1]]]},
    ],
)
def test_what_cannot_be_carried_on_is_a_dead_letter(box, changes):
    arrive(box, step(**changes))

    assert box.drain() == [Outcome.DONE, Outcome.DEAD]
    assert box.queue.tasks == {}
    assert "ViUR" in letters(box)[0]["error"]


@pytest.mark.parametrize("standard", [b"\xfb\xff\xfe!", b"\n\x34\xff\xef"])
def test_a_cursor_in_standard_base64_goes_on(standard):
    there = base64.b64encode(standard)
    again = base64.urlsafe_b64encode(there).decode()

    for cursor in (there.decode(), again):
        read = ViurStep.read(content_of(text(startCursor=cursor)))
        assert read.query.start_cursor == base64.urlsafe_b64encode(standard).decode()


@pytest.mark.parametrize("body", [b"{}", b"[]", b"{", b"\xff", b'["unb", []]', b"[" * 100_000])
def test_what_is_no_step_of_anybodys_is_a_dead_letter_at_once(box, body):
    arrive(box, body)

    assert box.drain() == [Outcome.DEAD]


def test_a_step_lacks_nothing():
    content = dict(content_of(STEP.decode()))
    del content["kind"]

    with pytest.raises(DecodeError):
        ViurStep.read(content)


def test_viurs_own_iteration_that_deletes_is_known_by_its_name_there():
    name = "viur.core.tasks.DeleteEntitiesIter"

    assert shop.app._declared.iterations.get(name) is shop.DeleteEntitiesIter

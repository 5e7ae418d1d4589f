"""A model of pydantic, or a class of attrs, says what people may fill in."""

import datetime as dt
import enum

import attrs
import pydantic
import pytest

import adjourn
from adjourn.errors import DeclarationError
from adjourn.execution.delivery import Outcome

ANN = "ann@shop.example"


class Kind(enum.Enum):
    BOOK = "book"


class Address(pydantic.BaseModel):
    city: str


class Span(pydantic.BaseModel):
    first: int = pydantic.Field(ge=1, description="The first day")
    last: int = 100
    kind: Kind = Kind.BOOK
    since: dt.date | None = pydantic.Field(None, alias="from")
    places: list[Address] = []

    @pydantic.model_validator(mode="after")
    def ordered(self):
        if self.first > self.last:
            raise ValueError("first must not be behind last")
        return self


@attrs.define
class Range:
    first: int
    last: int = 100

    def __attrs_post_init__(self):
        if self.first > self.last:
            raise ValueError("first must not be behind last")


def declared(app, parameters, execute):
    class Count(adjourn.CallableTask):
        key = "count"
        Parameters = parameters

        def can_call(self, user):  # noqa: ARG002
            return True

    Count.execute = execute
    return app.callable_task(Count)


@pytest.fixture
def count(app, ran):
    def execute(self, **given):  # noqa: ARG001
        ran.append(tuple(given.values()))

    return declared(app, Span, execute)


def test_the_schema_is_the_models_own(box, count):  # noqa: ARG001
    (task,) = box.ask(ANN).content["tasks"]

    schema = task["parameters"]
    assert schema["properties"]["first"] == {
        "description": "The first day",
        "minimum": 1,
        "title": "First",
        "type": "integer",
    }
    assert schema["properties"].keys() == {"first", "last", "kind", "from", "places"}
    assert (schema["required"], schema["additionalProperties"]) == (["first"], False)


def test_what_was_filled_in_runs_as_the_model_reads_it(box, count, ran):  # noqa: ARG001
    given = {"first": 2, "from": "2026-03-01", "places": [{"city": "Berlin"}], "kind": "book"}

    assert box.ask(ANN, "count", given).status == 202
    assert box.drain() == [Outcome.DONE]
    assert ran == [(2, 100, Kind.BOOK, dt.date(2026, 3, 1), [Address(city="Berlin")])]


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({}, {"first": "is missing"}),
        ({"first": 0}, {"first": "Input should be greater than or equal to 1"}),
        ({"first": 200}, {"": "first must not be behind last"}),
        ({"first": 1, "since": "2026-03-01"}, {"since": "is not a parameter"}),
        ({"first": 1, "places": [{}]}, {"places[0].city": "is missing"}),
        ({"other": 1}, {"first": "is missing", "other": "is not a parameter"}),
    ],
)
def test_what_does_not_fit_is_told_by_field(box, count, given, fields):  # noqa: ARG001
    reply = box.ask(ANN, "count", given)

    assert (reply.status, reply.content["fields"]) == (422, fields)


def test_a_model_may_take_names_and_others(app, box, ran):
    class Open(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="allow", validate_by_name=True)

        first: int = pydantic.Field(alias="von")

    declared(app, Open, lambda self, first: ran.append(first))  # noqa: ARG005

    assert box.ask(ANN, "count", {"first": 5, "other": 1}).status == 202
    assert box.ask(ANN, "count", {"von": 6}).status == 202
    box.drain()
    assert ran == [5, 6]


def test_a_class_of_attrs_works_as_a_dataclass_does(app, box, ran):
    declared(app, Range, lambda self, first, last: ran.append((first, last)))  # noqa: ARG005

    assert box.ask(ANN, "count", {"first": 5}).status == 202
    reply = box.ask(ANN, "count", {"first": 200})

    assert reply.content["fields"] == {"": "first must not be behind last"}
    assert (box.drain(), ran) == ([Outcome.DONE], [(5, 100)])


def test_a_model_that_execute_does_not_take_or_has_no_names_is_refused(app):
    with pytest.raises(DeclarationError, match="does not take its Parameters"):
        declared(app, Span, lambda self: None)  # noqa: ARG005
    with pytest.raises(DeclarationError, match="has no fields"):
        declared(app, pydantic.RootModel[int], lambda self: None)  # noqa: ARG005

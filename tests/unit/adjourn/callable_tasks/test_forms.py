"""What a form has to know of parameters, and all that is wrong with them at once."""

import dataclasses
import datetime as dt
import enum
import json
from typing import Annotated, Any, NamedTuple

import pytest

from adjourn.callable_tasks.forms import InvalidParametersError, form_of, form_of_class
from adjourn.errors import DeclarationError


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


def takes(hint):
    """Return the form of one parameter."""

    def taker(it):
        pass

    taker.__annotations__ = {"it": hint}
    return form_of(taker)


def wrong(form, given):
    with pytest.raises(InvalidParametersError) as caught:
        form.read(given)
    return caught.value.errors


HOUR = dt.timedelta(hours=1)
FITTING = [
    (str, "", ""),
    (str, "ü \x00", "ü \x00"),
    (bool, True, True),
    (int, -7, -7),
    (int, 2.0, 2),
    (int, 10**30, 10**30),
    (float, 1.5, 1.5),
    (float, 2, 2.0),
    (dt.date, "2026-02-28", dt.date(2026, 2, 28)),
    (dt.datetime, "2026-02-28T08:00:00Z", dt.datetime(2026, 2, 28, 8, tzinfo=dt.UTC)),
    (
        dt.datetime,
        "2026-02-28T08:00:00.5+01:00",
        dt.datetime(2026, 2, 28, 8, 0, 0, 500_000, tzinfo=dt.timezone(HOUR)),
    ),
    (Size, "l", Size.LARGE),
    (Level, 2, Level.HIGH),
    (list[int], [], []),
    (list[int], [1, 2], [1, 2]),
    (list[list[Size]], [["s"], []], [[Size.SMALL], []]),
    (str | None, None, None),
    (int | None, 3, 3),
    (list[str | None], ["a", None], ["a", None]),
    (Annotated[int, "How many"], 3, 3),
]


@pytest.mark.parametrize(("hint", "given", "value"), FITTING)
def test_what_fits_is_read_with_its_type(hint, given, value):
    read = takes(hint).read({"it": given})["it"]

    assert (read, type(read)) == (value, type(value))


UNFITTING = [
    (str, 1, "must be text"),
    (str, None, "must be text"),
    (bool, 1, "must be true or false"),
    (bool, "true", "must be true or false"),
    (int, True, "must be a whole number"),
    (int, "7", "must be a whole number"),
    (int, 1.5, "must be a whole number"),
    (int, float("inf"), "must be a whole number"),
    (float, True, "must be a number"),
    (float, "1.5", "must be a number"),
    (float, float("inf"), "must be a number"),
    (float, 10**400, "must be a number"),
    (dt.date, "2026-02-30", "must be a date such as 2026-12-31"),
    (dt.date, "20260228", "must be a date such as 2026-12-31"),
    (dt.date, 0, "must be a date such as 2026-12-31"),
    (dt.datetime, "2026-02-28T08:00:00", "must be a time with its offset"),
    (dt.datetime, "soon", "must be a time with its offset"),
    (dt.datetime, 0, "must be a time with its offset"),
    (Size, "LARGE", "must be one of s, l"),
    (Size, ["s"], "must be one of s, l"),
    (Level, True, "must be one of 1, 2"),
    (Level, 1.0, "must be one of 1, 2"),
    (list[int], {"0": 1}, "must be a list"),
    (list[int], "12", "must be a list"),
    (str | None, 1, "must be text"),
]


@pytest.mark.parametrize(("hint", "given", "said"), UNFITTING)
def test_what_does_not_fit_is_told_by_its_field(hint, given, said):
    (found,) = wrong(takes(hint), {"it": given}).items()

    assert found[0] == "it"
    assert found[1].startswith(said)


def many(*, a: int, b: list[int], c: str, d: bool = False):
    pass


def test_everything_that_is_wrong_is_told_at_once():
    assert wrong(form_of(many), {"a": "x", "b": [1, "y", None], "d": 0, "e": 1}) == {
        "a": "must be a whole number",
        "b[1]": "must be a whole number",
        "b[2]": "must be a whole number",
        "c": "is missing",
        "d": "must be true or false",
        "e": "is not a parameter",
    }


@pytest.mark.parametrize("given", [None, [], "x", 1])
def test_only_an_object_is_a_form(given):
    assert wrong(form_of(many), given) == {"": "must be an object"}


def test_what_is_not_given_has_the_default_of_the_function():
    assert form_of(many).read({"a": 1, "b": [], "c": ""}) == {"a": 1, "b": [], "c": ""}


def shown(
    *,
    kind: Annotated[Size, "Which ones"],
    limit: int = 100,
    ratio: float = 0.5,
    since: dt.date = dt.date(2026, 1, 1),
    level: Level = Level.LOW,
    tags: list[str] | None = None,
    hidden: str = object(),
):
    pass


def test_a_form_is_told_as_json_schema():
    schema = form_of(shown).schema()

    assert json.loads(json.dumps(schema)) == {
        "type": "object",
        "properties": {
            "kind": {"enum": ["s", "l"], "description": "Which ones"},
            "limit": {"type": "integer", "default": 100},
            "ratio": {"type": "number", "default": 0.5},
            "since": {"type": "string", "format": "date", "default": "2026-01-01"},
            "level": {"enum": [1, 2], "default": 1},
            "tags": {
                "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}],
                "default": None,
            },
            "hidden": {"type": "string"},
        },
        "required": ["kind"],
        "additionalProperties": False,
    }


# Classes


@dataclasses.dataclass
class Span:
    first: int
    last: int = 9
    steps: list[int] = dataclasses.field(default_factory=lambda: [1])

    def __post_init__(self):
        if self.first > self.last:
            raise ValueError("first must not be behind last")
        self.first = max(self.first, 0)


class Tuple(NamedTuple):
    first: int
    last: int = 9


class Plain:
    def __init__(self, first: int, last: int = 9):
        self.first, self.last = first, last


def test_a_dataclass_gives_its_attributes_as_it_made_them():
    assert form_of_class(Span).read({"first": -3}) == {"first": 0, "last": 9, "steps": [1]}


def test_a_default_that_is_made_anew_is_not_told_but_holds():
    schema = form_of_class(Span).schema()

    assert schema["required"] == ["first"]
    assert schema["properties"]["steps"] == {"type": "array", "items": {"type": "integer"}}
    assert schema["properties"]["last"] == {"type": "integer", "default": 9}


def test_what_a_dataclass_refuses_is_told():
    assert wrong(form_of_class(Span), {"first": 10}) == {"": "first must not be behind last"}


@pytest.mark.parametrize("cls", [Tuple, Plain])
def test_other_annotated_classes_do_as_well(cls):
    assert form_of_class(cls).read({"first": 1}) == {"first": 1, "last": 9}


def test_without_parameters_there_is_nothing_to_fill_in():
    form = form_of(lambda: None)

    assert form.read({}) == {}
    assert form.schema()["properties"] == {}


# Refusals where it is declared


class Objects(enum.Enum):
    ONE = (1,)


class Nothing(enum.Enum):
    pass


@pytest.mark.parametrize(
    "hint", [Any, object, dict[str, int], set[int], int | str, bytes, list, Objects, Nothing, None]
)
def test_a_type_that_no_form_can_show_is_refused(hint):
    with pytest.raises(DeclarationError):
        takes(hint)


@pytest.mark.parametrize(
    "taker",
    [
        lambda it: None,  # noqa: ARG005
        lambda *its: None,  # noqa: ARG005
        lambda **its: None,  # noqa: ARG005
    ],
    ids=["bare", "many", "by any name"],
)
def test_a_parameter_that_says_nothing_of_itself_is_refused(taker):
    with pytest.raises(DeclarationError, match="give it an annotation"):
        form_of(taker)


def test_an_annotation_that_nobody_knows_is_refused():
    def taker(it: "Nowhere"):  # noqa: F821
        pass

    with pytest.raises(DeclarationError, match="'Nowhere' is not defined"):
        form_of(taker)

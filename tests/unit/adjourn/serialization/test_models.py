"""Models of pydantic come back as they were, are validated, and name only what is registered."""

import datetime as dt
import json
import subprocess
import sys
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar

import pydantic
import pytest
from google.cloud.datastore import Key
from pydantic import BaseModel, ConfigDict, Field, RootModel

import adjourn
from adjourn.errors import DeclarationError, DecodeError, EncodeError
from adjourn.execution.delivery import Outcome
from adjourn.gcp.datastore_values import DATASTORE_VALUES
from adjourn.serialization.codec import Codec
from adjourn.testing import sandbox

T = TypeVar("T")


class Item(BaseModel):
    sku: str = Field(min_length=1)
    price: Decimal = Decimal("1.0")


class Book(Item):
    pages: int = 1


class Order(BaseModel):
    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    number: int = Field(alias="orderNumber", gt=0)
    items: list[Item]
    by_day: dict[dt.date, tuple[Item, ...]] = {}
    owner: Key | None = None
    whatever: Any = None
    parent: "Order | None" = None


class Box(BaseModel, Generic[T]):
    content: T


class Numbers(RootModel[list[int]]):
    pass


class Patch(BaseModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True)

    name: str | None = None
    at: dt.datetime = Field(default_factory=lambda: dt.datetime.now(dt.UTC))


class Hashed(BaseModel):
    """Has a validator that changes what it has returned before."""

    secret: str
    kind: Literal["a", "b"] = "a"

    @pydantic.field_validator("secret")
    @classmethod
    def hashed(cls, value):
        return f"<{value}>"


class Lenient(BaseModel):
    model_config = ConfigDict(use_enum_values=True)

    number: int


CLASSES = (Item, Book, Order, Box[int], Box[Item], Numbers, Patch, Hashed, Lenient)


@pytest.fixture
def codec():
    codec = Codec(extensions=DATASTORE_VALUES)
    for cls in CLASSES:
        codec.register(cls, cls.__name__)
    return codec


def sent(codec, value):
    return codec.loads(codec.dumps(value))


BOOK = Book(sku="b", price=Decimal("2.50"), pages=9)
ORDER = Order(
    orderNumber=5,
    items=[Item(sku="a"), BOOK],
    by_day={dt.date(2026, 1, 2): (BOOK,)},
    owner=Key("User", 5, project="p"),
    whatever={1: ({2}, b"\x00", BOOK)},
    parent=Order(orderNumber=6, items=[]),
)
VALUES = [
    BOOK,
    ORDER,
    [ORDER, {"a": (BOOK,)}],
    Box[int](content=5),
    Box[Item](content=BOOK),
    Numbers([1, 2]),
    Patch(other={"a": 1}),
    Patch(name=None),
    Hashed(secret="x"),
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_value_comes_back_as_it_was(codec, value):
    back = sent(codec, value)

    assert back == value
    assert repr(back) == repr(value)
    assert type(back) is type(value)


def test_a_value_of_a_subclass_stays_one(codec):
    assert [type(item) for item in sent(codec, ORDER).items] == [Item, Book]


def test_what_was_left_to_its_default_is_known(codec):
    back = sent(codec, Patch(name=None, other=1))

    assert back.model_dump(exclude_unset=True) == {"name": None, "other": 1}
    assert json.loads(codec.dumps(Item(sku="a", price=Decimal(1)))) == {
        "$:Item": {"sku": "a", "price": {"$decimal": "1"}}
    }


def test_a_model_made_without_validation_is_refused_at_the_call(codec):
    with pytest.raises(EncodeError) as caught:
        codec.encode([Item.model_construct(sku=5, price="x")], "orders")

    assert str(caught.value) == (
        f"orders[0]: {__name__}.Item cannot be encoded: sku: Input should be a valid string; price:"
        " Input should be a valid decimal."
    )


def test_a_field_that_cannot_be_encoded_is_refused_by_its_path(codec):
    with pytest.raises(EncodeError, match=r"order\.whatever\[1\]: builtins\.object cannot"):
        codec.encode(Order(orderNumber=1, items=[], whatever=[1, object()]), "order")


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        (Box[str](content=""), r"write app\.register\(Box\[str\]\)"),
        (Box(content=5), "write @app.register above the class Box"),
    ],
)
def test_a_model_that_is_not_registered_is_told_with_the_line_to_write(codec, value, fix):
    with pytest.raises(EncodeError, match=fix):
        codec.encode(value)


def test_an_old_pydantic_is_refused_where_it_is_registered(codec):
    class Old:
        __pydantic_validator__ = None

        @classmethod
        def model_validate(cls, obj, *, strict=None):
            pass

    with pytest.raises(DeclarationError, match=r"needs pydantic 2\.11 or newer"):
        codec.register(Old, "old")


# Bodies that others wrote


def body(marker, **fields):
    return json.dumps({f"$:{marker}": fields}).encode()


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ({"sku": ""}, "it does not validate (sku: string_too_short)."),
        ({"sku": 5}, "it does not validate (sku: string_type)."),
        ({}, "it does not validate (sku: missing)."),
        (
            {"sku": {"$:Order": {"number": 1, "items": []}}},
            "it does not validate (sku: string_type).",
        ),
        ({"sku": "a", "(unset)": [[]]}, "TypeError."),
        ({"sku": "a", "(unset)": 5}, "TypeError."),
    ],
)
def test_what_does_not_validate_is_refused_without_its_values(codec, tree, reason):
    with pytest.raises(DecodeError) as caught:
        codec.loads(body("Item", **tree))

    assert str(caught.value) == f"The content of $:Item: {reason}"


@pytest.mark.parametrize(
    "tree",
    [
        {"$:os.system": {"command": "true"}},
        {"$:Item": {"sku": "a", "price": {"$:subprocess.Popen": {"args": "true"}}}},
        {"$:Box": {"content": 5}},
        {"$:Box[str]": {"content": ""}},
    ],
)
def test_a_body_names_only_what_is_registered(codec, tree):
    with pytest.raises(adjourn.UnknownTypeError):
        codec.loads(json.dumps(tree).encode())


@pytest.mark.parametrize("tree", [[], "a", 5, {"root": 5}, {"root": ["x"]}, {}])
def test_a_root_model_is_checked_too(codec, tree):
    with pytest.raises(DecodeError):
        codec.loads(json.dumps({"$:Numbers": tree}).encode())


def test_fields_that_no_validator_sees_are_not_set(codec):
    tree = {"sku": "a", "__class__": "b", "__dict__": {}, "model_config": 5, "other": 1}
    back = codec.loads(body("Item", **tree))

    assert (back, back.__dict__.keys()) == (Item(sku="a"), {"sku", "price"})


def test_the_keys_of_a_dict_are_not_told(codec):
    tree = {"number": 1, "items": [], "by_day": {"a-secret": []}}
    with pytest.raises(DecodeError) as caught:
        codec.loads(body("Order", **tree))

    assert "by_day: " in str(caught.value)
    assert "secret" not in str(caught.value)


# Revisions


def test_an_older_body_takes_defaults_and_a_newer_one_loses_what_is_unknown(codec):
    assert codec.loads(body("Book", sku="a")) == Book(sku="a")
    assert codec.loads(body("Book", sku="a", colour="red")) == Book(sku="a")
    assert codec.loads(body("Patch", at={"$datetime": "2026-01-01T00:00:00"})).name is None


def test_a_field_whose_type_has_changed_is_converted_if_pydantic_does_so(codec):
    assert codec.loads(body("Lenient", number="5")) == Lenient(number=5)
    with pytest.raises(DecodeError, match="number: int_parsing"):
        codec.loads(body("Lenient", number="five"))


def test_validators_run_and_change_nothing(codec):
    assert sent(codec, Hashed(secret="x")).secret == "<x>"
    with pytest.raises(DecodeError, match="kind: literal_error"):
        codec.loads(body("Hashed", secret="x", kind="c"))


# In tasks


def test_a_task_takes_them_and_a_body_that_does_not_validate_is_a_dead_letter(app, box, ran):
    app.register(Item, name="Item")

    @app.deferred(name="pack")
    def pack(item, *, others=()):
        ran.append((item, others))

    pack(BOOK_ITEM, others=[BOOK_ITEM])
    (queued,) = box.queue.due()
    forged = queued.task._replace(body=queued.task.body.replace(b'"sku":"b"', b'"sku":""'))
    assert box.drain() == [Outcome.DONE]

    box.queue.enqueue(forged._replace(name="forged"))
    assert box.drain() == [Outcome.DEAD]

    assert ran == [(BOOK_ITEM, [BOOK_ITEM])]
    (letter,) = box.dead_letters()
    assert letter.error == (
        "DecodeError: The content of $:Item: it does not validate (sku: string_too_short)."
    )


shop = adjourn.App()
ORDERED = []


@shop.register
class Cart(BaseModel):
    model_config = ConfigDict(ignored_types=(adjourn.Task,))

    number: int

    @shop.deferred
    def order(self, count: int):
        ORDERED.append((self.number, count))


BOOK_ITEM = Item(sku="b", price=Decimal("2.50"))


def test_calls_with_equal_models_are_one_whatever_was_left_to_its_default(app, box):
    app.register(Item, name="Item")

    @app.deferred(name="pack", unique_by="arguments")
    def pack(items):
        pass

    made = [Item(sku="a"), Item(sku="a", price=Decimal("1.0")), Item(sku="b")]
    handles = [pack([item]) for item in made]

    assert made[0] == made[1]
    assert [handle.is_new for handle in handles] == [True, False, True]
    assert box.drain() == [Outcome.DONE] * 2


def test_an_extra_named_like_our_own_mark_is_refused(codec):
    with pytest.raises(EncodeError, match=r"a field cannot be named '\(unset\)'"):
        codec.encode(Patch(**{"(unset)": 1}))


def test_a_model_has_deferred_methods(ran):
    with sandbox(shop) as box:
        Cart(number=5).order(2)
        ran.append(box.drain())

    assert (ran, ORDERED) == ([[Outcome.DONE]], [(5, 2)])


def test_adjourn_imports_neither_library():
    code = (
        "import sys, adjourn; app = adjourn.App(); app.wiring;"
        "print([m for m in ('pydantic', 'attr', 'attrs') if m in sys.modules])"
    )

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"

"""Classes of attrs come back as they were, and are validated where they arrive."""

import json
from decimal import Decimal

import attrs
import pytest

from adjourn.errors import DeclarationError, DecodeError, EncodeError
from adjourn.serialization.codec import Codec


@attrs.define
class Part:
    _sku: str = attrs.field(validator=attrs.validators.min_len(1))
    price: Decimal = attrs.field(default=Decimal(1), converter=lambda given: given * 1)
    tags: set = attrs.field(factory=set)
    total: Decimal = attrs.field(init=False)
    label: str = attrs.field(default="", alias="text")

    def __attrs_post_init__(self):
        self.total = self.price * 2


@attrs.frozen(slots=False, kw_only=True)
class Kit:
    parts: tuple
    spare: "Part | None" = None


@attrs.define
class Doubled:
    """Has a converter that changes what it has returned before."""

    number: int = attrs.field(converter=lambda given: given * 2)


@attrs.define(init=False)
class Own:
    number: int

    def __init__(self, other):
        self.number = other


@attrs.define
class Lot(Part):
    pass


@attrs.define
class FailureError(Exception):
    code: int


@pytest.fixture
def codec():
    codec = Codec()
    for cls in (Part, Kit, Doubled):
        codec.register(cls, cls.__name__)
    return codec


PART = Part("a", Decimal("2.50"), {1}, text="!")
CHANGED = attrs.evolve(PART)
CHANGED.total = Decimal(7)


@pytest.mark.parametrize(
    "value",
    [PART, CHANGED, Kit(parts=(PART, [PART]), spare=PART), [Kit(parts=())], Doubled(5)],
    ids=range(5),
)
def test_a_value_comes_back_as_it_was(codec, value):
    back = codec.loads(codec.dumps(value))

    assert (back, repr(back)) == (value, repr(value))


@pytest.mark.parametrize(
    ("tree", "error"), [({"_sku": ""}, "ValueError"), ({}, "TypeError"), ({"_sku": 5}, "TypeError")]
)
def test_what_does_not_validate_is_refused(codec, tree, error):
    with pytest.raises(DecodeError, match=rf"The content of \$:Part: {error}\.$"):
        codec.loads(json.dumps({"$:Part": tree}).encode())


def test_older_and_newer_bodies_are_read(codec):
    older = codec.loads(b'{"$:Part":{"_sku":"a"}}')
    newer = codec.loads(b'{"$:Part":{"_sku":"a","colour":"red","__class__":5}}')

    assert older == newer == Part("a")


@pytest.mark.parametrize(
    ("cls", "message"), [(Own, "not made from its fields"), (FailureError, "more than its fields")]
)
def test_a_class_whose_fields_are_not_all_is_refused(codec, cls, message):
    with pytest.raises(DeclarationError, match=message):
        codec.register(cls, "other")


def test_a_class_that_is_not_registered_is_told(codec):
    with pytest.raises(EncodeError, match="above the class Lot"):
        codec.encode(Lot("a"))

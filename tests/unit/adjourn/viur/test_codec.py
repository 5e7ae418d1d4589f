"""The stored forms of ViUR's own values, which are read for ever."""

import collections
import enum

import pytest
from google.cloud.datastore import Entity, Key

from adjourn.errors import DecodeError, EncodeError
from adjourn.viur.codec import ViurCodec
from adjourn.viur.keys import EntityParts, KeyParts
from adjourn.viur.queries import ViurRun

PARTS = KeyParts("shop", None, None, ["tenant", "north", "order", 7])
KEY = Key("tenant", "north", "order", 7, project="shop")
FORMS = [
    (PARTS, {"$viurkey": ["shop", None, None, "tenant", "north", "order", 7]}),
    (
        EntityParts(PARTS, ["text"], {"n": 1}),
        {
            "$viurentity": {
                "key": ["shop", None, None, "tenant", "north", "order", 7],
                "exclude": ["text"],
                "properties": {"n": 1},
            }
        },
    ),
    (ViurRun({"sum": 1}, "order", None), {"$viurrun": [{"sum": 1}, "order", None]}),
]


@pytest.mark.parametrize(("value", "tree"), FORMS)
def test_values_have_their_stored_forms(value, tree):
    assert ViurCodec().encode(value) == tree


def test_without_viur_keys_and_entities_are_googles():
    codec = ViurCodec()
    entity = codec.decode(FORMS[1][1])

    assert codec.decode(FORMS[0][1]) == KEY
    assert (type(entity), entity.key, entity["n"]) == (Entity, KEY, 1)
    assert entity.exclude_from_indexes == {"text"}
    assert codec.decode(FORMS[2][1]) == FORMS[2][0]


@pytest.mark.parametrize(
    "tree", [{"$viurkey": []}, {"$viurkey": ["shop", None, None]}, {"$viurentity": {}}]
)
def test_what_is_no_key_is_refused(tree):
    with pytest.raises(DecodeError):
        ViurCodec().decode(tree)


class Colour(enum.Enum):
    RED = "red"


def test_what_becomes_something_else_does_so_at_any_depth_and_the_rest_is_refused_by_its_place():
    codec = ViurCodec()

    assert codec.encode([{"a": collections.deque([1])}]) == [{"a": [1]}]
    with pytest.raises(EncodeError, match=r"value\[0\]\[a\]|value\[0\]\['a'\]"):
        codec.encode([{"a": Colour.RED}])
    with pytest.raises(EncodeError):
        codec.encode(Colour)

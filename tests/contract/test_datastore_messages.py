"""Keys and entities go to Datastore as Google's client would send them."""

import datetime as dt

import pytest
from google.cloud.datastore import Entity, Key
from google.cloud.datastore.helpers import GeoPoint, entity_to_protobuf

from adjourn.gcp.datastore_api import entity_message, key_message

KEYS = [
    Key("Item", 1, project="p"),
    Key("Item", "größe", project="p", namespace="n", database="d"),
    Key("Parent", "a", "Item", 2**62, project="p"),
    Key("Parent", 1, "Item", "1", "Leaf", "x", project="p", namespace="n"),
    Key("Parent", 1, "Item", project="p"),
    Key("Item", project="p"),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_a_key_is_the_message_that_the_client_makes(key):
    assert key_message(key) == key.to_protobuf()._pb


@pytest.mark.parametrize("key", [*KEYS, None], ids=str)
def test_an_entity_is_the_message_that_the_client_makes(key):
    entity = Entity(key, exclude_from_indexes=("text", "list"))
    inner = Entity(KEYS[0])
    inner["n"] = 1
    entity.update(
        {
            "text": "x" * 2000,
            "list": [1, "a", None, 1.5, True, b"\0"],
            "inner": inner,
            "at": dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
            "point": GeoPoint(1, 2),
            "key": KEYS[2],
        }
    )

    assert entity_message(entity) == entity_to_protobuf(entity)._pb
    assert entity.key is key


def test_an_entity_that_cannot_be_encoded_keeps_its_key():
    entity = Entity(KEYS[0])
    entity["odd"] = object()

    with pytest.raises(ValueError, match="Unknown"):
        entity_message(entity)

    assert entity.key is KEYS[0]

"""Datastore's own values, as its client makes them, come back as they were."""

import datetime as dt

import pytest
from google.cloud.datastore import Entity, Key
from google.cloud.datastore.helpers import GeoPoint, entity_from_protobuf, entity_to_protobuf
from proto.datetime_helpers import DatetimeWithNanoseconds

from adjourn.errors import DecodeError, EncodeError
from adjourn.gcp.datastore_values import DATASTORE_VALUES
from adjourn.serialization.codec import Codec

SHOP = Key("Shop", "berlin", project="p")


@pytest.fixture
def codec():
    return Codec(extensions=DATASTORE_VALUES)


def there_and_back(codec, value):
    return codec.loads(codec.dumps(value))


@pytest.mark.parametrize(
    "key",
    [
        SHOP,
        Key("Order", 5, project="p"),
        Key("Order", 5, parent=SHOP),
        Key("Order", "5", project="p", namespace="n"),
        Key("Order", 2**63 - 1, project="p", database="d", namespace="n"),
        Key("A", 1, "B", "zwei", "C", 3, project="p"),
        Key("$tuple", "$", project="p"),
    ],
    ids=repr,
)
def test_a_key_comes_back(codec, key):
    back = there_and_back(codec, key)

    assert type(back) is Key
    assert back == key
    assert hash(back) == hash(key)
    assert back.parent == key.parent
    assert [type(part) for part in back.flat_path] == [type(part) for part in key.flat_path]


def test_a_partial_key_comes_back(codec):
    key = Key("Shop", 1, "Order", project="p", namespace="n", database="d")

    back = there_and_back(codec, key)

    assert back.is_partial
    assert back.to_protobuf() == key.to_protobuf()


def test_keys_are_found_in_dicts_and_sets(codec):
    value = {SHOP: 1, (SHOP, 2): {SHOP}}

    assert there_and_back(codec, value) == value


def an_entity():
    entity = Entity(SHOP, exclude_from_indexes=("note", "absent"))
    entity.update(
        note="long",
        flags=[True, None, 1, 2.5],
        blob=b"\xff",
        owner=Key("User", 1, project="p"),
        place=GeoPoint(52.5, -13),
        opened=DatetimeWithNanoseconds(2026, 1, 2, nanosecond=123456789, tzinfo=dt.UTC),
        empty=[],
    )
    entity["address"] = Entity(exclude_from_indexes=("city",))
    entity["address"]["city"] = "Berlin"
    entity["lines"] = [Entity(Key("Line", project="p")), Entity()]
    entity["$marker"] = {"$key": ["p"]}
    return entity


def test_an_entity_comes_back(codec):
    entity = an_entity()
    del entity["lines"]  # partial keys never compare equal

    back = there_and_back(codec, entity)

    assert type(back) is Entity
    assert back == entity
    assert back.exclude_from_indexes == {"note", "absent"}
    assert back["address"].exclude_from_indexes == {"city"}
    assert list(back) == list(entity)


def test_an_entity_saves_as_the_one_that_was_sent(codec):
    entity = an_entity()

    assert entity_to_protobuf(there_and_back(codec, entity)) == entity_to_protobuf(entity)


def test_an_entity_that_was_read_comes_back(codec):
    message = entity_to_protobuf(an_entity())
    message._pb.properties["note"].meaning = 15
    message._pb.properties["flags"].array_value.values[0].meaning = 9
    message._pb.properties["blob"].meaning = 22
    entity = entity_from_protobuf(message)
    entity["blob"] = b"changed"

    back = there_and_back(codec, entity)

    assert entity_to_protobuf(back) == entity_to_protobuf(entity)
    assert entity_to_protobuf(back)._pb.properties["note"].meaning == 15
    assert back._meanings == entity._meanings
    assert type(back["opened"]) is DatetimeWithNanoseconds


@pytest.mark.parametrize(
    "moment",
    [
        DatetimeWithNanoseconds(2026, 1, 2, 3, 4, 5, nanosecond=123456789, tzinfo=dt.UTC),
        DatetimeWithNanoseconds(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC),
        DatetimeWithNanoseconds(2026, 1, 2, 3, 4, 5, 678901, fold=1),
        DatetimeWithNanoseconds(
            2026, 1, 2, nanosecond=999, tzinfo=dt.timezone(dt.timedelta(1 / 2))
        ),
    ],
)
def test_a_timestamp_keeps_its_nanoseconds(codec, moment):
    back = there_and_back(codec, moment)

    assert type(back) is DatetimeWithNanoseconds
    assert (back, back.nanosecond, back.tzinfo) == (moment, moment.nanosecond, moment.tzinfo)
    assert (back.microsecond, back.fold) == (moment.microsecond, moment.fold)


def test_a_point_keeps_its_types(codec):
    back = there_and_back(codec, GeoPoint(1, -0.0))

    assert type(back) is GeoPoint
    assert repr((back.latitude, back.longitude)) == "(1, -0.0)"


def test_a_value_that_cannot_be_carried_is_named_within_its_entity(codec):
    entity = Entity(SHOP)
    entity["lines"] = [1, object()]

    with pytest.raises(EncodeError, match=r"^value\[0\]\.properties\['lines'\]\[1\]: "):
        codec.encode([entity])


def test_subclasses_are_refused(codec):
    class MyEntity(Entity):
        pass

    with pytest.raises(EncodeError, match="plain Entity"):
        codec.encode(MyEntity(SHOP))


@pytest.mark.parametrize(
    "body",
    [
        b'{"$key":[]}',
        b'{"$key":["p",null,null]}',
        b'{"$key":["p",null,null,7]}',
        b'{"$key":["p",null,null,"A",1.5]}',
        b'{"$key":[null,null,null,"A",1]}',
        b'{"$key":[7,null,null,"A",1]}',
        b'{"$key":["p",7,null,"A",1]}',
        b'{"$key":["p",null,{},"A",1]}',
        b'{"$entity":{}}',
        b'{"$entity":{"key":"k","exclude":[],"properties":{},"meanings":{}}}',
        b'{"$entity":{"key":null,"exclude":7,"properties":{},"meanings":{}}}',
        b'{"$entity":{"key":null,"exclude":[[]],"properties":{},"meanings":{}}}',
        b'{"$entity":{"key":null,"exclude":[],"properties":7,"meanings":{}}}',
        b'{"$entity":{"key":null,"exclude":[],"properties":{},"meanings":{"a":[7]}}}',
        b'{"$entity":{"key":null,"exclude":[],"properties":{},"meanings":{"a":7}}}',
        b'{"$point":[1]}',
        b'{"$point":["1",2]}',
        b'{"$moment":{"at":"2026-01-01","nanosecond":1}}',
        b'{"$moment":{"at":{"$datetime":"2026-01-01T00:00:00"},"nanosecond":-1}}',
        b'{"$moment":{"at":{"$datetime":"2026-01-01T00:00:00"},"nanosecond":1e3}}',
        b'{"$moment":{"at":{"$datetime":"2026-01-01T00:00:00"},"nanosecond":1000000000}}',
        b'{"$moment":{"at":{"$datetime":"2026-01-01T00:00:00.000001"},"nanosecond":0}}',
    ],
)
def test_a_forged_value_is_a_decode_error(codec, body):
    with pytest.raises(DecodeError):
        codec.loads(body)

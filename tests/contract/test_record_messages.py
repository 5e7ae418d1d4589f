"""Our own records travel to Datastore and back as Google's client would send and read them."""

import datetime as dt

import pytest
from google.cloud.datastore import Entity, Key, helpers

from adjourn.gcp.record_messages import message_class, record_of, set_key, set_properties
from adjourn.ports import RecordKey

NOON = dt.datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=dt.UTC)
RECORD = {
    "none": None,
    "yes": True,
    "no": False,
    "zero": 0,
    "least": -(2**63),
    "most": 2**63 - 1,
    "half": 0.5,
    "nothing": "",
    "text": "\u00e9\U0001f600" * 2000,
    "bytes": b"\x00\xff",
    "no bytes": b"",
    "noon": NOON,
    "elsewhere": NOON.astimezone(dt.timezone(dt.timedelta(hours=-5))),
    "naive": NOON.replace(tzinfo=None),
    "epoch": dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
    "before": dt.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC),
    "first": dt.datetime(1, 1, 1, tzinfo=dt.UTC),
    "last": dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC),
}


def ours(record, unindexed=()):
    message = message_class("Entity")()
    set_key(message.key, "shop", "second", RecordKey("Run", "a"))
    set_properties(message, record, unindexed)
    return message


def googles(record, unindexed=()):
    key = Key("Run", "a", project="shop", database="second")
    entity = Entity(key, exclude_from_indexes=tuple(unindexed))
    entity.update(record)
    return helpers.entity_to_protobuf(entity)._pb


@pytest.mark.parametrize("unindexed", [(), ("none", "text", "noon"), tuple(RECORD)])
def test_a_record_is_sent_as_googles_client_sends_it(unindexed):
    assert ours(RECORD, unindexed) == googles(RECORD, unindexed)


def test_a_record_is_read_as_googles_client_reads_it():
    message = googles(RECORD)

    found = record_of(message)

    assert found == dict(helpers.entity_from_protobuf(message))
    for name, value in RECORD.items():
        assert type(found[name]) is type(value), name


@pytest.mark.parametrize("value", [[1, "a"], {"a": 1}, Key("Run", 1, project="shop")])
def test_what_others_have_stored_is_read_as_well(value):
    message = googles({"theirs": value})

    assert record_of(message) == dict(helpers.entity_from_protobuf(message))


@pytest.mark.parametrize("value", [2**63, "\ud800", object(), [1]])
def test_what_has_no_place_in_a_record_is_refused(value):
    with pytest.raises(ValueError, match=r".*"):
        ours({"odd": value})

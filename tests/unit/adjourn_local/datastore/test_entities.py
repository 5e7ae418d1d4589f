"""What an entity has in indexes."""

import pytest
from google.cloud.datastore_v1.types import Entity, Value

from adjourn_local.datastore.entities import checked, indexed_values, stored_values
from adjourn_local.http.rpc import RpcError

INNER = Entity(properties={"city": Value(string_value="Bonn")})
ENTITY = Entity.pb(
    Entity(
        properties={
            "name": Value(string_value="Ann"),
            "none": Value(null_value=0),
            "note": Value(string_value="long", exclude_from_indexes=True),
            "tags": Value(
                array_value={
                    "values": [
                        Value(string_value="b"),
                        Value(string_value="a"),
                        Value(string_value="c", exclude_from_indexes=True),
                    ]
                }
            ),
            "home": Value(entity_value=INNER),
            "work": Value(entity_value=INNER, exclude_from_indexes=True),
            "a.b": Value(integer_value=1),
            "a": Value(entity_value=Entity(properties={"b": Value(integer_value=2)})),
        }
    )
)


@pytest.mark.parametrize(
    "name",
    ["name", "none", "note", "tags", "home", "home.city", "work.city", "a.b", "a", "missing"],
)
def test_a_stored_entity_has_the_same_values_when_only_some_are_asked_for(name: str) -> None:
    assert stored_values(ENTITY, {name}).get(name, []) == indexed_values(ENTITY).get(name, [])
    both = stored_values(ENTITY, {name, "name"})
    assert both.get(name, []) == indexed_values(ENTITY).get(name, [])
    assert both["name"] == indexed_values(ENTITY)["name"]


def test_paths_that_nothing_reads_are_left_out():
    found = indexed_values(ENTITY, {"name", "tags", "home.city", "a.b"})

    assert found == {"none": indexed_values(ENTITY)["none"]}


@pytest.mark.parametrize("unread", [set(), {"text"}])
def test_an_indexed_text_is_checked_whether_it_is_read_or_not(unread):
    entity = Entity.pb(Entity(properties={"text": Value(string_value="é" * 750)}))
    checked(entity, unread)
    entity.properties["text"].string_value += "e"

    with pytest.raises(RpcError, match='"text" is longer than 1500 bytes'):
        checked(entity, unread)
    entity.properties["text"].exclude_from_indexes = True
    checked(entity, unread)


@pytest.mark.parametrize("unread", [set(), {"at", "list"}])
def test_an_entity_is_stored_with_rounded_times(unread):
    time = {"seconds": 5, "nanos": 1999}
    value = Value.pb()(timestamp_value=time)
    entity = Entity.pb()()
    entity.properties["list"].array_value.values.append(value)
    entity.properties["name"].string_value = "Ann"

    stored = Entity.pb().FromString(checked(entity, unread)[0])

    assert stored.properties["list"].array_value.values[0].timestamp_value.nanos == 1000
    assert stored == entity


def test_a_point_is_checked_where_nothing_reads_it():
    entity = Entity.pb()()
    entity.properties["at"].geo_point_value.latitude = 91

    with pytest.raises(RpcError, match="latitude"):
        checked(entity, {"at"})

"""What an entity has in indexes."""

import pytest
from google.cloud.datastore_v1.types import Entity, Value

from adjourn_local.datastore.entities import indexed_values, stored_values

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

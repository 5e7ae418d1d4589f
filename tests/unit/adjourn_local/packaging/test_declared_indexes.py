"""What declares composite indexes: index.yaml, Terraform files, folders, variables and plans."""

import json
import logging

import pytest

from adjourn_local.datastore import CompositeIndex
from adjourn_local.datastore.indexes import Column
from adjourn_local.datastore.needed_indexes import terraform, yaml
from adjourn_local.errors import UsageError
from adjourn_local.packaging.declared_indexes import declared

BY_CUSTOMER = CompositeIndex("Order", (Column("customer"), Column("placed_at", descending=True)))
BELOW = CompositeIndex("Item", (Column("price"),), ancestor=True)
LATEST = CompositeIndex("Note", (Column("__key__", descending=True),))

YAML = """\
indexes:
- kind: Order
  properties:
  - name: customer
  - name: placed_at
    direction: desc
  - name: __key__
- kind: Item
  ancestor: yes
  properties:
  - name: price
    direction: asc
- kind: Note
  properties: [{name: __key__, direction: desc}]
"""
MODULE = """\
module "adjourn" {
  source  = "./adjourn"
  project = var.project

  indexes = {
    orders = {
      kind       = "Order"
      properties = [{ name = "customer" }, { name = "placed_at", order = "DESCENDING" }]
    }
    "items" = { kind = "Item", ancestor = true, properties = [{ name = "price" }] }
    notes   = { kind = "Note", properties = [{ name = "__key__", order = "DESCENDING" }] }
  }
}
"""
RESOURCES = """\
resource "google_firestore_index" "orders" {
  collection  = "Order"
  query_scope = "COLLECTION_GROUP"
  fields {
    field_path = "customer"
    order      = "ASCENDING"
  }
  fields {
    field_path = "placed_at"
    order      = "DESCENDING"
  }
}

resource "google_firestore_index" "items" {
  collection  = "Item"
  query_scope = "COLLECTION_RECURSIVE"
  fields {
    field_path = "price"
    order      = "ASCENDING"
  }
}

resource "google_firestore_index" "notes" {
  collection = "Note"
  fields {
    field_path = "__name__"
    order      = "DESCENDING"
  }
}

resource "google_firestore_index" "of_a_module" {
  for_each   = var.indexes
  collection = each.value.kind
  dynamic "fields" {
    for_each = each.value.properties
    content { field_path = fields.value.name }
  }
}
"""
VARIABLES = MODULE[MODULE.index("  indexes") : -2]


def fields(*pairs):
    return [{"field_path": path, "order": order} for path, order in pairs]


PLAN = {
    "planned_values": {
        "root_module": {
            "resources": [{"type": "google_cloud_tasks_queue", "values": {}}],
            "child_modules": [
                {
                    "resources": [
                        {
                            "type": "google_firestore_index",
                            "values": {"collection": kind, "query_scope": scope, "fields": of},
                        }
                        for kind, scope, of in [
                            (
                                "Order",
                                "COLLECTION_GROUP",
                                fields(("customer", "ASCENDING"), ("placed_at", "DESCENDING")),
                            ),
                            ("Item", "COLLECTION_RECURSIVE", fields(("price", "ASCENDING"))),
                            ("Note", "COLLECTION_GROUP", fields(("__name__", "DESCENDING"))),
                        ]
                    ]
                }
            ],
        }
    }
}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("index.yaml", YAML),
        ("main.tf", MODULE),
        ("main.tf", RESOURCES),
        ("shop.tfvars", VARIABLES),
        ("plan.json", json.dumps(PLAN)),
    ],
)
def test_indexes_are_read_wherever_they_are_declared(tmp_path, name, text):
    (tmp_path / name).write_text(text)

    for path in (tmp_path / name, tmp_path):
        assert declared([path]) == [BELOW, LATEST, BY_CUSTOMER]


def test_what_is_printed_declares_the_same(tmp_path):
    odd = CompositeIndex("A ${b}", (Column('say "hi"'), Column("yes"), Column("ä", True)))  # noqa: FBT003
    same_label = CompositeIndex("order", BY_CUSTOMER.properties)
    indexes = sorted([BY_CUSTOMER, BELOW, LATEST, odd, same_label])
    (tmp_path / "a.tfvars").write_text(terraform(indexes))
    (tmp_path / "b.yaml").write_text("indexes:\n" + "".join(map(yaml, indexes)))

    assert declared([tmp_path / "b.yaml"]) == indexes
    found = declared([tmp_path / "a.tfvars"])
    assert [each for each in found if each.kind != "A $${b}"] == indexes[1:]
    assert len(found) == len(indexes)


def test_several_places_declare_together(tmp_path):
    (tmp_path / "index.yaml").write_text("")
    (tmp_path / "other.json").write_text(json.dumps({"queue_names": []}))
    (tmp_path / "notes.txt").write_text("indexes")
    (tmp_path / "items.tf").write_text(MODULE)

    assert len(declared([tmp_path / "index.yaml", tmp_path])) == 3


def test_an_expression_is_not_evaluated_but_told(tmp_path, caplog):
    (tmp_path / "main.tf").write_text('module "adjourn" {\n  indexes = local.indexes\n}\n')

    with caplog.at_level(logging.WARNING):
        assert declared([tmp_path]) == []

    assert "`indexes` is an expression, which is not evaluated here." in caplog.text


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("missing.yaml", None, "No such file"),
        ("index.txt", "", "ends with none of .yaml, .yml, .tf, .tfvars, .json"),
        ("index.yaml", "indexes: [", "flow"),
        ("index.yaml", "- kind: A", "no list `indexes`"),
        ("index.yaml", "indexes: [{kind: A}]", "no kind or no properties"),
        ("index.yaml", "indexes: [{kind: A, properties: [{name: 1}]}]", "has no name"),
        ("main.tf", "indexes = {", "Unexpected token"),
        ("main.tfvars", 'indexes = { a = { properties = [{ name = "x" }] } }', "no kind"),
        ("main.tfvars", 'indexes = { a = { kind = "A", properties = [{}] } }', "has no name"),
        ("plan.json", "[]", "no Terraform plan"),
        ("plan.json", "{", "line 1"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_the_file(tmp_path, name, text, why):
    if text is not None:
        (tmp_path / name).write_text(text)

    with pytest.raises(UsageError) as error:
        declared([tmp_path / name])

    assert name in str(error.value)
    assert why in str(error.value)

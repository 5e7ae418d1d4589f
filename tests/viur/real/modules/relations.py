"""Copies of values in what refers to an entity are brought up to date, in transactions."""

import time

from viur.core import db
from viur.core.tasks import CallDeferred


@CallDeferred
def update_relations(dest_key, min_change_time, changed_bone, cursor=None):
    query = (
        db.Query("relation")
        .filter("dest =", dest_key)
        .filter("updated <", min_change_time)
        .order(("updated", db.SortOrder.Ascending))
    )
    if changed_bone:
        query.filter("bones =", changed_bone)
    if cursor:
        query.setCursor(cursor)

    def update(key):
        relation = db.Get(key)
        relation["copy"] = db.Get(dest_key)["name"]
        db.Put(relation)

    found = query.run(3)
    for relation in found:
        db.RunInTransaction(update, relation.key)
    next_cursor = query.getCursor()
    if len(found) == 3 and next_cursor:
        update_relations(dest_key, min_change_time, changed_bone, next_cursor)


def exercise(world):
    dest = db.Entity(db.Key("country", "de"))
    dest["name"] = "Germany"
    db.Put(dest)
    for number in range(8):
        relation = db.Entity(db.Key("relation", f"r{number}"))
        relation.update(dest=dest.key, updated=100.0 + number, bones=["name", "iso"])
        db.Put(relation)
    update_relations(dest.key, 106.5, "iso")
    update_relations(dest.key, time.time(), "none")

"""A tree whose nodes are deleted with all that is below them, some at a time by a cursor."""

from viur.core import db
from viur.core.module import Module
from viur.core.tasks import CallDeferred


class Tree(Module):
    @CallDeferred
    def delete_recursive(self, parent, cursor=None, depth=0):
        query = db.Query("node").filter("parententry =", parent)
        if cursor:
            query.setCursor(cursor)
        found = query.run(2)
        for node in found:
            self.delete_recursive(node.key, depth=depth + 1)
            log = db.Entity(db.Key("deleted", node.key.name))
            log.update(depth=depth, path=self.modulePath)
            db.Put(log)
            db.Delete(node.key)
        cursor = query.getCursor()
        if len(found) == 2 and cursor:
            self.delete_recursive(parent, cursor, depth=depth)


def exercise(world):
    root = db.Key("node", "root")
    for name in "abcde":
        for below in ("", "1", "2", "3"):
            entity = db.Entity(db.Key("node", f"{name}{below}"))
            entity["parententry"] = db.Key("node", name) if below else root
            db.Put(entity)
    world.main_app.tree.delete_recursive(root)

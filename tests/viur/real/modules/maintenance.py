"""A task that people start, with a skeleton as its form, which walks over all of a kind."""

from viur.core import db
from viur.core.bones import BooleanBone, NumericBone, SelectBone, StringBone
from viur.core.skeleton import BaseSkeleton
from viur.core.tasks import CallableTask, CallableTaskBase, QueryIter


@CallableTask
class Recount(CallableTaskBase):
    key = "recount"
    name = "Recount"
    descr = "Counts again how many there are"

    def canCall(self):
        return True

    def dataSkel(self):
        skel = BaseSkeleton().clone()
        skel.kind = SelectBone(descr="Kind", values={"box": "Boxes", "bag": "Bags"}, required=True)
        skel.add = NumericBone(descr="How many to add", required=True, min=0, max=100)
        skel.note = StringBone(descr="Note")
        skel.dry = BooleanBone(descr="Change nothing")
        return skel

    def execute(self, kind, add, note=None, dry=False, *args, **kwargs):
        RecountIter.startIterOnQuery(db.Query(kind), {"add": add, "note": note, "dry": dry})


class RecountIter(QueryIter):
    @classmethod
    def handleEntry(cls, entry, customData):
        if entry["broken"]:
            raise ValueError(entry.key.name)
        if not customData["dry"]:
            entry["count"] += customData["add"]
            entry["note"] = customData["note"]
            db.Put(entry)

    @classmethod
    def handleError(cls, entry, customData, exception):
        error = db.Entity(db.Key("error", entry.key.name))
        error["text"] = str(exception)
        db.Put(error)
        return True


def exercise(world):
    for number in range(7):
        entity = db.Entity(db.Key("box", f"b{number}"))
        entity.update(count=number, broken=number == 4)
        db.Put(entity)
    world.execute(Recount, {"kind": "box", "add": 5, "note": "again"})

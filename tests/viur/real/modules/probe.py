"""What single tests look into, beside the twelve modules."""

from viur.core import db
from viur.core.tasks import CallDeferred, DeleteEntitiesIter, QueryIter


@CallDeferred
def remember(name, value):
    entity = db.Entity(db.Key("remembered", name))
    entity["type"] = f"{type(value).__module__}.{type(value).__qualname__}"
    entity["text"] = str(value) if not isinstance(value, (set, dict)) else repr(value)
    db.Put(entity)


class Walk(QueryIter):
    @classmethod
    def handleEntry(cls, entry, customData):
        key = entry["key"] if hasattr(entry, "skeletonCls") else entry.key
        customData["keys"].append(str(key))
        customData["type"] = type(entry).__name__

    @classmethod
    def handleFinish(cls, totalCount, customData):
        entity = db.Entity(db.Key("walked", customData["name"]))
        entity.update(keys=customData["keys"], total=totalCount, type=customData.get("type"))
        entity.exclude_from_indexes = {"keys"}
        db.Put(entity)


class Empty(DeleteEntitiesIter):
    pass

"""Translations that are missing are added by a task, and old ones moved by an iteration."""

from viur.core import db
from viur.core.tasks import CallDeferred, QueryIter


@CallDeferred
def add_missing_translation(key, hint=None, default_text=None, filename=None, variables=()):
    def add():
        where = db.Key("translation", key)
        entity = db.Get(where) or db.Entity(where)
        entity["hint"] = hint
        entity["default"] = default_text
        entity["files"] = sorted({*entity.get("files", []), filename})
        entity["variables"] = list(variables)
        db.Put(entity)

    db.RunInTransaction(add)


class MigrateTranslations(QueryIter):
    @classmethod
    def handleEntry(cls, entry, customData):
        moved = db.Entity(db.Key("translation", entry["tr_key"]))
        moved.update(text=entry["text"], language=customData["language"])
        db.Put(moved)
        db.Delete(entry.key)
        customData["moved"] += 1

    @classmethod
    def handleFinish(cls, totalCount, customData):
        report = db.Entity(db.Key("report", "translations"))
        report.update(total=totalCount, moved=customData["moved"])
        db.Put(report)


def exercise(world):
    for number in range(13):
        entity = db.Entity(db.Key("old-translation", f"t{number:02}"))
        entity.update(
            tr_key=f"key{number}", text=f"Text {number}", lang="de" if number % 3 else "en"
        )
        db.Put(entity)
    add_missing_translation("hello", "greeting", "Hello {{name}}", "main.py", variables=["name"])
    query = (
        db.Query("old-translation")
        .filter("lang =", "de")
        .order(("tr_key", db.SortOrder.Descending))
    )
    MigrateTranslations.startIterOnQuery(query, {"language": "de", "moved": 0})

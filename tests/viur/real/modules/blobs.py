"""Files that nobody refers to any more are marked, counted and then deleted."""

import datetime

from viur.core import db
from viur.core.tasks import CallDeferred, PeriodicTask


@PeriodicTask(interval=datetime.timedelta(hours=4), cronName="blobs")
def start_check():
    check_unreferenced()


@CallDeferred
def check_unreferenced(cursor=None):
    def take_old(key):
        lock = db.Get(key)
        old = lock["old"] or []
        if lock["is_stale"]:
            db.Delete(key)
        else:
            lock["has_old"] = False
            lock["old"] = []
            db.Put(lock)
        for blob in old:
            mark(blob, lock.key)
        return old

    query = db.Query("lock").filter("has_old", True).setCursor(cursor)
    for lock in query.run(2):
        db.RunInTransaction(take_old, lock.key)
    cursor = query.getCursor()
    if cursor:
        check_unreferenced(cursor)


@CallDeferred
def mark(blob, by):
    if db.Query("lock").filter("active =", blob).getEntry():
        return
    entity = db.Entity(db.Key("deleted-file", blob))
    entity.update(itercount=0, by=by)
    db.Put(entity)


def exercise(world):
    for number in range(5):
        lock = db.Entity(db.Key("lock", f"l{number}"))
        lock.update(
            has_old=number != 4,
            is_stale=number == 1,
            old=[f"b{number}", "kept"],
            active=["kept"] if number == 4 else [],
        )
        db.Put(lock)
    world.cron("blobs")

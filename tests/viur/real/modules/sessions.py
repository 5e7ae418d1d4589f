"""Sessions that nobody has used for long are deleted by a query iteration."""

import datetime

from viur.core import db
from viur.core.tasks import CallDeferred, DeleteEntitiesIter, PeriodicTask

LIFETIME = datetime.timedelta(days=60)


@PeriodicTask(interval=datetime.timedelta(hours=4), cronName="sessions")
def start_clear_sessions():
    limit = datetime.datetime.now(datetime.timezone.utc) - LIFETIME
    DeleteEntitiesIter.startIterOnQuery(db.Query("session").filter("lastseen <", limit))


@CallDeferred
def kill_session_by_user(user=None):
    query = db.Query("session")
    if user is not None:
        query.filter("user =", str(user))
    for entity in query.run(999):
        db.Delete(entity.key)


def exercise(world):
    now = datetime.datetime.now(datetime.timezone.utc)
    for number in range(1, 13):
        entity = db.Entity(db.Key("session", f"s{number}"))
        entity["lastseen"] = now - datetime.timedelta(days=10 * number)
        entity["user"] = str(db.Key("user", "ann" if number % 2 else "bob"))
        db.Put(entity)
    world.cron("sessions")
    kill_session_by_user(db.Key("user", "bob"))
    world.settle()
    for entity in db.Query("session").run(99):
        del entity["lastseen"]
        db.Put(entity)

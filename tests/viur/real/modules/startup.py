"""What has to be there is made when an instance starts."""

from viur.core import db
from viur.core.tasks import StartupTask


@StartupTask
def create_first_user():
    if not db.Query("staff").getEntry():
        entity = db.Entity(db.Key("staff", "admin"))
        entity["access"] = ["root"]
        db.Put(entity)


@StartupTask
def note_version():
    entity = db.Entity(db.Key("version", "last"))
    entity["number"] = 3
    db.Put(entity)


def exercise(world):
    world.startup()

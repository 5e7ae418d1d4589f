"""Mails that wait in Datastore until a task sends them."""

import datetime

from viur.core import db
from viur.core.tasks import CallDeferred, PeriodicTask


def queue_mail(name, subject, **values):
    entity = db.Entity(db.Key("mail", name))
    entity.update(subject=subject, state="queued", at=datetime.datetime.now(datetime.timezone.utc))
    db.Put(entity)
    send_mail(entity.key, values, _queue="mail", _countdown=0)


@CallDeferred
def send_mail(key, values):
    entity = db.Get(key)
    entity["text"] = ", ".join(f"{name}={value}" for name, value in sorted(values.items()))
    entity["state"] = "sent"
    entity["to_key"] = str(key)
    del entity["at"]
    db.Put(entity)


@PeriodicTask(interval=datetime.timedelta(days=1), cronName="nightly")
def clean_old_mails():
    for entity in db.Query("mail").filter("state =", "sent").run(100):
        if entity["subject"].startswith("old"):
            db.Delete(entity.key)


def exercise(world):
    queue_mail("m1", "old offer", colours={"red"}, price=3)
    queue_mail("m2", "new offer", who=("Ann", "Bob"))
    world.settle()
    world.cron("nightly")

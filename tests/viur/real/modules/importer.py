"""A feed is imported in chunks; one that cannot be imported is given up."""

from viur.core import db
from viur.core.tasks import CallDeferred, PermanentTaskFailure, retry_n_times

FEED = [{"id": f"a{number}", "price": number * 10} for number in range(7)]


@CallDeferred
@retry_n_times(3, email_recipients=None)
def import_chunk(offset=0, *, size=3):
    chunk = FEED[offset : offset + size]
    for row in chunk:
        entity = db.Entity(db.Key("article", row["id"]))
        entity.update(row, chunk=offset)
        db.Put(entity)
    if chunk:
        import_chunk(offset + size, size=size)
    else:
        done.__wrapped__  # noqa: B018 - a decorated function is a function
        done(imported=offset)


@CallDeferred
def done(**what):
    entity = db.Entity(db.Key("import", "last"))
    entity.update(what, name=done.__name__)
    db.Put(entity)


@CallDeferred
def import_broken(name):
    entity = db.Entity(db.Key("import", name))
    entity["state"] = "broken"
    db.Put(entity)
    raise PermanentTaskFailure


def exercise(world):
    import_chunk()
    import_broken("second")

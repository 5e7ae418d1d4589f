"""Each change is written down by a task, with what changed."""

import datetime
import enum
from collections import OrderedDict, defaultdict, namedtuple

from viur.core import db
from viur.core.tasks import CallDeferred

Change = namedtuple("Change", "name before after")


class Severity(enum.IntEnum):
    LOW = 1
    HIGH = 5


@CallDeferred
def write_history(entry, changes, *, tags, severity, changed, moment, kinds):
    record = db.Entity(db.Key("history", f"{entry.key.kind}-{entry.key.name}"))
    record["of"] = entry.key
    record["values"] = sorted(entry)
    record["changes"] = [f"{name}: {before} to {after}" for name, before, after in changes]
    record["tags"] = sorted(tags)
    record["severity"] = severity + 1
    record["changed"] = sorted(changed)
    record["moment"] = moment.astimezone(datetime.timezone.utc).isoformat()
    record["kinds"] = [f"{name}={len(kinds[name])}" for name in kinds]
    db.Put(record)


def exercise(world):
    import pytz

    entry = db.Entity(db.Key("article", "ink"))
    entry.update(name="Ink", price=3, shop=db.Key("shop", "north"))
    kinds = defaultdict(list)
    kinds["a"].append(1)
    write_history(
        entry,
        (Change(name, 1, 2) for name in ("price", "name")),
        tags=OrderedDict(b=1, a=2).keys(),
        severity=Severity.HIGH,
        changed={"price", "name"},
        moment=pytz.timezone("Europe/Berlin").localize(datetime.datetime(2024, 5, 1, 12)),
        kinds=kinds,
    )

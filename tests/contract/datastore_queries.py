"""Random entities and queries, from a seed, that any Datastore should answer alike."""

import datetime as dt
import random
from dataclasses import dataclass, replace

from google.cloud import datastore
from google.cloud.datastore.query import And, Or, PropertyFilter

_SCALARS = [
    None,
    0,
    1,
    2,
    3,
    True,
    False,
    "a",
    "b",
    b"ab",
    0.5,
    2.0,
    dt.datetime(1970, 1, 1, 0, 0, 0, 2, tzinfo=dt.UTC),
]
_PROPERTIES = ["p", "q", "r"]


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A query that can be built for any client."""

    kind: str | None
    filters: tuple = ()
    order: tuple[str, ...] = ()
    projection: tuple[str, ...] = ()
    distinct: tuple[str, ...] = ()
    ancestor: tuple | None = None
    limit: int | None = None
    offset: int = 0

    def build(self, client):
        query = client.query(
            kind=self.kind,
            order=list(self.order),
            projection=list(self.projection),
            distinct_on=list(self.distinct),
            ancestor=client.key(*self.ancestor) if self.ancestor else None,
        )
        for item in self.filters:
            query.add_filter(filter=_filter(client, item))
        return query

    def fetch(self, client, **options):
        limits = {"limit": self.limit, "offset": self.offset} | options
        return self.build(client).fetch(**limits)

    def compared_and_ordered(self):
        """Return the properties with an equality that an order names or an inequality implies."""
        leaves = list(_leaves(self.filters))
        compared = {name for name, op, _ in leaves if op in {"=", "IN"}}
        implied = {name for name, op, _ in leaves if op not in {"=", "IN"}}
        return compared & ({name.lstrip("-") for name in self.order} | implied)

    def unlimited(self):
        return replace(self, limit=None, offset=0)


def _leaves(filters):
    for item in filters:
        if item[0] in {"and", "or"}:
            yield from _leaves(item[1])
        else:
            yield item


def _filter(client, item):
    if item[0] in {"and", "or"}:
        parts = [_filter(client, part) for part in item[1]]
        return And(parts) if item[0] == "and" else Or(parts)
    name, op, value = item
    return PropertyFilter(name, op, client.key(*value) if name == "__key__" else value)


def fill(client, rng: random.Random, count=40):
    """Put entities of the kinds S (single values) and M (arrays too), some below others."""
    entities = []
    for number in range(count):
        for kind in "SM":
            parent = client.key("S", rng.randrange(1, 5)) if rng.random() < 0.3 else None
            name = number + 1 if rng.random() < 0.7 else f"n{number}"
            entity = datastore.Entity(
                client.key(kind, name, parent=parent),
                exclude_from_indexes=[n for n in _PROPERTIES if rng.random() < 0.05],
            )
            for prop in _PROPERTIES:
                if rng.random() < 0.9:
                    entity[prop] = _value(rng, kind)
            entities.append(entity)
    client.put_multi(entities)
    doomed = rng.sample(entities, count // 8)
    client.delete_multi([entity.key for entity in doomed])


def _value(rng, kind):
    if kind == "M" and rng.random() < 0.3:
        return [_scalar(rng) for _ in range(rng.randrange(1, 4))]
    return _scalar(rng)


def _scalar(rng):
    return rng.choice(_SCALARS) if rng.random() < 0.4 else rng.randrange(4)


def random_spec(rng: random.Random, kinds="SM") -> Spec:
    """Return a query that the service accepts, as far as its rules are simple."""
    kind = rng.choice(kinds)
    if rng.random() < 0.05:
        return Spec(kind=None, ancestor=("S", rng.randrange(1, 5)))
    spec = Spec(
        kind=kind,
        filters=_filters(rng),
        order=_order(rng),
        ancestor=("S", rng.randrange(1, 5)) if rng.random() < 0.15 else None,
        limit=rng.randrange(1, 12) if rng.random() < 0.4 else None,
        offset=rng.randrange(1, 5) if rng.random() < 0.2 else 0,
    )
    shape = rng.random()
    if shape < 0.1:
        return replace(spec, projection=("__key__",))
    if shape < 0.3:
        return _projected(rng, spec)
    return spec


def _projected(rng, spec):
    fixed = {name for name, op, _ in _leaves(spec.filters) if op in {"=", "IN"}}
    free = [name for name in _PROPERTIES if name not in fixed]
    projection = tuple(rng.sample(free, rng.randrange(1, len(free) + 1))) if free else ()
    distinct = ()
    ordered = [name.lstrip("-") for name in spec.order]
    if projection and rng.random() < 0.5 and not set(ordered) & fixed:
        distinct = tuple(dict.fromkeys(ordered[:1] or projection[:1]))
        if distinct == ("__key__",):
            distinct = ()
    return replace(spec, projection=projection, distinct=distinct)


def _order(rng):
    names = rng.sample([*_PROPERTIES, "__key__"], rng.choice([0, 0, 1, 1, 2]))
    return tuple(name if rng.random() < 0.6 else f"-{name}" for name in names)


def _filters(rng):
    style = rng.random()
    if style < 0.2:
        return ()
    if style < 0.3:
        return (("or", tuple(_leaf(rng) for _ in range(2))),)
    if style < 0.4:
        inner = ("and", tuple(_leaf(rng) for _ in range(2)))
        return (("or", (inner, _leaf(rng))),)
    if style < 0.5:
        return (_negative(rng),)
    filters = [_leaf(rng) for _ in range(rng.choice([1, 1, 2, 3]))]
    if rng.random() < 0.2:
        filters.append((rng.choice(_PROPERTIES), "IN", _operands(rng)))
    if rng.random() < 0.15:
        filters.append(("__key__", rng.choice(["<", ">", "<=", ">="]), ("S", rng.randrange(1, 40))))
    return tuple(filters)


def _operands(rng):
    found = []
    for _ in range(rng.randrange(1, 4)):
        value = _scalar(rng)
        if value not in found:
            found.append(value)
    return found


def _negative(rng):
    if rng.random() < 0.5:
        return (rng.choice(_PROPERTIES), "!=", _scalar(rng))
    return (rng.choice(_PROPERTIES), "NOT_IN", _operands(rng))


def _leaf(rng):
    operator = rng.choice(["=", "=", "=", "<", "<=", ">", ">="])
    return (rng.choice(_PROPERTIES), operator, _scalar(rng))

"""Google's queries, as far as the queries in memory understand them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from adjourn.errors import DeclarationError
from adjourn.gcp.queries import DatastoreQueries
from adjourn.gcp.told import KEY

_ORDERED: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def understood(query: Any) -> Mapping[str, Any]:
    """Return kind, order and filters of a query of google-cloud-datastore.

    Raises:
        DeclarationError: It says more than that, or is no such query.
    """
    told = DatastoreQueries(lambda: query._client).describe(query)  # noqa: SLF001 - as queries does
    unknown = [name for name in ("ancestor", "projection", "distinct_on") if told[name]]
    order = [name for name in told["order"] if name != KEY]
    if len(order) > 1 or "-" in "".join(order)[:1]:
        unknown.append("order")
    if told["kind"] is None or unknown:
        what = " and ".join(unknown) or "all kinds"
        raise DeclarationError(
            f"Queries in memory know one kind, filters and one ascending order, but no {what};"
            " test this one on the laptop stack."
        )
    return {"kind": told["kind"], "order": "".join(order), "filters": told["filters"]}


def matches(condition: Any, entry: Any) -> bool:
    """Whether an entry is one of those that a filter is for; see `adjourn.gcp.told`."""
    if isinstance(condition, Mapping):
        ((name, parts),) = condition.items()
        met = (matches(part, entry) for part in parts)
        return any(met) if name == "OR" else all(met)
    name, sign, wanted = condition
    if name == KEY:
        return _compared(entry.key, sign, wanted)
    if name not in entry:
        return False
    value = entry[name]
    values = value if isinstance(value, list) else [value]
    return any(_compared(each, sign, wanted) for each in values)


def _compared(value: Any, sign: str, wanted: Any) -> bool:
    match sign:
        case "=":
            return bool(value == wanted)
        case "!=":
            return bool(value != wanted)
        case "IN":
            return value in wanted
        case "NOT_IN":
            return value not in wanted
    try:
        return _ORDERED[sign](value, wanted)
    except TypeError:
        return False  # Datastore compares values of one type with each other

"""A query of the application as plain values: described, checked, and cut into ranges of keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from adjourn.errors import DeclarationError
from adjourn.names import is_own_kind, is_reserved_kind

if TYPE_CHECKING:
    from google.cloud.datastore import Key
    from google.cloud.datastore.query import BaseFilter

DescribedQuery = Mapping[str, Any]
"""What `QuerySource.describe` returns."""

KEY = "__key__"
_EQUALITIES = {"=", "IN"}
_RANGES = {"<", "<=", ">", ">="}

# Kinds that no query for all kinds returns: from the first of each pair up to the second.
_GAPS = [("AdjournA", "Adjourn["), ("__Stat_", "__Stat`")]


def describe_filter(condition: Any) -> object:
    """Return a filter as values: `[property, operator, value]` or `{"AND" or "OR": filters}`."""
    from google.cloud.datastore.query import BaseCompositeFilter, Or, PropertyFilter

    if isinstance(condition, BaseCompositeFilter):
        name = "OR" if isinstance(condition, Or) else "AND"
        return {name: [describe_filter(part) for part in condition.filters]}
    if isinstance(condition, PropertyFilter):
        return [condition.property_name, condition.operator, condition.value]
    return list(condition)


def google_filter(described: Any) -> BaseFilter:
    """Return the filter that `describe_filter` has described."""
    from google.cloud.datastore.query import And, Or, PropertyFilter

    if isinstance(described, dict):
        ((name, parts),) = described.items()
        combine = Or if name == "OR" else And
        return combine([google_filter(part) for part in parts])
    return PropertyFilter(*described)


def check_resumable(query: DescribedQuery) -> None:
    """Refuse a query whose cursors cannot be used to resume it.

    The source is Google's emulator: contract tests show what it refuses and what
    it repeats.

    Raises:
        DeclarationError: The query cannot be resumed; the message says why, and the fix.
    """
    uneven = _inequalities(query) - {KEY}
    if uneven and _ordered_by(query)[:1] == [KEY]:
        raise DeclarationError(
            f"A query that filters {_listed(uneven)} by an inequality and is ordered by {KEY}"
            " cannot be resumed, since Datastore refuses its cursors; leave the order out."
        )
    distinct = set(query["distinct_on"])
    more = {*_ordered_by(query), *_inequalities(query), *query["projection"]} - distinct - {KEY}
    if distinct and more:
        raise DeclarationError(
            f"A query that is distinct on {_listed(distinct)} and orders, compares or projects"
            f" {_listed(more)} cannot be resumed, since a cursor lies within a group, the rest of"
            f" which would come again; name {_listed(more)} in distinct_on, too, or leave it out."
        )


def warnings(query: DescribedQuery) -> list[str]:
    """Return a warning for each property whose value must not change during an iteration."""
    why = {name: f"filters {name} by an inequality" for name in sorted(_inequalities(query))}
    why |= {name: f"is ordered by {name}" for name in _ordered_by(query)}
    why.pop(KEY, None)
    return [
        f"The query {each}: entities whose {name} is changed meanwhile may come twice or not at all"
        for name, each in why.items()
    ]


def unsplittable(query: DescribedQuery) -> str:
    """Return why a query cannot be cut into ranges of keys; "" if it can."""
    if order := [name for name in query["order"] if name != KEY]:
        return f"it is ordered by {_listed(order)}"
    if uneven := _inequalities(query) - {KEY}:
        return f"it filters {_listed(uneven)} by an inequality"
    if query["distinct_on"] or is_projected(query):
        return f"it projects {_listed({*query['distinct_on'], *query['projection']})}"
    for name in ("limit", "start_cursor", "end_cursor"):
        if query[name]:
            return f"it has a {name.replace('_', ' ')}"
    return ""


def is_whole_kind(query: DescribedQuery) -> bool:
    """Return whether a query returns all entities of a kind."""
    return query["kind"] is not None and query["ancestor"] is None and not query["filters"]


def sampled_cuts(sample: Iterable[Key], parts: int) -> list[Key]:
    """Return the keys that cut a sample into parts of equal size."""
    keys = sorted_keys(sample)
    return [keys[len(keys) * n // parts] for n in range(1, parts)]


def sorted_keys(keys: Iterable[Key]) -> list[Key]:
    """Return distinct keys in the order of Datastore."""
    return sorted(set(keys), key=_key_order)


def check_kinds(query: DescribedQuery) -> None:
    """Refuse a query for adjourn's own entities, which only adjourn may change.

    Raises:
        DeclarationError: It is such a query.
    """
    ancestor = query["ancestor"]
    kinds = [query["kind"], ancestor.flat_path[0] if ancestor else None]
    for kind in kinds:
        if kind is not None and is_own_kind(kind):
            raise DeclarationError(
                f"{kind} is a kind of adjourn's own. Kinds that begin with Adjourn and a capital"
                " letter are out of reach of iterations."
            )


def is_of_application(key: Key) -> bool:
    """Return whether an entity is the application's: neither adjourn's own nor Datastore's."""
    # `kind` copies all of the path.
    kinds = key.flat_path[::2]
    return not is_own_kind(kinds[0]) and not is_reserved_kind(kinds[-1])


def check_key(key: Key) -> None:
    """Refuse the key of an entity that is not the application's.

    Raises:
        DeclarationError: It is adjourn's own or Datastore's.
    """
    if not is_of_application(key):
        raise DeclarationError(f"{key!r} is the key of an entity that only adjourn may change.")


def ranges(query: DescribedQuery, key: Callable[[str, int], Key]) -> list[DescribedQuery]:
    """Return the parts of a query that leave out adjourn's own kinds and Datastore's statistics.

    They follow one another in the order of keys. It is the query alone if it has a kind, or if its
    positions are not those of its parts.

    Args:
        query: The query.
        key: Returns the key of a kind and an id.
    """
    has_cursors = query["start_cursor"] or query["end_cursor"]
    conditions = [each for condition in query["filters"] for each in _compared(condition)]
    is_ranged = all(name == KEY and op in _RANGES for name, op in conditions)
    is_rising = query["order"] in ([], [KEY])
    if query["kind"] is not None or query["ancestor"] or has_cursors:
        return [query]
    if not is_ranged or not is_rising or any(isinstance(each, dict) for each in query["filters"]):
        return [query]
    ends = [None, *(key(kind, 1) for gap in _GAPS for kind in gap), None]
    return [between(query, low, high) for low, high in zip(ends[::2], ends[1::2], strict=True)]


def between(query: DescribedQuery, low: Key | None, high: Key | None) -> DescribedQuery:
    """Return the query for the keys from `low` (included) to `high` (excluded)."""
    ends = [[KEY, ">=", low]] if low is not None else []
    ends += [[KEY, "<", high]] if high is not None else []
    return {**query, "filters": [*query["filters"], *ends]}


def is_projected(query: DescribedQuery) -> bool:
    """Return whether the results are projections: some values of an entity, not the entity."""
    return bool(set(query["projection"]) - {KEY})


def _ordered_by(query: DescribedQuery) -> list[str]:
    return [name.removeprefix("-") for name in query["order"]]


def _inequalities(query: DescribedQuery) -> set[str]:
    return {
        name for each in query["filters"] for name, op in _compared(each) if op not in _EQUALITIES
    }


def _compared(condition: Any) -> Iterator[tuple[str, str]]:
    if isinstance(condition, dict):
        for parts in condition.values():
            for part in parts:
                yield from _compared(part)
    else:
        yield condition[0], condition[1]


def _key_order(key: Key) -> list[tuple[bytes, bool, int | bytes]]:
    """Return a sort key for the order of Datastore: ids before names, names by their UTF-8."""
    path = key.flat_path
    return [
        (kind.encode(), isinstance(last, str), last.encode() if isinstance(last, str) else last)
        for kind, last in zip(path[::2], path[1::2], strict=True)
    ]


def _listed(names: set[str] | list[str]) -> str:
    return ", ".join(sorted(names))

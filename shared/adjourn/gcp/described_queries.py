"""A user's query as plain values, and what they say about how it can be walked over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from adjourn.errors import DeclarationError

if TYPE_CHECKING:
    from google.cloud.datastore import Key
    from google.cloud.datastore.query import BaseFilter

Told = Mapping[str, Any]

KEY = "__key__"
_EQUALITIES = {"=", "IN"}


def told_filter(condition: Any) -> object:
    """Return a filter as values: `[property, operator, value]` or `{"AND" or "OR": filters}`."""
    from google.cloud.datastore.query import BaseCompositeFilter, Or, PropertyFilter

    if isinstance(condition, BaseCompositeFilter):
        name = "OR" if isinstance(condition, Or) else "AND"
        return {name: [told_filter(part) for part in condition.filters]}
    if isinstance(condition, PropertyFilter):
        return [condition.property_name, condition.operator, condition.value]
    return list(condition)


def google_filter(told: Any) -> BaseFilter:
    """Return the filter that `told_filter` told."""
    from google.cloud.datastore.query import And, Or, PropertyFilter

    if isinstance(told, dict):
        ((name, parts),) = told.items()
        combine = Or if name == "OR" else And
        return combine([google_filter(part) for part in parts])
    return PropertyFilter(*told)


def check_resumable(told: Told) -> None:
    """Refuse a query whose results have no positions behind which it goes on.

    Google's emulator is the witness; what it refuses or repeats stands in its contract tests.

    Raises:
        DeclarationError: It is such a query; the message says why and what to do.
    """
    uneven = _inequalities(told) - {KEY}
    if uneven and _ordered_by(told)[:1] == [KEY]:
        raise DeclarationError(
            f"A query that filters {_listed(uneven)} by an inequality and is ordered by {KEY}"
            " cannot be resumed, since Datastore refuses its cursors; leave the order out."
        )
    distinct = set(told["distinct_on"])
    more = {*_ordered_by(told), *_inequalities(told), *told["projection"]} - distinct - {KEY}
    if distinct and more:
        raise DeclarationError(
            f"A query that is distinct on {_listed(distinct)} and orders, compares or projects"
            f" {_listed(more)} cannot be resumed, since a cursor lies within a group, the rest of"
            f" which would come again; name {_listed(more)} in distinct_on, too, or leave it out."
        )


def warnings(told: Told) -> list[str]:
    """Name the properties that make the order of a query, and so must keep their values."""
    why = {name: f"filters {name} by an inequality" for name in sorted(_inequalities(told))}
    why |= {name: f"is ordered by {name}" for name in _ordered_by(told)}
    why.pop(KEY, None)
    return [
        f"The query {each}: entities whose {name} is changed meanwhile may come twice or not at all"
        for name, each in why.items()
    ]


def unsplittable(told: Told) -> str:
    """Return why a query cannot be cut into ranges of keys; "" if it can."""
    if order := [name for name in told["order"] if name != KEY]:
        return f"it is ordered by {_listed(order)}"
    if uneven := _inequalities(told) - {KEY}:
        return f"it filters {_listed(uneven)} by an inequality"
    if told["distinct_on"] or is_projected(told):
        return f"it projects {_listed({*told['distinct_on'], *told['projection']})}"
    for name in ("limit", "start_cursor", "end_cursor"):
        if told[name]:
            return f"it has a {name.replace('_', ' ')}"
    return ""


def is_sampled(told: Told) -> bool:
    """Return whether the keys of the whole kind stand for those of the query."""
    names = {name for each in told["filters"] for name, _ in _compared(each)}
    return told["kind"] is not None and told["ancestor"] is None and KEY not in names


def sampled_cuts(sample: Iterable[Key], pieces: int) -> list[Key]:
    """Return keys that cut the range of keys so that each piece has as many of a sample."""
    keys = sorted(set(sample), key=_key_order)
    return [keys[len(keys) * n // pieces] for n in range(1, pieces)]


def between(told: Told, low: Key | None, high: Key | None) -> Told:
    """Return the part of a query from one key on up to, and without, another one."""
    ends = [[KEY, ">=", low]] if low is not None else []
    ends += [[KEY, "<", high]] if high is not None else []
    return {**told, "filters": [*told["filters"], *ends]}


def is_projected(told: Told) -> bool:
    """Return whether the results are not entities but some of their values."""
    return bool(set(told["projection"]) - {KEY})


def _ordered_by(told: Told) -> list[str]:
    return [name.removeprefix("-") for name in told["order"]]


def _inequalities(told: Told) -> set[str]:
    return {
        name for each in told["filters"] for name, op in _compared(each) if op not in _EQUALITIES
    }


def _compared(condition: Any) -> Iterator[tuple[str, str]]:
    if isinstance(condition, dict):
        for parts in condition.values():
            for part in parts:
                yield from _compared(part)
    else:
        yield condition[0], condition[1]


def _key_order(key: Key) -> list[tuple[bytes, bool, int | bytes]]:
    """Return what sorts as Datastore sorts keys: ids come before names, which go by UTF-8."""
    path = key.flat_path
    return [
        (kind.encode(), isinstance(last, str), last.encode() if isinstance(last, str) else last)
        for kind, last in zip(path[::2], path[1::2], strict=True)
    ]


def _listed(names: set[str] | list[str]) -> str:
    return ", ".join(sorted(names))

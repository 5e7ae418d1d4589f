"""Convert a filter to disjunctive normal form, with comparisons as intervals of encoded values."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from adjourn_local.datastore import index_values, keys
from adjourn_local.datastore.indexes import KEY
from adjourn_local.datastore.keys import Partition
from adjourn_local.datastore.messages import CompositeFilter, PropertyFilter, invalid
from adjourn_local.datastore.value_rules import check_compared, check_name

_MAX_ALTERNATIVES = 30
_MAX_NOT_IN = 10
_EQUALITIES = {"EQUAL", "IN", "HAS_ANCESTOR", "OR"}


class Cut(NamedTuple):
    """A place between encoded values: just before a value, or just after it."""

    value: bytes
    after: bool


class Interval(NamedTuple):
    """The encoded values between two cuts."""

    low: Cut
    high: Cut


_START = Cut(b"", after=False)
_END = Cut(b"\xff", after=False)
Intervals = tuple[Interval, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """A conjunction: equalities, and the allowed intervals of each other property."""

    equals: tuple[tuple[str, bytes], ...] = ()
    ranges: dict[str, Intervals]
    keys: Intervals = (Interval(_START, _END),)
    ancestor: bytes | None = None


class _Atom(NamedTuple):
    name: str
    equal: bytes | None = None
    intervals: Intervals = ()
    ancestor: bytes | None = None


def contains(intervals: Intervals, value: bytes) -> bool:
    """Return whether an encoded value is in one of the intervals."""
    place = Cut(value, after=False)
    return any(low <= place < high for low, high in intervals)


def fixed_names(alternatives: tuple[Alternative, ...]) -> set[str]:
    """Return the properties that have the same fixed value in every alternative."""
    common = set(alternatives[0].equals) if alternatives else set()
    for alternative in alternatives:
        common &= set(alternative.equals)
    return {name for name, _ in common}


def compared(message: Any) -> set[str]:
    """Return the properties that a filter compares, without the key."""
    return {name for name, _ in _comparisons(message)} - {KEY, ""}


def equated(message: Any) -> set[str]:
    """Return the properties with an equality in a filter, without the key."""
    return {name for name, op in _comparisons(message) if op in {"EQUAL", "IN"}} - {KEY}


def inequalities(message: Any) -> list[str]:
    """Return the properties with an inequality in a filter, in their implied sort order."""
    found = {name for name, op in _comparisons(message) if op not in _EQUALITIES}
    return sorted(found, key=lambda name: (name == KEY, name))


def alternatives(message: Any, partition: Partition) -> tuple[Alternative, ...]:
    """Return the alternatives of a filter, without those that cannot match.

    Raises:
        RpcError: The filter is invalid.
    """
    _check_operators([op for _, op in _comparisons(message)])
    found = []
    for atoms in _normalize(message, partition):
        alternative = _conjunction(atoms)
        if alternative is not None and alternative not in found:
            found.append(alternative)
    if len({one.ancestor for one in found}) > 1:
        raise invalid("All disjunctions must have the same HAS_ANCESTOR filter.")
    return tuple(found)


def _comparisons(message: Any) -> list[tuple[str, str]]:
    """Return each comparison's property and operator, and ("", "OR") for each disjunction."""
    which = message.WhichOneof("filter_type")
    if which == "property_filter":
        comparison = message.property_filter
        return [(comparison.property.name, PropertyFilter.Operator.Name(comparison.op))]
    if which is None:
        return []
    composite = message.composite_filter
    inner = [one for part in composite.filters for one in _comparisons(part)]
    return [("", "OR"), *inner] if composite.op == CompositeFilter.OR else inner


def _check_operators(operators: list[str]) -> None:
    exclusive = [o for o in operators if o in {"NOT_EQUAL", "NOT_IN"}]
    if len(exclusive) > 1:
        raise invalid("Only a single 'NOT_EQUAL' or 'NOT_IN' is allowed per query.")
    if "NOT_IN" in exclusive and {"IN", "OR"} & set(operators):
        raise invalid("'NOT_IN' cannot be used in the same query with 'IN' or 'OR'.")


def _normalize(message: Any, partition: Partition) -> list[tuple[_Atom, ...]]:
    which = message.WhichOneof("filter_type")
    if which is None:
        return [()]
    if which == "property_filter":
        return [(atom,) for atom in _atoms(message.property_filter, partition)]
    composite = message.composite_filter
    if composite.op not in {CompositeFilter.AND, CompositeFilter.OR}:
        raise invalid("A composite filter must have the operator AND or OR.")
    if not composite.filters:
        raise invalid("A composite filter must have at least one sub-filter.")
    parts = [_normalize(part, partition) for part in composite.filters]
    if composite.op == CompositeFilter.OR:
        found = [atoms for part in parts for atoms in part]
    else:
        _check_count(_product(parts))
        found = [tuple(itertools.chain(*chosen)) for chosen in itertools.product(*parts)]
    _check_count(len(found))
    return found


def _product(parts: list[list[tuple[_Atom, ...]]]) -> int:
    total = 1
    for part in parts:
        total *= len(part)
    return total


def _check_count(count: int) -> None:
    if count > _MAX_ALTERNATIVES:
        raise invalid(
            f"The query needs {count} disjunctions after normalization;"
            f" at most {_MAX_ALTERNATIVES} are supported."
        )


def _atoms(message: Any, partition: Partition) -> list[_Atom]:
    name, op = message.property.name, message.op
    check_name("property name of a filter", name)
    if op in {PropertyFilter.IN, PropertyFilter.NOT_IN}:
        return _list_atoms(name, op, message.value, partition)
    if op == PropertyFilter.HAS_ANCESTOR:
        return [_Atom(KEY, ancestor=_ancestor(name, message.value, partition))]
    value = _operand(name, message.value, partition)
    if op == PropertyFilter.EQUAL and name != KEY:
        return [_Atom(name, equal=value)]
    interval = _INTERVALS.get(op)
    if interval is None:
        raise invalid("a property filter must specify an operator")
    return [_Atom(name, intervals=interval(value))]


def _list_atoms(name: str, op: int, value: Any, partition: Partition) -> list[_Atom]:
    label = PropertyFilter.Operator.Name(op)
    if not value.HasField("array_value") or not value.array_value.values:
        raise invalid(f"{label} requires an non-empty ArrayValue.")
    items = value.array_value.values
    limit = _MAX_ALTERNATIVES if op == PropertyFilter.IN else _MAX_NOT_IN
    if len(items) > limit and op == PropertyFilter.IN:
        raise invalid(
            f"IN supports up to {limit} values."
            f" There are {len(items)} values in the IN filter in your query."
        )
    if len(items) > limit:
        raise invalid(f"NOT_IN supports up to {limit} values.")
    operands = list(dict.fromkeys(_operand(name, item, partition) for item in items))
    if op == PropertyFilter.NOT_IN:
        return [_Atom(name, intervals=_gaps(operands))]
    if name == KEY:
        return [_Atom(name, intervals=_equal_to(operand)) for operand in operands]
    return [_Atom(name, equal=operand) for operand in operands]


def _operand(name: str, value: Any, partition: Partition) -> bytes:
    if name != KEY:
        check_compared(value)
        return index_values.encode_filter(value)
    if not value.HasField("key_value"):
        raise invalid("__key__ filter value must be a Key")
    return _path(value.key_value, partition)


def _ancestor(name: str, value: Any, partition: Partition) -> bytes:
    if name != KEY or not value.HasField("key_value"):
        raise invalid("HAS_ANCESTOR must be a filter on __key__ with a key as its value.")
    return _path(value.key_value, partition)


def _path(key: Any, partition: Partition) -> bytes:
    path, _, _ = keys.check_key(key, reserved=True)
    database = keys.RequestDatabase(partition.project, partition.database)
    if database.partition(key) != partition:
        raise invalid("The key of a filter must be in the partition of the query.")
    return path


def _equal_to(value: bytes) -> Intervals:
    return (Interval(Cut(value, after=False), Cut(value, after=True)),)


def _gaps(excluded: list[bytes]) -> Intervals:
    gaps, low = [], _START
    for value in sorted(excluded):
        gaps.append(Interval(low, Cut(value, after=False)))
        low = Cut(value, after=True)
    return (*gaps, Interval(low, _END))


_INTERVALS: dict[int, Callable[[bytes], Intervals]] = {
    PropertyFilter.EQUAL: _equal_to,
    PropertyFilter.NOT_EQUAL: lambda value: _gaps([value]),
    PropertyFilter.LESS_THAN: lambda value: (Interval(_START, Cut(value, after=False)),),
    PropertyFilter.LESS_THAN_OR_EQUAL: lambda value: (Interval(_START, Cut(value, after=True)),),
    PropertyFilter.GREATER_THAN: lambda value: (Interval(Cut(value, after=True), _END),),
    PropertyFilter.GREATER_THAN_OR_EQUAL: lambda value: (Interval(Cut(value, after=False), _END),),
}


def _intersect(left: Intervals, right: Intervals) -> Intervals:
    both = (
        Interval(max(a.low, b.low), min(a.high, b.high)) for a, b in itertools.product(left, right)
    )
    return tuple(sorted(interval for interval in both if interval.low < interval.high))


def _conjunction(atoms: tuple[_Atom, ...]) -> Alternative | None:
    """Return the conjunction of comparisons, or None if nothing can match it."""
    equals: set[tuple[str, bytes]] = set()
    ranges: dict[str, Intervals] = {}
    ancestors = {atom.ancestor for atom in atoms if atom.ancestor is not None}
    for atom in atoms:
        if atom.equal is not None:
            equals.add((atom.name, atom.equal))
        elif atom.ancestor is None:
            ranges[atom.name] = _intersect(ranges.get(atom.name, _EVERYTHING), atom.intervals)
    if len(ancestors) > 1:
        raise invalid("Only one HAS_ANCESTOR filter is allowed per query.")
    if not all(ranges.values()) or not _agree(equals, ranges):
        return None
    for name, _ in equals:
        ranges.pop(name, None)
    return Alternative(
        equals=tuple(sorted(equals)),
        keys=ranges.pop(KEY, _EVERYTHING),
        ranges=ranges,
        ancestor=next(iter(ancestors), None),
    )


def _agree(equals: set[tuple[str, bytes]], ranges: dict[str, Intervals]) -> bool:
    """Return whether the equalities satisfy the inequalities of the same properties."""
    return all(contains(ranges[name], value) for name, value in equals if name in ranges)


_EVERYTHING: Intervals = (Interval(_START, _END),)

"""Filters of described queries in disjunctive normal form: conjunctions, joined by OR."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from adjourn.errors import StoreRefusedError
from adjourn.gcp.described_queries import KEY
from adjourn.testing.index_values import Ranked, path_of, ranked

# https://cloud.google.com/datastore/docs/concepts/queries#limitations
_MOST_CONJUNCTIONS = 30
_MOST_NOT_IN = 10

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "NOT_IN": lambda value, others: value not in others,
}


class Comparison(NamedTuple):
    """A comparison of a property or the key with a ranked value, or with several for NOT_IN."""

    name: str
    sign: str
    operand: Any

    def matches(self, value: Ranked) -> bool:
        """Whether the comparison is true for a ranked value."""
        return _OPERATORS[self.sign](value, self.operand)

    @property
    def is_equality(self) -> bool:
        """Whether only one value of the property matches."""
        return self.sign == "=" and self.name != KEY


Conjunction = Sequence[Comparison]


def conjunctions(filters: Sequence[Any]) -> Sequence[Conjunction]:
    """Return the conjunctions, one of which an entry must match.

    Raises:
        StoreRefusedError: Datastore would refuse such filters.
    """
    _check_signs([sign for each in filters for sign in _signs(each)])
    found = _all_of(filters)
    if len(found) > _MOST_CONJUNCTIONS:
        raise StoreRefusedError(
            f"The query has {len(found)} conjunctions that are joined by OR; Datastore takes"
            f" {_MOST_CONJUNCTIONS}."
        )
    return found


def _signs(condition: Any) -> Iterator[str]:
    if isinstance(condition, Mapping):
        ((name, parts),) = condition.items()
        yield name
        for part in parts:
            yield from _signs(part)
    else:
        yield condition[1]


def _check_signs(signs: Sequence[str]) -> None:
    if signs.count("!=") + signs.count("NOT_IN") > 1:
        raise StoreRefusedError("Datastore takes one != or NOT_IN in a query.")
    if "NOT_IN" in signs and {"IN", "OR"} & set(signs):
        raise StoreRefusedError("Datastore takes no NOT_IN beside an IN or OR.")


def _all_of(conditions: Sequence[Any]) -> Sequence[Conjunction]:
    choices = itertools.product(*map(_any_of, conditions))
    return [list(itertools.chain(*chosen)) for chosen in choices]


def _any_of(condition: Any) -> Sequence[Conjunction]:
    if isinstance(condition, Mapping):
        ((name, parts),) = condition.items()
        if not parts:
            raise StoreRefusedError(f"Datastore refuses an {name} of nothing.")
        return [c for part in parts for c in _any_of(part)] if name == "OR" else _all_of(parts)
    name, sign, value = condition
    if sign not in {"IN", "NOT_IN"}:
        return [[Comparison(name, sign, _operand(name, value))]]
    if not isinstance(value, list) or not value:
        raise StoreRefusedError(f"{sign} {value!r:.200}: Datastore takes a list that is not empty.")
    operands = [_operand(name, each) for each in value]
    if sign == "IN":
        return [[Comparison(name, "=", each)] for each in operands]
    if len(operands) > _MOST_NOT_IN:
        raise StoreRefusedError(f"Datastore takes {_MOST_NOT_IN} values in NOT_IN.")
    return [[Comparison(name, sign, operands)]]


def _operand(name: str, value: Any) -> Ranked:
    if name != KEY:
        return ranked(value)
    return value if isinstance(value, list) else path_of(value)  # a path, or the key of one

"""The composite indexes that the service needs for a query; this server makes them by itself.

The rules are those of Google's App Engine SDK (`google.appengine.datastore.datastore_index` of
`appengine-python-standard`) and of https://cloud.google.com/datastore/docs/concepts/indexes: single
properties have built-in indexes, which serve several equalities together. Everything else that has
an order, an inequality, a projection or an aggregation needs an index of its own.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from adjourn_local.datastore.indexes import KEY, Column
from adjourn_local.datastore.query import METADATA_KINDS, Query
from adjourn_local.datastore.query_filters import Alternative


@dataclass(frozen=True, slots=True, order=True)
class CompositeIndex:
    """A composite index, as `index.yaml` or Terraform declares it.

    Attributes:
        kind: The kind of its entities.
        properties: Its properties with their directions.
        ancestor: Whether it includes the ancestors, so that it serves queries below one.
    """

    kind: str
    properties: tuple[Column, ...]
    ancestor: bool = False

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """Return the index of an item of `index.yaml`, or of `written`.

        Raises:
            ValueError: It is no such item; the message says why.
        """
        try:
            kind, ancestor = content["kind"], content.get("ancestor", False)
            columns = tuple(_column(each) for each in content["properties"])
        except (AttributeError, KeyError, TypeError):
            raise ValueError(f"{content!r} has no kind or no properties with names") from None
        if not isinstance(kind, str) or not isinstance(ancestor, bool):
            raise ValueError(f"{content!r} has a kind or an ancestor that is none")  # noqa: TRY004 - of the content
        # Every index ends with the key, in ascending order unless something else is said.
        return cls(kind, columns[:-1] if columns[-1:] == (Column(KEY),) else columns, ancestor)

    def written(self) -> dict[str, Any]:
        """Return the index as JSON, with the names of `index.yaml`."""
        directions = {True: "desc", False: "asc"}
        properties = [{"name": n, "direction": directions[desc]} for n, desc in self.properties]
        return {"kind": self.kind, "ancestor": self.ancestor, "properties": properties}


def _column(content: Mapping[str, Any]) -> Column:
    name, direction = content["name"], content.get("direction", "asc")
    if not isinstance(name, str) or direction not in {"asc", "desc"}:
        raise ValueError(f"{content!r} has no name, or a direction that is neither asc nor desc")
    return Column(name, descending=direction == "desc")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexNeed:
    """What a query needs of a composite index.

    Attributes:
        kind: The kind of the query.
        ancestor: Whether the query has an ancestor.
        equal: The properties that it compares with one value; their order in the index is free.
        order: The properties that come next, in this order.
        unordered: The last properties, which are only read; order and directions are free.
        is_either_way: Whether the direction of `order` is free, too.
    """

    kind: str
    ancestor: bool
    equal: frozenset[str]
    order: tuple[Column, ...]
    unordered: frozenset[str] = frozenset()
    is_either_way: bool = False

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """Return the need that `written` has returned."""
        return cls(
            kind=content["kind"],
            ancestor=content["ancestor"],
            equal=frozenset(content["equal"]),
            order=tuple(Column(*each) for each in content["order"]),
            unordered=frozenset(content["unordered"]),
            is_either_way=content["is_either_way"],
        )

    def written(self) -> dict[str, Any]:
        """Return the need as JSON."""
        return {
            "kind": self.kind,
            "ancestor": self.ancestor,
            "equal": sorted(self.equal),
            "order": [list(column) for column in self.order],
            "unordered": sorted(self.unordered),
            "is_either_way": self.is_either_way,
        }

    @property
    def index(self) -> CompositeIndex:
        """The index that serves the query alone."""
        before = [Column(name) for name in sorted(self.equal)]
        order = [Column(name) for name, _ in self.order] if self.is_either_way else self.order
        after = [Column(name) for name in sorted(self.unordered)]
        return CompositeIndex(self.kind, (*before, *order, *after), self.ancestor)

    def is_met_by(self, indexes: Iterable[CompositeIndex]) -> bool:
        """Return whether one of some indexes, or several that are merged, serve the query."""
        found = [index for index in indexes if self.can_use(index)]
        covered = [self._equal_in(index.properties) or set() for index in found]
        has_ancestor = not self.ancestor or any(index.ancestor for index in found)
        return bool(found) and has_ancestor and set().union(*covered) == self.equal

    def can_use(self, index: CompositeIndex) -> bool:
        """Return whether an index serves the query, if need be together with others."""
        if index.kind != self.kind or (index.ancestor and not self.ancestor):
            return False
        equal = self._equal_in(index.properties)
        return equal is not None and equal <= self.equal

    def _equal_in(self, properties: tuple[Column, ...]) -> set[str] | None:
        """Return what an index has before the properties that must come last, or None."""
        unordered_at = len(properties) - len(self.unordered)
        order_at = unordered_at - len(self.order)
        order = properties[max(order_at, 0) : max(unordered_at, 0)]
        if {column.name for column in properties[max(unordered_at, 0) :]} != self.unordered:
            return None
        if self.is_either_way:
            is_same = [column.name for column in order] == [column.name for column in self.order]
        else:
            is_same = order == self.order
        return {column.name for column in properties[:order_at]} if is_same else None


def needs(query: Query) -> Collection[IndexNeed]:
    """Return what a query needs of composite indexes; nothing if built-in ones serve it."""
    if query.kind is None or query.kind in METADATA_KINDS:
        return ()
    if not query.order and not query.keys_descending:
        return ()
    found = (_need(query, query.kind, each) for each in query.alternatives)
    return dict.fromkeys(need for need in found if not _is_built_in(need))


def _need(query: Query, kind: str, alternative: Alternative) -> IndexNeed:
    equal = {name for name, _ in alternative.equals}
    requested = {order.name for order in query.requested} - equal
    compared = {name for each in query.alternatives for name in each.ranges}
    only_read = {*query.projection, *query.aggregated} - requested - compared - {*query.distinct}
    order = [
        Column(name, descending)
        for name, descending in query.order
        if name not in equal | only_read
    ]
    names = [column.name for column in order]
    if KEY in names and not only_read:
        # Keys are unique: nothing is sorted after them.
        end = names.index(KEY) + 1
        order = order[:end] + [column for column in order[end:] if column.name in compared]
    elif KEY in requested - {*names} and query.keys_descending:
        order.append(Column(KEY, descending=True))
    return IndexNeed(
        kind=kind,
        ancestor=alternative.ancestor is not None,
        equal=frozenset(equal),
        order=tuple(order),
        unordered=frozenset(only_read - equal),
        is_either_way=not requested and len(order) == 1,
    )


def _is_built_in(need: IndexNeed) -> bool:
    """Return whether the service has an index for this without a declaration."""
    if not need.order and not need.unordered:
        return True
    if need.order == (Column(KEY),) and not need.unordered:
        return True
    if Column(KEY, descending=True) in need.order:
        return False
    is_single = len(need.order) + len(need.unordered) == 1
    return is_single and not need.equal and not need.ancestor

"""Parse and check a query.

Its filter becomes alternatives, the conjunctions of the disjunctive normal form; each alternative
becomes one range scan.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from adjourn_local.datastore import keys, query_filters
from adjourn_local.datastore.indexes import KEY
from adjourn_local.datastore.keys import Partition
from adjourn_local.datastore.messages import PropertyOrder, invalid, unsupported
from adjourn_local.datastore.query_filters import Alternative
from adjourn_local.datastore.value_rules import check_name

# https://cloud.google.com/datastore/docs/concepts/metadataqueries
METADATA_KINDS = {"__namespace__", "__kind__", "__property__"}


class SortOrder(NamedTuple):
    """A property path to sort by."""

    name: str
    descending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A checked query.

    `order` is the complete sort order: the `requested` one, then the order that DISTINCT ON,
    inequalities and projection imply. The key is always the last criterion, in the direction
    `keys_descending`; a requested order by key also comes before the implied order.
    """

    partition: Partition
    kind: str | None
    alternatives: tuple[Alternative, ...]
    order: tuple[SortOrder, ...]
    keys_descending: bool
    requested: tuple[SortOrder, ...]
    distinct: tuple[str, ...]
    projection: tuple[str, ...]
    keys_only: bool
    aggregated: tuple[str, ...] = ()

    def fingerprint(self) -> bytes:
        """Return the fingerprint that cursors of this query contain."""
        parts = (
            self.partition,
            self.kind,
            self.alternatives,
            self.order,
            self.keys_descending,
            self.distinct,
            self.aggregated,
        )
        return blake2b(repr(parts).encode(), digest_size=4).digest()


def parse_query(message: Any, partition: Partition, aggregated: tuple[str, ...] = ()) -> Query:
    """Parse a query message; its index rows will contain the `aggregated` properties, too.

    Raises:
        RpcError: The query is invalid, or this server does not support it.
    """
    _check_supported(message)
    kind = message.kind[0].name if message.kind else None
    alternatives = query_filters.alternatives(message.filter, partition)
    projected = [projection.property.name for projection in message.projection]
    distinct = tuple(reference.name for reference in message.distinct_on)
    requested = _requested_order(message)
    for name in (*projected, *distinct, *aggregated, *(order.name for order in requested)):
        check_name("property name", name)
    if kind is None or kind in METADATA_KINDS:
        names = query_filters.compared(message.filter)
        _check_kindless(names, requested, [*projected, *distinct, *aggregated])
    projection = tuple(name for name in projected if name != KEY)
    if projected:
        _check_aggregated(aggregated, projection)
    equated = query_filters.equated(message.filter)
    _check_projection(projected, projection, equated)
    _check_distinct(distinct, requested, equated)
    implied = [
        *distinct,
        *query_filters.inequalities(message.filter),
        *sorted({*projection, *aggregated}),
    ]
    order, descending = _complete(requested, implied, query_filters.fixed_names(alternatives))
    return Query(
        partition=partition,
        kind=kind,
        alternatives=alternatives,
        order=order,
        keys_descending=descending,
        requested=tuple(requested),
        distinct=distinct,
        projection=projection,
        keys_only=bool(projected) and not projection,
        aggregated=aggregated,
    )


def _check_supported(message: Any) -> None:
    if len(message.kind) > 1:
        raise invalid("multiple kinds not supported")
    if message.HasField("find_nearest"):
        raise unsupported("find_nearest is not served by the laptop stack.")
    if message.HasField("limit") and message.limit.value < 0:
        raise invalid("Limit must be non-negative.")
    if message.offset < 0:
        raise invalid("Offset must be non-negative.")
    if message.kind:
        check_name("kind", message.kind[0].name)
    if message.kind and keys.is_reserved(message.kind[0].name):
        _check_reserved_kind(message.kind[0].name)


def _check_reserved_kind(name: str) -> None:
    if name.startswith("__Stat_"):
        raise unsupported(
            f"Statistics ({name}) are not kept by the laptop stack; count with an aggregation"
            " query."
        )
    if name not in METADATA_KINDS:
        raise unsupported(f"Queries on the kind {name} are not served by the laptop stack.")


def _requested_order(message: Any) -> list[SortOrder]:
    found: dict[str, SortOrder] = {}
    for item in message.order:
        name = item.property.name
        if name in found:
            raise invalid(f"order by clause cannot contain duplicate fields {name}")
        found[name] = SortOrder(name, item.direction == PropertyOrder.DESCENDING)
    return list(found.values())


def _check_kindless(names: set[str], requested: list[SortOrder], others: list[str]) -> None:
    if names:
        raise invalid(f"kind is required for filter: {min(names)}")
    if any(order != SortOrder(KEY, descending=False) for order in requested):
        raise invalid("kind is required for all orders except __key__ ascending")
    if any(name != KEY for name in others):
        raise invalid("kind is required for projection, distinct on and aggregation")


def _check_projection(projected: list[str], projection: tuple[str, ...], equated: set[str]) -> None:
    for name in projected:
        if name != KEY and keys.is_reserved(name):
            raise invalid(f'The property "{name}" is reserved and cannot be projected.')
    if len(set(projected)) < len(projected):
        raise invalid("Cannot project a property multiple times.")
    if not equated.isdisjoint(projection):
        raise invalid("Cannot use projection on a property with an equality filter.")


def _check_aggregated(aggregated: tuple[str, ...], projection: tuple[str, ...]) -> None:
    if aggregated and not projection:
        raise invalid(
            "Aggregation over non-key properties is not supported for base query that only"
            " returns keys."
        )
    for name in aggregated:
        if name not in projection:
            raise invalid(
                f"The aggregation property {name} is not present in the base query's projection."
            )


def _check_distinct(
    distinct: tuple[str, ...], requested: list[SortOrder], equated: set[str]
) -> None:
    if len(set(distinct)) < len(distinct):
        raise invalid("Cannot group by a property multiple times.")
    if not equated.isdisjoint(distinct):
        raise invalid("Cannot use group by on a property with an equality filter.")
    unordered = set(distinct)
    for order in requested:
        unordered.discard(order.name)
        if unordered and order.name not in distinct:
            raise invalid(
                "All group by properties must be ordered before any non group by properties."
            )


def _complete(
    requested: list[SortOrder], implied: list[str], fixed: set[str]
) -> tuple[tuple[SortOrder, ...], bool]:
    """Return the complete sort order without a key at its end, and the direction of keys.

    Implied orders have the direction of the last requested one. An order on a property that every
    alternative fixes to one value has no effect and is dropped
    (https://cloud.google.com/datastore/docs/concepts/queries#sort_orders).
    """
    descending = requested[-1].descending if requested else False
    known = fixed | {order.name for order in requested}
    order = [one for one in requested if one.name not in fixed]
    order += [SortOrder(name, descending) for name in dict.fromkeys(implied) if name not in known]
    keys_descending = next((one.descending for one in order if one.name == KEY), descending)
    if order and order[-1].name == KEY:
        order.pop()
    return tuple(order), keys_descending

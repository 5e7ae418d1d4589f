"""A query as the server understands it: parsed, checked, and its filter as alternatives.

Each alternative (a conjunction of the filter's disjunctive normal form) becomes one range scan.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from adjourn_local.datastore import filters, keys
from adjourn_local.datastore.filters import KEY, Alternative
from adjourn_local.datastore.keys import Partition
from adjourn_local.datastore.messages import PropertyOrder, invalid, unsupported


class Order(NamedTuple):
    """A property path to sort by."""

    name: str
    descending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A checked query.

    `order` is complete: what was asked for, then what distinct, inequality and projection imply;
    the key comes last, in the direction `keys_descending`.
    """

    partition: Partition
    kind: str | None
    alternatives: tuple[Alternative, ...]
    order: tuple[Order, ...]
    keys_descending: bool
    distinct: tuple[str, ...]
    projection: tuple[str, ...]
    keys_only: bool
    aggregated: tuple[str, ...] = ()

    def fingerprint(self) -> bytes:
        """Return what a cursor of this query is marked with."""
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


def parse(message: Any, partition: Partition, aggregated: tuple[str, ...] = ()) -> Query:
    """Return the query of a message, whose rows shall also hold the `aggregated` properties.

    Raises:
        RpcError: The service refuses such a query, or this server does not know it.
    """
    _check_supported(message)
    kind = message.kind[0].name if message.kind else None
    alternatives = filters.alternatives(message.filter, partition)
    projected = [projection.property.name for projection in message.projection]
    distinct = tuple(reference.name for reference in message.distinct_on)
    explicit, key_order = _explicit_order(message)
    if kind is None:
        projected += aggregated
        _check_kindless(alternatives, explicit, projected, distinct, descending=key_order is True)
    projection = tuple(name for name in projected if name != KEY)
    _check_projection(projected, projection, alternatives)
    _check_distinct(distinct, explicit, alternatives)
    order, descending = _complete(
        explicit, alternatives, distinct, (*projection, *aggregated), key_order=key_order
    )
    return Query(
        partition=partition,
        kind=kind,
        alternatives=alternatives,
        order=order,
        keys_descending=descending,
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
    if message.kind and not message.kind[0].name:
        raise invalid("The kind is the empty string.")
    if message.kind and keys.is_reserved(message.kind[0].name):
        name = message.kind[0].name
        raise unsupported(f"Queries on the kind {name} are not served by the laptop stack.")


def _explicit_order(message: Any) -> tuple[list[Order], bool | None]:
    """Return the orders up to the key, and the key's direction (None if it is not ordered by)."""
    orders: list[Order] = []
    seen = set()
    key_order = None
    for item in message.order:
        name = item.property.name
        if name in seen:
            raise invalid(f"order by clause cannot contain duplicate fields {name}")
        seen.add(name)
        descending = item.direction == PropertyOrder.DESCENDING
        if key_order is None and name == KEY:
            key_order = descending
        elif key_order is None:
            orders.append(Order(name, descending))
    return orders, key_order


def _check_kindless(
    alternatives: tuple[Alternative, ...],
    explicit: list[Order],
    projected: list[str],
    distinct: tuple[str, ...],
    *,
    descending: bool,
) -> None:
    names = {name for one in alternatives for name in one.property_names()}
    if names:
        raise invalid(f"kind is required for filter: {min(names)}")
    if explicit or descending:
        raise invalid("kind is required for all orders except __key__ ascending")
    if [name for name in projected if name != KEY] or distinct:
        raise invalid("kind is required for projection and distinct on")


def _check_projection(
    projected: list[str], projection: tuple[str, ...], alternatives: tuple[Alternative, ...]
) -> None:
    if len(set(projected)) < len(projected):
        raise invalid("Cannot project a property multiple times.")
    if any(name in projection for one in alternatives for name, _ in one.equals):
        raise invalid("Cannot use projection on a property with an equality filter.")


def _check_distinct(
    distinct: tuple[str, ...], explicit: list[Order], alternatives: tuple[Alternative, ...]
) -> None:
    unordered = set(distinct) - filters.fixed_names(alternatives)
    for order in explicit:
        unordered.discard(order.name)
        if unordered and order.name not in distinct:
            raise invalid(
                "All group by properties must be ordered before any non group by properties."
            )


def _complete(
    explicit: list[Order],
    alternatives: tuple[Alternative, ...],
    distinct: tuple[str, ...],
    projection: tuple[str, ...],
    *,
    key_order: bool | None,
) -> tuple[tuple[Order, ...], bool]:
    """Add the implied orders: they take the direction of the last explicit one.

    An order on a property that every alternative fixes to one value changes nothing and is dropped
    (https://cloud.google.com/datastore/docs/concepts/queries#sort_orders).
    """
    fixed = filters.fixed_names(alternatives)
    descending = explicit[-1].descending if explicit else False
    if key_order is not None:
        descending = key_order
    names = [order.name for order in explicit]
    inequalities = sorted({name for one in alternatives for name in one.ranges})
    for name in (*distinct, *inequalities, *sorted(projection)):
        if name not in names:
            names.append(name)
            explicit = [*explicit, Order(name, descending)]
    order = (one for one in explicit if one.name not in fixed or one.name in inequalities)
    return tuple(order), descending

"""Read all shards of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from adjourn.batches.children import Child, Children, Counts
from adjourn.batches.place import Kind, Place
from adjourn.batches.records import BatchRecord
from adjourn.batches.shards import Shard, shard_key
from adjourn.ports import EntityStore

_SHARDS = {Kind.SHARD, Kind.GROWN}
# Each may have some ten thousand bytes, and a gRPC client accepts responses of 4 MiB by default.
_READ_AT_ONCE = 100


class Found(NamedTuple):
    """A child and where it is registered."""

    child: Child
    place: Place


def shards_below(
    store: EntityStore, children: Children, follows: Callable[[Child], bool] = lambda _: True
) -> Iterator[Shard]:
    """Yield the shards that are registered among some children, and in those shards.

    Args:
        store: Where they are.
        children: The children.
        follows: Whether to read a shard.

    Raises:
        StoreError: Datastore could not be reached.
    """
    names = _names(children, follows)
    while names:
        part, names = names[:_READ_AT_ONCE], names[_READ_AT_ONCE:]
        records = store.get([shard_key(name) for name in part])
        for name, record in zip(part, records, strict=True):
            shard = Shard.of(name, record)
            if shard is not None:
                names = [*names, *_names(shard.children, follows)]
                yield shard


def added_in(store: EntityStore, shard: Shard, adder: str) -> Iterator[Shard]:
    """Yield all shards with what a child may have added: its own, and those that it has made.

    Args:
        store: Where they are.
        shard: The shard of the child.
        adder: Its key in hexadecimal.

    Raises:
        StoreError: Datastore could not be reached.
    """
    yield shard
    for child in shard.children.each():
        if child.kind is Kind.GROWN:
            name = child.key.hex()
            top = Shard.of(name, store.get([shard_key(name)])[0])
            if top is not None and top.scope == adder:
                yield top
                yield from shards_below(store, top.children, is_own)


def is_own(child: Child) -> bool:
    """Whether it is a shard of the same scope as that in which it is registered."""
    return child.kind is Kind.SHARD


def children_of(store: EntityStore, record: BatchRecord) -> Iterator[Found]:
    """Yield all calls, runs and nested batches of a batch; errors are those of `shards_below`."""
    for shard in shards_below(store, record.children):
        yield from found_in(shard)


def found_in(shard: Shard) -> Iterator[Found]:
    """Yield the calls, runs and nested batches that are registered in a shard itself."""
    for child in shard.children.each():
        if child.kind not in _SHARDS:
            yield Found(child, Place(shard.batch, shard.name, child.key.hex()))


def calls_in_order(store: EntityStore, record: BatchRecord) -> Iterator[Found]:
    """Yield the calls of a batch: those of the block as it has added them, then all others.

    Errors are those of `shards_below`.
    """
    for name in _names(record.children, is_own):
        top = Shard.of(name, store.get([shard_key(name)])[0])
        parts = [top, *shards_below(store, top.children, is_own)] if top else []
        # Neighbours were registered in different shards.
        for row in zip_longest(*(part.children.each() for part in parts)):
            for part, child in zip(parts, row, strict=True):
                if child is not None and child.kind is Kind.CALL:
                    yield Found(child, Place(part.batch, part.name, child.key.hex()))
    for found in children_of(store, record):
        if found.child.kind is Kind.ADDED:
            yield found


def counted(store: EntityStore, record: BatchRecord) -> tuple[int, Counts]:
    """Return how many children a batch has, and how many of them have ended.

    Raises:
        StoreError: Datastore could not be reached.
    """
    if record.ended_at is not None:
        return sum(record.children.counts), record.children.counts
    total, counts = 0, Counts()
    for shard in shards_below(store, record.children):
        for child in shard.children.each():
            if child.kind not in _SHARDS:
                total += 1
                counts = counts.plus(Counts.of(child.state))
    return total, counts


def _names(children: Children, follows: Callable[[Child], bool]) -> Sequence[str]:
    shards = (each for each in children.each() if each.kind in _SHARDS)
    return [each.key.hex() for each in shards if follows(each)]

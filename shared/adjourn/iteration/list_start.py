"""Store the list of a run, and cut it into parts of about the same size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, pairwise

from adjourn.iteration import stored_lists
from adjourn.iteration.item_lists import ItemList
from adjourn.iteration.list_queries import described
from adjourn.iteration.split import SHARDS_EACH, Parts
from adjourn.ports import Adapters
from adjourn.serialization.codec import Codec


def stored_parts(
    adapters: Adapters,
    items: Iterable[bytes],
    *,
    are_keys: bool,
    keys_only: bool,
    shards: int = 1,
) -> Parts:
    """Return a list, stored while it is read, in parts.

    Args:
        adapters: The outside world.
        items: The items of the list, encoded.
        are_keys: Whether they are keys.
        keys_only: Whether the hooks get entities that have only their keys.
        shards: How many parts are to be worked on at the same time.

    Raises:
        Exception: As for `stored_lists.store`.
    """
    list_id = adapters.new_id()
    stored = stored_lists.store(adapters, list_id, items)
    whole = described(list_id, are_keys=are_keys, keys_only=keys_only)
    cuts = stored.cuts(shards * SHARDS_EACH if shards > 1 else 1)
    queries = [{**whole, "start": start, "end": end} for start, end in pairwise(cuts)]
    return Parts({**whole, "start": cuts[0], "end": cuts[-1]}, queries, stored.total, stored)


def encoded(
    adapters: Adapters, codec: Codec, items: ItemList, limit: int | None
) -> Iterator[bytes]:
    """Yield the items of a list encoded, up to so many.

    Raises:
        DeclarationError: An item cannot be read, or is not a key of this database.
        EncodeError: An item cannot be encoded.
        Exception: What the list raises.
    """
    for number, item in enumerate(islice(items.items(), limit), 1):
        if items.are_keys:
            adapters.queries.check_key(item)
        yield codec.dumps(item, f"item {number}")

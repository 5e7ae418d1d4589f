"""Pages of the items of a stored list, for runs that go over one instead of a query."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

from adjourn.errors import StoreRefusedError
from adjourn.iteration import stored_lists
from adjourn.iteration.runs import Run
from adjourn.ports import Adapters, Page
from adjourn.serialization.codec import Codec

_KEY = "__key__"


def described(list_id: str, *, are_keys: bool, keys_only: bool) -> dict[str, Any]:
    """Return what stands for the query of a run over a list.

    Args:
        list_id: Of the list.
        are_keys: Whether its items are keys.
        keys_only: Whether the hooks get entities that have only their keys.
    """
    projection = [_KEY] if keys_only else []
    return {"list": list_id, "keys": are_keys, "projection": projection, "distinct_on": []}


def let_go_of_list(adapters: Adapters, run: Run, after: dt.timedelta = dt.timedelta()) -> None:
    """Delete the list of a run that has ended, if it has one, at once or after some time."""
    query = json.loads(run.query) if b'"list"' in run.query else {}
    if list_id := query.get("list"):
        stored_lists.let_go(adapters, list_id, after)


class ListQueries:
    """Reads described lists as `QuerySource` reads queries.

    A position is the number of a piece and that of an item in it, such as "12:345".
    """

    def __init__(self, adapters: Adapters, codec: Codec) -> None:
        self._store = adapters.store
        self._queries = adapters.queries
        self._codec = codec
        self._last: tuple[int, int, list[bytes]] | None = None

    def page(self, query: Mapping[str, Any], *, cursor: str, limit: int) -> Page:
        """Return up to `limit` items behind a position. What is gone is None.

        Raises:
            StoreRefusedError: A piece of the list is missing.
            StoreError: Datastore could not be reached.
        """
        piece, index = _parsed(cursor or query["start"])
        end = _parsed(query["end"])
        if (piece, index) >= end:
            return Page(entries=(), cursors=(), more=False)
        first, texts = self._piece(query, piece)
        last = min(end[1] if piece == end[0] else len(texts), index + limit)
        places = [(piece, n) for n in range(index + 1, last + 1)]
        if last == len(texts):
            places[-1] = (piece + 1, 0)
        items = [self._codec.loads(text) for text in texts[index:last]]
        references: Sequence[object] = items
        entries: Sequence[object] = items
        if query["keys"]:
            entries = self._queries.find(query, items)
        else:
            references = [f"row {first + n + 1} at {piece}:{n}" for n in range(index, last)]
        cursors = [f"{piece}:{index}" for piece, index in places]
        return Page(entries, cursors, more=places[-1] < end, references=references)

    def find(self, query: Mapping[str, Any], references: Sequence[Any]) -> Sequence[object | None]:
        """Return the items of references that a page had; errors are those of `page`."""
        if query["keys"]:
            return self._queries.find(query, references)
        return [self._codec.loads(self.encoded(query, each)) for each in references]

    def encoded(self, query: Mapping[str, Any], reference: str) -> bytes:
        """Return the row of a reference as it is stored; errors are those of `page`."""
        piece, index = _parsed(reference.rpartition(" ")[2])
        return self._piece(query, piece)[1][index]

    def _piece(self, query: Mapping[str, Any], number: int) -> tuple[int, list[bytes]]:
        """Return the number of a piece's first item, and its items encoded."""
        last = self._last
        if last is None or last[0] != number:
            found = stored_lists.read(self._store, query["list"], number)
            if found is None:
                raise StoreRefusedError(
                    f"Piece {number} of the list {query['list']} is missing in Datastore (kind"
                    f" {stored_lists.KIND})"
                )
            last = self._last = (number, *found)
        return last[1], last[2]


def _parsed(position: str) -> tuple[int, int]:
    piece, index = position.split(":")
    return int(piece), int(index)

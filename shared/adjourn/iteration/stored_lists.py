"""Lists of keys or rows, stored in pieces while they are read, and the pages that runs read.

A list has an entity of its own, which says since when no run uses it: while it is being stored, and
after its run. So what a start leaves behind that died half-way is found and deleted.
"""

from __future__ import annotations

import datetime as dt
import logging
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from adjourn.errors import AdjournError, ConflictError, EncodeError, StoreError
from adjourn.log import event
from adjourn.ports import Adapters, EntityStore, Record, RecordKey, Transaction

KIND = "AdjournList"
UNINDEXED = frozenset({"data", "first", "pieces"})

# Longer than anybody pauses a run. A TTL policy removes what is left.
_KEPT = dt.timedelta(days=400)

_MOST_ITEMS = 1000  # of a piece
_PIECE_SIZE = 400_000  # bytes before they are compressed; then the piece is full
_LARGEST_ITEM = 500_000  # bytes, so that a piece fits into an entity
_AT_ONCE = 8  # pieces

# A start that stores nothing for so long is dead.
_QUIET = dt.timedelta(hours=1)
_SIGN_OF_LIFE = dt.timedelta(minutes=5)


class StoredList(NamedTuple):
    """A list whose items are all stored.

    Attributes:
        id: Of the list.
        version: Of its entity.
        counts: The number of items in each piece.
    """

    id: str
    version: int
    counts: Sequence[int]

    @property
    def total(self) -> int:
        """The number of items."""
        return sum(self.counts)

    def cuts(self, parts: int) -> list[str]:
        """Return the positions between which up to so many parts of the same size lie."""
        number = max(1, min(parts, self.total))
        return [self._position(self.total * n // number) for n in range(number + 1)]

    def _position(self, item: int) -> str:
        """Return the number of the piece, and of the item in it, by the number of the item."""
        for piece, count in enumerate(self.counts):
            if item < count:
                return f"{piece}:{item}"
            item -= count
        return f"{len(self.counts)}:0"


def store(adapters: Adapters, list_id: str, items: Iterable[bytes]) -> StoredList:
    """Store a list while its items are read. If that fails, nothing of it is left.

    Args:
        adapters: The outside world.
        list_id: Id of the new list.
        items: The items, each encoded as a line of text.

    Raises:
        EncodeError: An item is too large.
        StoreError: Datastore could not be reached, or the list was deleted because nothing was
            added to it for an hour.
        Exception: What the iterable raises.
    """
    writer = _Writer(adapters, list_id)
    try:
        for item in items:
            writer.add(item)
        return writer.finish()
    except BaseException:
        writer.discard()
        raise


def begin(transaction: Transaction, stored: StoredList, now: dt.datetime) -> None:
    """Say that a run uses a list, in the transaction that stores the run.

    Raises:
        StoreError: The list was deleted meanwhile.
    """
    key = RecordKey(KIND, stored.id)
    (found,) = transaction.read([key])
    if found is None or found.version != stored.version:
        raise StoreError("The list was deleted before its run began, because that took too long.")
    record: Record = {"pieces": len(stored.counts), "expires_at": now + _KEPT}
    transaction.put(key, record, unindexed=UNINDEXED)


def read(store: EntityStore, list_id: str, piece: int) -> tuple[int, list[bytes]] | None:
    """Return the number of a piece's first item, and its items encoded; None if it is missing.

    Raises:
        StoreError: Datastore could not be reached.
    """
    (record,) = store.get([_piece_key(list_id, piece)])
    if record is None:
        return None
    data, first = record["data"], record["first"]
    return int(first), zlib.decompress(data).split(b"\n")  # type: ignore[arg-type]


def let_go(adapters: Adapters, list_id: str, after: dt.timedelta = dt.timedelta()) -> None:
    """Delete a list that its run does not use any more, at once or after some time.

    If that fails, `sweep` does it.
    """
    now = adapters.clock.now()
    try:
        if _is_marked(adapters, list_id, now + after) and not after:
            _delete(adapters.store, list_id)
    except AdjournError as error:
        text = f"The list {list_id} was not deleted; it is deleted later"
        event("list.kept", logging.WARNING, text, error=error)


def sweep(adapters: Adapters) -> int:
    """Delete the lists that no run uses; return how many they were.

    Raises:
        StoreError: Datastore could not be reached.
    """
    now = adapters.clock.now()
    unused = adapters.store.query(KIND, by="unused_since", before=now - _QUIET)
    count = 0
    for list_id, _ in unused:
        # Its entity changes first, which shuts out a start that was only slow.
        if _is_marked(adapters, list_id, now, was_before=now - _QUIET):
            _delete(adapters.store, list_id)
            count += 1
    return count


def _is_marked(
    adapters: Adapters, list_id: str, since: dt.datetime, was_before: dt.datetime | None = None
) -> bool:
    """Note since when no run uses a list; False if it is gone, or used again.

    Args:
        adapters: The outside world.
        list_id: Of the list.
        since: The time to note.
        was_before: The list must have been unused since an earlier time than this, if any.
    """
    key = RecordKey(KIND, list_id)

    def work(transaction: Transaction) -> bool:
        (record,) = transaction.get([key])
        if record is None:
            return False
        unused = record.get("unused_since")
        if was_before is not None and not (isinstance(unused, dt.datetime) and unused < was_before):
            return False
        transaction.put(key, {**record, "unused_since": since}, unindexed=UNINDEXED)
        return True

    return adapters.store.transact(work)


class _Writer:
    """Writes the pieces of a list, some at a time."""

    def __init__(self, adapters: Adapters, list_id: str) -> None:
        self._adapters = adapters
        self._store = adapters.store
        self._id = list_id
        self._key = RecordKey(KIND, list_id)
        self._written_at = adapters.clock.now()
        self._until = self._written_at + _KEPT
        self._texts: list[bytes] = []
        self._size = 0
        self._total = 0
        self._counts: list[int] = []
        self._pieces: dict[RecordKey, Record] = {}
        self._store.put(self._key, self._record(), unindexed=UNINDEXED)
        self._version = self._read_version()

    def add(self, text: bytes) -> None:
        """Add an encoded item.

        Raises:
            EncodeError: It is too large.
        """
        if len(text) > _LARGEST_ITEM:
            raise EncodeError(
                f"item {self._total + len(self._texts) + 1} takes {len(text):,} bytes and may take"
                f" {_LARGEST_ITEM:,}; store it in an entity and list its key"
            )
        if self._size + len(text) > _PIECE_SIZE or len(self._texts) == _MOST_ITEMS:
            self._end_piece()
        self._texts.append(text)
        self._size += len(text)
        if self._adapters.clock.now() - self._written_at > _SIGN_OF_LIFE:
            self._write()

    def finish(self) -> StoredList:
        """Write what is left."""
        self._end_piece()
        self._write()
        return StoredList(self._id, self._version, self._counts)

    def discard(self) -> None:
        """Delete what was written."""
        with suppress(AdjournError):  # `sweep` finds it
            _delete(self._store, self._id, len(self._counts))

    def _end_piece(self) -> None:
        if not self._texts:
            return
        data, key = zlib.compress(b"\n".join(self._texts)), _piece_key(self._id, len(self._counts))
        self._pieces[key] = {"data": data, "first": self._total, "expires_at": self._until}
        self._counts.append(len(self._texts))
        self._total += len(self._texts)
        self._texts, self._size = [], 0
        if len(self._pieces) == _AT_ONCE:
            self._write()

    def _write(self) -> None:
        """Write the pieces that are full, and that the list is still being stored."""
        if self._pieces:
            self._store.put_many(self._pieces, unindexed=UNINDEXED)
            self._pieces = {}
        record = self._record()
        try:
            self._version = self._store.replace(
                self._key, record, version=self._version, unindexed=UNINDEXED
            )
        except ConflictError:
            (found,) = self._store.read([self._key])
            if found is None or dict(found.record) != record:  # else only the response was lost
                raise StoreError(
                    "The list was deleted, because nothing was added to it for an hour."
                ) from None
            self._version = found.version

    def _record(self) -> Record:
        self._written_at = now = self._adapters.clock.now()
        return {"pieces": len(self._counts), "unused_since": now, "expires_at": self._until}

    def _read_version(self) -> int:
        (found,) = self._store.read([self._key])
        if found is None:
            raise StoreError("The list was deleted while it was being stored.")
        return found.version


def _delete(store: EntityStore, list_id: str, pieces: int | None = None) -> None:
    """Delete the pieces of a list, and then its entity."""
    if pieces is None:
        (record,) = store.get([RecordKey(KIND, list_id)])
        written = record["pieces"] if record else 0
        # The last ones may have been written after that was said.
        pieces = int(written) + _AT_ONCE if isinstance(written, int) else 0
    store.delete_many([_piece_key(list_id, number) for number in range(pieces)])
    store.delete_many([RecordKey(KIND, list_id)])


def _piece_key(list_id: str, number: int) -> RecordKey:
    return RecordKey(KIND, f"{list_id}-{number}")

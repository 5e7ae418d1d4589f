"""Counts and pages of the records that adjourn stores, for kinds with many of them.

Every query needs the automatic indexes of single properties alone.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from google.cloud.datastore import Client
from google.cloud.datastore.query import PropertyFilter

from adjourn.concurrency import in_parallel
from adjourn.gcp.datastore_api import translated
from adjourn.ports import Record
from adjourn_local.console.costs import spend
from adjourn_local.console.formats import AddressError

# One read is billed for up to 1,000 index entries that an aggregation counts:
# https://cloud.google.com/datastore/docs/aggregation-queries#pricing
_COUNTED_PER_READ = 1000
MOST_VALUES = 200
T = TypeVar("T")
R = TypeVar("R")
_CURSOR = re.compile("[A-Za-z0-9_=-]{1,2000}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of records.

    Attributes:
        rows: Names and records.
        next: The cursor of the next page, which may turn out to be empty; None if this is the last.
    """

    rows: Sequence[tuple[str, Record]]
    next: str | None


class Records:
    """The stored records of a deployment, through Google's client.

    Args:
        client: Returns the client.
        is_here: Whether Datastore runs in this process, whose threads would wait for each other.
    """

    def __init__(self, client: Callable[[], Client], *, is_here: bool = False) -> None:
        self._client = client
        self._is_here = is_here

    def together(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return the results of work for each item, in order; at the same time where that helps."""
        return [work(each) for each in items] if self._is_here else in_parallel(work, items)

    def count(
        self,
        kind: str,
        equal: Mapping[str, object] | None = None,
        *,
        begins: tuple[str, str] | None = None,
    ) -> int:
        """Return how many records have these values, or a property that begins with a text.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """
        with translated():
            query = self._query(kind, equal or {}, begins)
            aggregation = self._client().aggregation_query(query).count(alias="all")
            (result,) = next(iter(aggregation.fetch()))
        number = int(result.value)
        spend(reads=max(1, -(-number // _COUNTED_PER_READ)))
        return number

    def values(self, kind: str, by: str) -> list[str]:
        """Return the distinct texts of a property, at most 200.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """
        if self._is_here:  # it reads all rows of an index to find distinct ones
            return list(islice(self._skipping(kind, by), MOST_VALUES))
        with translated():
            query = self._client().query(kind=kind, projection=[by], distinct_on=[by], order=[by])
            found = [str(each[by]) for each in query.fetch(limit=MOST_VALUES)]
        spend(reads=1)
        return found

    def least(self, kind: str, by: str, above: str | None) -> tuple[str, Record] | None:
        """Return the record with the least text in a property, above another one if that is given.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """
        with translated():
            query = self._client().query(kind=kind, order=[by])
            operator, text = (">=", "") if above is None else (">", above)
            query.add_filter(filter=PropertyFilter(by, operator, text))
            found = [(str(each.key.name), dict(each)) for each in query.fetch(limit=1)]
        spend(reads=1)
        return found[0] if found else None

    def page(
        self,
        kind: str,
        *,
        size: int,
        latest: str | None = None,
        equal: Mapping[str, object] | None = None,
        begins: tuple[str, str] | None = None,
        after: str | None = None,
    ) -> Page:
        """Return a page of records.

        Args:
            kind: The kind.
            size: How many at most.
            latest: The property of whose times the latest come first; by name if None.
            equal: Only records with these values; not together with `latest`, which would need a
                composite index.
            begins: Only records whose property of this name begins with a text, the greatest first.
            after: The cursor of the page before.

        Raises:
            StoreError: Datastore could not be reached or refused.
            AddressError: The cursor is none.
        """
        with translated():
            query = self._query(kind, equal or {}, begins)
            if by := begins[0] if begins else latest:
                query.order = [f"-{by}"]
            results = query.fetch(limit=size, start_cursor=cursor(after))
            rows = [(str(each.key.name), dict(each)) for each in results]
            spend(reads=max(1, len(rows)))
        return Page(rows=rows, next=next_page(results, len(rows), size))

    def _skipping(self, kind: str, by: str) -> Iterator[str]:
        found = self.least(kind, by, None)
        while found is not None:
            text = str(found[1][by])
            yield text
            found = self.least(kind, by, text)

    def _query(self, kind: str, equal: Mapping[str, object], begins: tuple[str, str] | None) -> Any:
        query = self._client().query(kind=kind)
        for name, value in equal.items():
            query.add_filter(filter=PropertyFilter(name, "=", value))
        if begins:
            name, text = begins
            query.add_filter(filter=PropertyFilter(name, ">=", text))
            beyond = f"{text[:-1]}{chr(ord(text[-1]) + 1)}"
            query.add_filter(filter=PropertyFilter(name, "<", beyond))
        return query


def next_page(results: Any, found: int, size: int) -> str | None:
    """Return the cursor behind a page that is full, None behind the last one."""
    token = results.next_page_token
    return token.decode() if token is not None and found == size else None


def cursor(text: str | None) -> bytes | None:
    """Return the cursor of an address.

    Raises:
        AddressError: It is none.
    """
    if text is None:
        return None
    if not _CURSOR.fullmatch(text):
        raise AddressError(f"{text!r} is not the address of a page")
    return text.encode()

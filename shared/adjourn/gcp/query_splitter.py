"""Where a query is split: at keys that cut its results into parts of about the same size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adjourn.gcp import described_queries as queries
from adjourn.gcp.datastore_api import translated
from adjourn.gcp.described_queries import KEY, DescribedQuery, between

if TYPE_CHECKING:
    from google.cloud.datastore import Key, Query

# So many keys for each part make parts of about the same size.
_SAMPLE = 32
_SMALLEST_SAMPLE = 8
# Up to so many times as many results are skipped if a sample has too few of their keys.
_CHEAPLY_SKIPPED = 10


@dataclass(kw_only=True, eq=False, repr=False)
class QuerySplitter:
    """Finds the keys at which a query is split.

    Attributes:
        query: Returns the query of a description.
        ranges: Returns the parts of a query that leave out adjourn's own entities.
        count: Counts the results of a query.
        most_skipped: Up to so many results, a query is split by skipping, not by a sample.
    """

    query: Callable[[DescribedQuery], Query]
    ranges: Callable[[DescribedQuery], Sequence[DescribedQuery]]
    count: Callable[[DescribedQuery], int]
    most_skipped: int

    def cuts(self, query: DescribedQuery, parts: int) -> list[Key]:
        """Return the first keys of all parts but the first; none if there are too few results.

        Raises:
            StoreError: Datastore could not be reached or refused.
        """
        total = sum(map(self.count, self.ranges(query)))
        number = min(total, parts)
        with translated():
            return self._sampled(query, total, number) or self._skipped(query, total, number)

    def _sampled(self, query: DescribedQuery, total: int, parts: int) -> list[Key]:
        """Return the first keys of all parts but the first, from a random sample of the kind.

        Return none if the sample is too small, or if the service refuses `__scatter__`, the
        property that orders it: Apache Beam relies on it, but Datastore does not document it.
        """
        from google.api_core.exceptions import FailedPrecondition, InvalidArgument

        if total <= self.most_skipped or query["kind"] is None:
            return []
        of_kind = {
            **query,
            "ancestor": None,
            "filters": [],
            "projection": [KEY],
            "order": ["__scatter__"],
        }
        try:
            found = [entity.key for entity in self.query(of_kind).fetch(limit=parts * _SAMPLE)]
        except (FailedPrecondition, InvalidArgument):
            return []
        if queries.is_whole_kind(query):
            is_enough = len(found) >= parts * _SMALLEST_SAMPLE
            return queries.sampled_cuts(found, parts) if is_enough else []
        cuts = self._counted(query, (None, None), queries.sorted_keys(found), total, parts)
        is_cheap = total <= _CHEAPLY_SKIPPED * self.most_skipped
        return [] if is_cheap and 2 * len(cuts) < parts else cuts

    def _counted(
        self,
        query: DescribedQuery,
        ends: tuple[Key | None, Key | None],
        sample: Sequence[Key],
        total: int,
        parts: int,
    ) -> list[Key]:
        """Return the keys of a sample that cut a query into parts of about the same size.

        The sample is that of the whole kind, of which the query may have only a small range. So the
        results on both sides of its middle key are counted, and each side is cut into its share of
        the parts.

        Args:
            query: The query.
            ends: The first key, and the key behind the last one; None if there is none.
            sample: The keys between them, in order.
            total: How many results there are between them.
            parts: How many parts to make of them.
        """
        if parts < 2 or not sample:  # noqa: PLR2004 - a single part needs no cut
            return []
        middle, (low, high) = len(sample) // 2, ends
        key = sample[middle]
        before, after = (low, key), (key, high)
        left = self.count(between(query, *before))
        if left <= 0:
            return self._counted(query, after, sample[middle + 1 :], total, parts)
        if left >= total:
            return self._counted(query, before, sample[:middle], total, parts)
        share = min(parts - 1, max(1, round(parts * left / total)))
        return [
            *self._counted(query, before, sample[:middle], left, share),
            key,
            *self._counted(query, after, sample[middle + 1 :], total - left, parts - share),
        ]

    def _skipped(self, query: DescribedQuery, total: int, parts: int) -> list[Key]:
        """Return the first keys of all parts but the first, by skipping to each of them."""
        places = [total * n // parts for n in range(1, parts)]
        ranges = self.ranges({**query, "projection": [KEY]})
        cuts, begin = list[Any](), 0
        for number, each in enumerate(ranges, 1):
            end = total if number == len(ranges) else begin + self.count(each)
            at, low = begin, None
            for place in (place for place in places if begin <= place < end):
                rest = self.query(between(each, low, None))
                found = [entity.key for entity in rest.fetch(offset=place - at, limit=1)]
                if not found:
                    break  # others deleted entities meanwhile
                cuts += found
                at, low = place, found[0]
            begin = end
        return cuts

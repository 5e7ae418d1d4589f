"""Split the query of a run into shards."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from adjourn.iteration.stored_lists import StoredList
from adjourn.log import event
from adjourn.ports import QuerySource

# More shards than are walked over at a time, so that uneven ones even out.
SHARDS_EACH = 4


class Parts(NamedTuple):
    """What a run goes over, in parts.

    Attributes:
        described: The whole of it.
        queries: A query for each shard.
        total: How many entities it has.
        stored: The stored list that it is, if it is one.
    """

    described: Mapping[str, object]
    queries: Sequence[Mapping[str, object]]
    total: int
    stored: StoredList | None = None


def split(
    queries: QuerySource, query: Mapping[str, object], at_a_time: int, run_id: str
) -> Sequence[Mapping[str, object]]:
    """Return a query for each shard. Between them they have all results, each once.

    A query that cannot be split is logged, and so is what may surprise while it is walked over.

    Args:
        queries: Splits it.
        query: What `QuerySource.describe` returned.
        at_a_time: How many shards are to be walked over at the same time.
        run_id: Of the run, for the log.

    Raises:
        StoreError: Datastore could not be reached.
    """
    shards: Sequence[Mapping[str, object]] = [query]
    reason = ""
    if at_a_time > 1:
        shards, reason = queries.split(query, at_a_time * SHARDS_EACH)
    for warning in queries.warnings(query):
        event("iteration.warning", logging.WARNING, warning, run=run_id)
    if reason:
        text = f"The query is walked over as a whole: {reason}"
        event("iteration.whole", logging.WARNING, text, run=run_id)
    return shards

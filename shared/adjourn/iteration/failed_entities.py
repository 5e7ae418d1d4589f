"""All entities that a run gave up: listed, and handled once more by a run of their own.

A shard keeps the latest of them in its record. When they take too much room there, they become a
page: a large payload that has the reference of the page before it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from adjourn.errors import DeclarationError
from adjourn.iteration import stored_lists
from adjourn.iteration.custom_data import CustomData
from adjourn.iteration.list_queries import ListQueries
from adjourn.iteration.list_start import stored_parts
from adjourn.iteration.runs import UNINDEXED, Run, run_key
from adjourn.iteration.shards import UNINDEXED as SHARD_UNINDEXED
from adjourn.iteration.shards import RunError, Shard
from adjourn.iteration.split import Parts
from adjourn.iteration.status import Status
from adjourn.log import event
from adjourn.ports import Adapters, Transaction
from adjourn.serialization.codec import Codec
from adjourn.state.large_payloads import LargePayloads

_KEY = "__key__"
_MOST_INSIDE = 50_000


class FailedEntity(NamedTuple):
    """An entity that was given up.

    Attributes:
        entry: Its key, as text for people.
        message: Type and message of the exception.
        reference: What finds it again, encoded as JSON.
    """

    entry: str
    message: str
    reference: str


def with_failed(
    custom_data: CustomData, kept: bytes, failed: Sequence[tuple[str, str, object]], name: str
) -> bytes:
    """Return what a shard keeps after further entities were given up.

    Args:
        custom_data: Stores a page, if it becomes one.
        kept: What the shard keeps.
        failed: The further entities: as text, the error, and what finds them.
        name: Name of the page.

    Raises:
        EncodeError: A page would be larger than 32 MiB.
        StoreError: A page could not be written.
    """
    before, entities = json.loads(kept) if kept else ("", [])
    encode = custom_data.codec.dumps
    new = [FailedEntity(*each[:2], encode(each[2]).decode()) for each in failed]
    encoded = json.dumps([before, [*entities, *new]]).encode()
    if len(encoded) <= _MOST_INSIDE:
        return encoded
    page = custom_data.store(encoded, name, most_inside=0)
    return json.dumps([page.decode(), []]).encode()


def most_errors(allowed: float, run: Run, others: Sequence[Shard]) -> int:
    """Return how many entities a shard may give up before the run stops.

    Args:
        allowed: The class's `max_failures`.
        run: The run.
        others: Its other shards, as far as they are recorded.
    """
    # As a float, 0.29 of 100 is a little less than 29.
    most = int(round(allowed * run.total, 6)) if type(allowed) is float else int(allowed)
    return most + run.forgiven - sum(each.errors for each in others)


def failures(adapters: Adapters, shards: Sequence[Shard]) -> Iterator[RunError]:
    """Yield all entities that shards gave up; of each shard, the page with the latest ones first.

    Raises:
        StoreError: Datastore could not be reached.
    """
    found = _failed(_custom_data(adapters), shards)
    return (RunError(each.entry, each.message) for each in found)


def store_rerun(adapters: Adapters, former: Run, shards: Sequence[Shard]) -> Run:
    """Store a run over the entities that another one gave up, with the data that it ended with.

    Raises:
        DeclarationError: The other run goes on, or gave no entity up.
        StoreError: Datastore could not be reached.
    """
    custom_data = _custom_data(adapters)
    if former.is_live:
        raise DeclarationError(
            f"Run {former.id} is {former.status}; wait for its end, or cancel it."
        )
    if not any(shard.errors for shard in shards):
        raise DeclarationError(f"Run {former.id} gave no entity up.")
    query = custom_data.codec.loads(former.query)
    is_projected = bool(set(query["projection"]) - {_KEY})
    parts = stored_parts(
        adapters,
        _items(adapters, custom_data, query, shards),
        are_keys=query.get("keys", not is_projected),
        keys_only=_KEY in query["projection"],
    )
    run = _rerun(adapters, custom_data, former, parts)
    shard = Shard(run_id=run.id, number=0, query=run.query, updated_at=run.started_at)

    def work(transaction: Transaction) -> None:
        if parts.stored is not None:
            stored_lists.begin(transaction, parts.stored, run.started_at)
        transaction.put(shard.key, shard.record(), unindexed=SHARD_UNINDEXED)
        transaction.put(run_key(run.id), run.record(), unindexed=UNINDEXED)

    adapters.store.transact(work)
    text = f"{run.iteration}: {run.total} entities that {former.id} gave up"
    event("iteration.started", logging.INFO, text, run=run.id, total=run.total)
    return run


def _items(
    adapters: Adapters, custom_data: CustomData, query: Mapping[str, Any], shards: Sequence[Shard]
) -> Iterator[bytes]:
    """Yield each entity that was given up once, encoded: its key, or a row as it was."""
    failed = _failed(custom_data, shards)
    references = (each.encode() for each in dict.fromkeys(each.reference for each in failed))
    if "list" not in query or query["keys"]:
        return references
    rows, codec = ListQueries(adapters, custom_data.codec), custom_data.codec
    return (rows.encoded(query, codec.loads(reference)) for reference in references)


def _custom_data(adapters: Adapters) -> CustomData:
    payloads = LargePayloads(store=adapters.store, clock=adapters.clock)
    return CustomData(codec=Codec(), payloads=payloads, clock=adapters.clock)


def _failed(custom_data: CustomData, shards: Sequence[Shard]) -> Iterator[FailedEntity]:
    for shard in shards:
        page = shard.failed
        while page:
            before, entities = json.loads(custom_data.load_encoded(page))
            yield from (FailedEntity(*each) for each in entities)
            page = before.encode()


def _rerun(adapters: Adapters, custom_data: CustomData, former: Run, parts: Parts) -> Run:
    now, run_id = adapters.clock.now(), adapters.new_id()
    data = custom_data.load_encoded(former.custom_data)
    return Run(
        id=run_id,
        iteration=former.iteration,
        queue=former.queue,
        entities_per_second=former.entities_per_second,
        query=custom_data.codec.dumps(dict(parts.described)),
        custom_data=custom_data.store(data, f"{run_id}-start"),
        context=former.context,
        total=parts.total,
        shards=1,
        started_at=now,
        updated_at=now,
        resumed_at=now,
        status=Status.STARTING,
        has_begun=False,
        resting=(0,),
        next_shard=1,
    )

"""Serve Lookup and RunQuery from a view."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from adjourn_local.datastore import cursor, index_values, keys, masks
from adjourn_local.datastore.entity_records import Row
from adjourn_local.datastore.entity_tables import EntityTables
from adjourn_local.datastore.indexes import split_columns
from adjourn_local.datastore.keys import Partition
from adjourn_local.datastore.messages import (
    Entity,
    EntityResult,
    QueryResultBatch,
    invalid,
)
from adjourn_local.datastore.query import parse_query
from adjourn_local.datastore.query_plan import QueryPlan, Scan, make_plan
from adjourn_local.datastore.responses import LookupResponse, RunQueryResponse, entity_result
from adjourn_local.datastore.scan import Hit, PlanRun, Window
from adjourn_local.datastore.view import View

# https://cloud.google.com/datastore/docs/concepts/limits
_MAX_LOOKUP = 1000
# Clients accept 4 MB, and an entity may have 1 MB; a batch ends once it is larger than this.
_BATCH_BYTES = 2 << 20
# Of the service, as users report it; a batch "may" end earlier, which is not documented further.
_BATCH_RESULTS = 300
_BATCH_SKIPPED = 1000
_BATCH_SECONDS = 1.0
_TRANSACTIONS = {"transaction", "new_transaction"}


class Reader:
    """Serves the read methods; the same request on the same view gives the same response."""

    def __init__(
        self, store: EntityTables, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._monotonic = monotonic

    def lookup(self, request: Any, view: View) -> Any:
        """Return the response to a LookupRequest."""
        if len(request.keys) > _MAX_LOOKUP:
            raise invalid(f"cannot get more than {_MAX_LOOKUP} keys in a single call")
        mask = masks.parse(request.property_mask) if request.HasField("property_mask") else None
        response = LookupResponse()
        wanted = self._stored_keys(request)
        found, size = response.found, 0
        for stored, record in view.records(list(wanted)):
            if size > _BATCH_BYTES:
                response.deferred.append(wanted[stored].SerializeToString())
            elif record is None:
                missing = Entity(key=wanted[stored])
                response.missing.add(entity=missing.SerializeToString())
            else:
                _, version, created, updated, body = record
                found.append(entity_result(_masked(body, mask), version, created, updated))
                size += len(body)
        return response

    def _stored_keys(self, request: Any) -> dict[bytes, Any]:
        """Return the keys of a Lookup by their stored keys, without duplicates."""
        database = keys.RequestDatabase(request.project_id, request.database_id)
        found: dict[bytes, Any] = {}
        for key in request.keys:
            path, _, _ = keys.check_key(key, reserved=True)
            # A partition without entities has no prefix; a path alone is never a stored key.
            prefix = self._store.catalog.prefix(database.partition(key)) or b""
            found.setdefault(prefix + path, key)
        return found

    def plan(
        self, message: Any, partition: Partition, aggregated: tuple[str, ...] = ()
    ) -> QueryPlan:
        """Return the plan of a query message; create the indexes that it needs."""
        query = parse_query(message, partition, aggregated)
        self._store.needed.note(query)
        catalog = self._store.catalog
        return make_plan(
            query,
            catalog.prefix(partition) or b"\0\0\0\0",
            lambda shape: self._store.ensure_index(partition, query.kind or "", shape),
        )

    def window(self, plan: QueryPlan, message: Any) -> Window:
        """Return the window between the query's start and end cursors."""
        mark = plan.query.fingerprint()
        return Window(
            after=cursor.read(mark, message.start_cursor),
            until=cursor.read(mark, message.end_cursor),
        )

    def run_query(self, request: Any, view: View, partition: Partition) -> Any:
        """Return one batch of a query's results."""
        plan = self.plan(request.query, partition)
        mask = masks.parse(request.property_mask) if request.HasField("property_mask") else None
        if mask is not None and plan.query.projection:
            raise invalid("property_mask must not be set for a projection query.")
        response = RunQueryResponse()
        batch = _Batch(plan, request.query, mask, response.batch, self._is_late(request))
        window = self.window(plan, request.query)
        rows_only = plan.query.keys_only or bool(plan.query.projection)
        if request.query.offset or batch.has_room():
            run = PlanRun(
                store=self._store, view=view, plan=plan, window=window, rows_only=rows_only
            )
            batch.fill(run.hits())
        batch.finish()
        return response

    def _is_late(self, request: Any) -> Callable[[], bool]:
        """Return what tells whether a batch must end.

        That of a transaction never must: when it is read again, it must come out the same.
        """
        if request.read_options.WhichOneof("consistency_type") in _TRANSACTIONS:
            return lambda: False
        until = self._monotonic() + _BATCH_SECONDS
        return lambda: self._monotonic() >= until


class _Batch:
    """Collects hits into a QueryResultBatch, up to the limits of the query and of a response."""

    def __init__(
        self, plan: QueryPlan, message: Any, mask: Any, batch: Any, is_late: Callable[[], bool]
    ) -> None:
        self._is_late = is_late
        self._plan = plan
        self._message = message
        self._mask = mask
        self._batch = batch
        self._results = batch.entity_results
        self._mark = plan.query.fingerprint()
        self._limit = message.limit.value if message.HasField("limit") else math.inf
        self._found = self._skipped = self._size = 0
        self._last: bytes | None = None
        if plan.query.keys_only:
            batch.entity_result_type = EntityResult.KEY_ONLY
        elif plan.query.projection:
            batch.entity_result_type = EntityResult.PROJECTION
        else:
            batch.entity_result_type = EntityResult.FULL
        until = cursor.read(self._mark, message.end_cursor)
        batch.more_results = (
            QueryResultBatch.NO_MORE_RESULTS
            if until is None
            else QueryResultBatch.MORE_RESULTS_AFTER_CURSOR
        )

    def has_room(self) -> bool:
        """Return whether the query's limit allows another result; set `more_results` if not."""
        if self._found >= self._limit:
            self._batch.more_results = QueryResultBatch.MORE_RESULTS_AFTER_LIMIT
            return False
        return True

    def _is_full(self) -> bool:
        return (
            self._found >= _BATCH_RESULTS
            or self._found + self._skipped >= _BATCH_SKIPPED
            or self._size > _BATCH_BYTES
            or (self._found + self._skipped > 0 and self._is_late())
        )

    def fill(self, found: Iterator[Hit]) -> None:
        """Skip the offset, then add results until the batch is full."""
        batch, offset = self._batch, self._message.offset
        add = self._add_row if self._has_rows_only() else self._add_entity
        for position, scan, row in found:
            if self._is_full():
                batch.more_results = QueryResultBatch.NOT_FINISHED
                return
            self._last = position
            if self._skipped < offset:
                self._skipped += 1
                batch.skipped_cursor = cursor.make(self._mark, position)
                if self._skipped == offset and not self.has_room():
                    return
                continue
            add(position, scan, row)
            self._found += 1
            if not self.has_room():
                return

    def _has_rows_only(self) -> bool:
        return self._plan.query.keys_only or bool(self._plan.query.projection)

    def _add_entity(self, position: bytes, _scan: Scan, row: Row) -> None:
        _, _, _, version, created, updated, body = row
        mark = cursor.make(self._mark, position)
        shown = _masked(body, self._mask)
        self._results.append(entity_result(shown, version, created, updated, mark))
        self._size += len(body)

    def _add_row(self, position: bytes, scan: Scan, row: Row) -> None:
        query = self._plan.query
        entity = Entity()
        _, path = split_columns(position, self._plan.descending)
        keys.fill_key(entity.key, query.partition, path)
        if query.projection:
            found = self._plan.row_values(position, scan)
            for name in query.projection:
                entity.properties[name].CopyFrom(index_values.decode(found[name]))
        result = EntityResult(entity=entity, cursor=cursor.make(self._mark, position))
        self._results.append(result.SerializeToString())
        self._size += len(row[0])

    def finish(self) -> None:
        """Set the end cursor and `more_results` of the batch."""
        batch = self._batch
        batch.skipped_results = self._skipped
        if self._limit == 0:
            batch.more_results = QueryResultBatch.MORE_RESULTS_AFTER_LIMIT
        if self._last is None:
            batch.end_cursor = self._message.start_cursor
        else:
            batch.end_cursor = cursor.make(self._mark, self._last)


def _masked(body: bytes, mask: "masks.Mask | None") -> bytes:
    """Return a serialized entity with the masked properties only if there is a mask."""
    if mask is None:
        return body
    entity = masks.masked(Entity.FromString(body), mask)
    data: bytes = entity.SerializeToString(deterministic=True)
    return data

"""Begin runs: the query is cut, run and shards are written together, the first steps enqueued."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from adjourn.errors import AdjournError, EnqueueError
from adjourn.iteration.control import RunHandle, Runs
from adjourn.iteration.custom_data import Baggage
from adjourn.iteration.query_iter import QueryIter, StartOptions
from adjourn.iteration.runs import UNINDEXED, Run, Status, key_of
from adjourn.iteration.shards import UNINDEXED as SHARD_UNINDEXED
from adjourn.iteration.shards import Shard
from adjourn.log import event
from adjourn.names import digest
from adjourn.ports import QuerySource, Transaction
from adjourn.serialization.codec import Codec
from adjourn.serialization.context import Carrier
from adjourn.state.transaction_markers import FIRST_WAIT, Guard

T = TypeVar("T")

# More pieces than chains, so that uneven ones even out.
_PIECES = 4


@dataclass(kw_only=True, eq=False, repr=False)
class Starter:
    """Begins runs."""

    queries: QuerySource
    runs: Runs
    codec: Codec
    baggage: Baggage
    guard: Guard
    carrier: Carrier
    new_id: Callable[[], str]
    default_queue: str
    apart: Callable[[Callable[[], T]], Callable[[], T]]

    def start(
        self, cls: type[QueryIter[Any]], query: object, custom_data: object, options: StartOptions
    ) -> RunHandle:
        """Begin a run; see `QueryIter.start`."""
        described = self.queries.describe(
            query,
            limit=options.limit,
            start_cursor=options.start_cursor,
            end_cursor=options.end_cursor,
            keys_only=cls.in_bulk,
        )
        data = self.codec.dumps(custom_data, "custom_data")
        context = self.codec.dumps(dict(self.carrier.pack()), "context")
        named = f"{cls.registered_name} {options.name}"
        run_id = digest(named) if options.name else self.new_id()
        marker = self.guard.mark(self.new_id(), options.transaction, None)

        def begin() -> RunHandle:
            known = self.runs.find_run(run_id) if options.name else None
            if known is not None and not known.is_void:
                return self._join(run_id, marker)
            pieces, reason = self._cut(described, options.shards)
            self._warn(run_id, described, reason)
            made = self._made(cls, run_id, options, len(pieces))
            run = made._replace(
                query=self.codec.dumps(dict(described)),
                custom_data=self.baggage.pack(data, f"{run_id}-start-{self.new_id()}"),
                context=context,
                total=self.queries.count(described),
                markers=marker,
                epoch=known.epoch + 1 if known else 0,
            )
            return self._begin(run, [self.codec.dumps(dict(piece)) for piece in pieces])

        # In a thread of its own it is outside of a transaction that the caller has open.
        return self.apart(begin)() if marker else begin()

    def _made(
        self,
        cls: type[QueryIter[Any]],
        run_id: str,
        options: StartOptions,
        pieces: int,
    ) -> Run:
        """Return a run that has not begun, without what it carries."""
        now = self.runs.clock.now()
        lanes = tuple(range(min(options.shards, pieces)))
        has_begun = not cls.overrides("on_start")
        return Run(
            id=run_id,
            iteration=cls.registered_name,
            queue=options.queue or cls.queue_name or self.default_queue,
            query=b"",
            custom_data=b"",
            context=b"",
            total=0,
            pieces=pieces,
            started_at=now,
            updated_at=now,
            resumed_at=now,
            marked_at=now,
            status=Status.RUNNING if has_begun else Status.STARTING,
            has_begun=has_begun,
            active=lanes if has_begun else (),
            resting=() if has_begun else lanes,
            next_piece=len(lanes),
        )

    def _cut(
        self, described: Mapping[str, object], shards: int
    ) -> tuple[Sequence[Mapping[str, object]], str]:
        if shards == 1:
            return [described], ""
        split = self.queries.split(described, shards * _PIECES)
        return split.parts, split.reason

    def _warn(self, run_id: str, described: Mapping[str, object], reason: str) -> None:
        for warning in self.queries.warnings(described):
            event("iteration.warning", logging.WARNING, warning, run=run_id)
        if reason:
            text = f"The query is walked over as a whole: {reason}"
            event("iteration.whole", logging.WARNING, text, run=run_id)

    def _begin(self, run: Run, queries: Sequence[bytes]) -> RunHandle:
        def work(transaction: Transaction) -> bool:
            """Write the run with its shards; False if another start of its name was faster."""
            record = transaction.get([key_of(run.id)])[0]
            if record is not None and not Run.from_record(run.id, record).is_void:
                return False
            for piece, query in enumerate(queries):
                shard = Shard(run_id=run.id, piece=piece, query=query, updated_at=run.started_at)
                transaction.put(shard.key, shard.record(), unindexed=SHARD_UNINDEXED)
            transaction.put(key_of(run.id), run.record(), unindexed=UNINDEXED)
            return True

        if not self.runs.store.transact(work):
            self.baggage.discard(run.custom_data)
            return self._join(run.id, run.markers)
        self._enqueue(run)
        text = f"{run.iteration}: {run.total} entities, {run.pieces} shards"
        event("iteration.started", logging.INFO, text, run=run.id, total=run.total)
        return RunHandle(id=run.id, is_new=True, _runs=self.runs)

    def _enqueue(self, run: Run) -> None:
        # A transaction takes a moment to be committed: to look sooner would be to look twice.
        start = run.started_at + FIRST_WAIT if run.markers else None
        steps = [run.step_of(piece) for piece in run.active] or [run.own_step]
        try:
            self.runs.enqueue(run, [(step, start) for step in steps])
        except EnqueueError as error:
            now, reason = self.runs.clock.now(), f"It was not enqueued: {error}"
            with suppress(AdjournError):  # then it may well run, which its caller is not told
                self.runs.change(run.id, lambda found: found.voided(reason, now))
            raise

    def _join(self, run_id: str, marker: str) -> RunHandle:
        """Return the handle of a run that is there, having seen that it goes on."""
        now = self.runs.clock.now()

        def again(run: Run) -> Run | None:
            joined = run.joined(marker, now)
            return None if joined is run else joined

        if not self.runs.change(run_id, again):
            run = self.runs.load(run_id)
            self.runs.enqueue(run, self.runs.due(run))
        return RunHandle(id=run_id, is_new=False, _runs=self.runs)

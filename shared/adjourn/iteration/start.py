"""Start runs: split the query, store run and shards together, and enqueue the first steps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from adjourn.coroutines import is_on_loop
from adjourn.errors import AdjournError, EnqueueError
from adjourn.iteration import stored_lists
from adjourn.iteration.control import READ_AT_ONCE, Runs, first_steps
from adjourn.iteration.custom_data import CustomData
from adjourn.iteration.item_lists import ItemList
from adjourn.iteration.list_queries import let_go_of_list
from adjourn.iteration.query_iter import QueryIter
from adjourn.iteration.run_handle import RunHandle
from adjourn.iteration.runs import DRY, UNINDEXED, Run, run_key
from adjourn.iteration.shards import UNINDEXED as SHARD_UNINDEXED
from adjourn.iteration.shards import Shard, shard_key
from adjourn.iteration.split import Parts, split
from adjourn.iteration.status import Status
from adjourn.iteration.validation import StartOptions
from adjourn.log import event, is_observed
from adjourn.names import digest, digest_of
from adjourn.ports import Adapters, Transaction
from adjourn.serialization.context import ContextPropagator
from adjourn.settings import Settings
from adjourn.state.transaction_markers import FIRST_WAIT, TransactionMarkers
from adjourn.tasks.blocking import tell_blocking


@dataclass(kw_only=True, eq=False, repr=False)
class Starter:
    """Starts runs.

    Attributes:
        told: The classes of which it was told that they are started on an event loop.
    """

    settings: Settings
    adapters: Adapters
    propagator: ContextPropagator
    custom_data: CustomData
    runs: Runs
    markers: TransactionMarkers
    told: set[str] = field(default_factory=set)

    def start(
        self, cls: type[QueryIter[Any]], query: object, custom_data: object, options: StartOptions
    ) -> RunHandle:
        """Start a run; see `QueryIter.start`."""
        if is_on_loop():
            line = f"await asyncio.to_thread({cls.__qualname__}.start, ...)"
            tell_blocking(cls.registered_name, "started", self.told, line)
        if not is_observed():
            return self._start(cls, query, custom_data, options)
        from adjourn.iteration.observed_runs import observed_start  # noqa: PLC0415 - for those with an SDK

        start = partial(self._start, cls, query, custom_data, options)
        return observed_start(cls.registered_name, self._queue(cls, options), start)

    def _queue(self, cls: type[QueryIter[Any]], options: StartOptions) -> str:
        return options.queue or cls.queue_name or self.settings.queue

    def _start(
        self, cls: type[QueryIter[Any]], query: object, custom_data: object, options: StartOptions
    ) -> RunHandle:
        source = self._source(cls, query, options)
        data = self.custom_data.encode(custom_data)
        context = self.custom_data.codec.dumps(dict(self.propagator.capture()), "context")
        run_id = self._run_id(cls.registered_name, options)
        marker = self.markers.put(self.adapters.new_id(), options.transaction, None)

        def begin() -> RunHandle:
            known = self.runs.find_run(run_id) if options.has_name else None
            if known is not None and not known.is_void:
                return self._join(run_id, marker)
            parts = source(run_id)
            payload = f"{run_id}-start-{self.adapters.new_id()}"
            run = self._new_run(cls, run_id, options, len(parts.queries))._replace(
                query=self._encoded(parts.described),
                custom_data=self.custom_data.store(data, payload),
                context=context,
                total=parts.total,
                markers=marker,
            )
            return self._begin(run, parts)

        # A thread of its own is outside of a transaction that the caller has open.
        return self.adapters.ahead(begin)() if marker else begin()

    def _source(
        self, cls: type[QueryIter[Any]], query: object, options: StartOptions
    ) -> Callable[[str], Parts]:
        """Return what cuts the query or list of a run into parts, by the id of the run.

        Raises:
            DeclarationError: The query cannot be resumed, or an option is not for a list.
        """
        if isinstance(query, ItemList):
            options.check_list()
            return lambda _run_id: self._stored(cls, query, options)
        described = self.adapters.queries.describe(
            query,
            limit=options.limit,
            start_cursor=options.start_cursor,
            end_cursor=options.end_cursor,
            keys_only=cls.in_bulk,
        )

        def parts(run_id: str) -> Parts:
            queries = split(self.adapters.queries, described, options.shards, run_id)
            return Parts(described, queries, self.adapters.queries.count(described))

        return parts

    def _stored(self, cls: type[QueryIter[Any]], items: ItemList, options: StartOptions) -> Parts:
        """Store a list, and cut it into parts."""
        from adjourn.iteration.list_start import encoded, stored_parts  # noqa: PLC0415 - rarely needed

        return stored_parts(
            self.adapters,
            encoded(self.adapters, self.custom_data.codec, items, options.limit),
            are_keys=items.are_keys,
            keys_only=cls.in_bulk,
            shards=options.shards,
        )

    def _run_id(self, iteration: str, options: StartOptions) -> str:
        """Return the id of a new run, or the one that all starts under a name have in common."""
        name = options.name
        if options.run_id:
            return options.run_id
        if name is None:
            return self.adapters.new_id()
        if options.dry_run:
            return digest_of("dry run", iteration, name)
        if " " not in iteration:
            return digest(f"{iteration} {name}")
        # Earlier versions did not tell the name of the class "a b" and the run "c" from "a", "b c".
        former_id = digest(f"{iteration} {name}")
        former = self.runs.find_run(former_id)
        is_same = former is not None and former.iteration == iteration
        return former_id if is_same else digest_of("run", iteration, name)

    def _encoded(self, query: Mapping[str, object]) -> bytes:
        return self.custom_data.codec.dumps(dict(query))

    def _new_run(
        self, cls: type[QueryIter[Any]], run_id: str, options: StartOptions, shards: int
    ) -> Run:
        """Return a run that has not begun, still without its query, data and context."""
        now = self.runs.now()
        first = tuple(range(min(options.shards, shards)))
        pace = options.entities_per_second or cls.entities_per_second
        has_begun = options.dry_run or not cls.overrides("on_start")
        return Run(
            id=run_id,
            iteration=cls.registered_name + (DRY if options.dry_run else ""),
            queue=self._queue(cls, options),
            entities_per_second=None if pace is None else float(pace),
            query=b"",
            custom_data=b"",
            context=b"",
            total=0,
            shards=shards,
            started_at=now,
            updated_at=now,
            resumed_at=now,
            marked_at=now,
            status=Status.RUNNING if has_begun else Status.STARTING,
            has_begun=has_begun,
            active=first if has_begun else (),
            resting=() if has_begun else first,
            next_shard=len(first),
        )

    def _begin(self, run: Run, parts: Parts) -> RunHandle:
        """Store a run with its shards and enqueue its first steps."""

        def work(transaction: Transaction) -> Run | None:
            """Write run and shards; return None if another start of its name was faster."""
            record = transaction.get([run_key(run.id)])[0]
            void = None if record is None else Run.from_record(run.id, record)
            if void is not None and not void.is_void:
                return None
            if parts.stored is not None:
                stored_lists.begin(transaction, parts.stored, run.started_at)
            written, tokens = run, dict[int, int]()
            if void is not None:
                written = run._replace(epoch=void.epoch + 1, token=void.token + 1)
                tokens = _void_tokens(transaction, void)
            for number, query in enumerate(parts.queries):
                shard = Shard(
                    run_id=run.id,
                    number=number,
                    query=self._encoded(query),
                    updated_at=run.started_at,
                    token=tokens.pop(number, 0),
                )
                transaction.put(shard.key, shard.record(), unindexed=SHARD_UNINDEXED)
            for number in tokens:
                transaction.delete(shard_key(run.id, number))
            transaction.put(run_key(run.id), written.record(), unindexed=UNINDEXED)
            return written

        written = self.adapters.store.transact(work)
        if written is None:
            self.custom_data.discard(run.custom_data)
            let_go_of_list(self.adapters, run)
            return self._join(run.id, run.markers)
        self._enqueue(written)
        text = f"{run.iteration}: {run.total} entities, {run.shards} shards"
        event("iteration.started", logging.INFO, text, run=run.id, total=run.total)
        return RunHandle(id=run.id, is_new=True, _runs=self.runs)

    def _enqueue(self, run: Run) -> None:
        """Enqueue the first steps; void the run if they are not accepted."""
        # A transaction takes a moment to commit. A step that comes earlier would have to wait.
        start = run.started_at + FIRST_WAIT if run.markers else None
        try:
            self.runs.enqueue(run, [(step, start) for step, _ in first_steps(run)])
        except EnqueueError as error:
            now, reason = self.runs.now(), f"It was not enqueued: {error}"
            # If this fails too, the run may begin although its caller gets an error.
            with suppress(AdjournError):
                self.runs.change(run.id, lambda found: found.voided(reason, now))
                let_go_of_list(self.adapters, run)
            raise

    def _join(self, run_id: str, marker: str) -> RunHandle:
        """Return the handle of a run of that name, after making sure that its steps are queued."""
        now = self.runs.now()

        def join(run: Run) -> Run | None:
            joined = run.joined(marker, now)
            return None if joined is run else joined

        if not self.runs.change(run_id, join):
            run = self.runs.load(run_id)
            self.runs.enqueue(run, self.runs.next_steps(run))
        return RunHandle(id=run_id, is_new=False, _runs=self.runs)


def _void_tokens(transaction: Transaction, void: Run) -> dict[int, int]:
    """Return for each shard of a void run the token with which a shard in its place begins.

    Steps of the void run may still be under way, and must not be able to write to the new one.
    """
    tokens = dict[int, int]()
    for start in range(0, void.shards, READ_AT_ONCE):
        numbers = range(start, min(start + READ_AT_ONCE, void.shards))
        records = transaction.get([shard_key(void.id, number) for number in numbers])
        for number, record in zip(numbers, records, strict=True):
            if record is not None:
                tokens[number] = Shard.from_record(void.id, number, record).token + 1
    return tokens

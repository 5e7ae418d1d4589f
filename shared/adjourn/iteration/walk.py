"""The loop of a shard's step: read pages and call the user's hooks until the time is up."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from adjourn.errors import ProcessDiedError
from adjourn.iteration.entity_errors import EntityErrors
from adjourn.iteration.pace import Pace
from adjourn.iteration.query_iter import OnError, QueryIter, call_handler
from adjourn.iteration.shards import DEATHS_OF_SUSPECT, Place, Retry, Shard, error_summary
from adjourn.iteration.walk_end import WalkEnd
from adjourn.log import event
from adjourn.ports import Adapters, Page, QuerySource
from adjourn.serialization.codec import Codec

if TYPE_CHECKING:
    from adjourn.iteration.list_queries import ListQueries

_DIED = "The process died, ran out of memory or was cut off while this entity was handled."

# Entities of a shard that can wait to be tried again. Then it reads no further ones.
MOST_RETRIES = 100


@dataclass(kw_only=True, eq=False, repr=False)
class Walk:
    """Walks over the entities of a claimed shard.

    Attributes:
        shard: The shard, as claimed.
        custom_data: The user's data, which the hooks may change.
        hooks: The user's own.
        codec: Decodes what the shard stores.
        most_errors: How many entities of the shard may be given up before the run stops.
        should_end: Whether the walk should end between two entities.
        wait: Waits for some seconds, or until `should_end` becomes true.
        save: Records what `result` returns; False if that is not possible.
        pace: When the next entity may be handled; None if the run may go as fast as it can.
    """

    shard: Shard
    custom_data: object
    hooks: QueryIter[Any]
    adapters: Adapters
    codec: Codec
    most_errors: int | None
    should_end: Callable[[], bool]
    wait: Callable[[float], object]
    save: Callable[[], bool]
    pace: Pace | None = None

    def __post_init__(self) -> None:
        shard, now = self.shard, self.adapters.clock.monotonic()
        self._place = Place(shard.cursor, shard.done, shard.singly, shard.careful, shard.missing)
        self._suspect, self._suspected = shard.suspect, shard.suspected
        self._query: Mapping[str, Any] = self.codec.loads(shard.query)
        self._source: QuerySource | ListQueries = self.adapters.queries
        if "list" in self._query:
            from adjourn.iteration.list_queries import ListQueries  # noqa: PLC0415 - rarely needed

            self._source = ListQueries(self.adapters, self.codec)
        self._errors = EntityErrors(
            hooks=self.hooks,
            custom_data=self.custom_data,
            clock=self.adapters.clock,
            retries=[Retry(*each) for each in self.codec.loads(shard.retries)],
            count=shard.errors,
            failures=shard.failures,
            last=shard.error,
        )
        self.given_up = self._errors.given_up
        self._deadline = now + shard.seconds
        self._next: tuple[str, Callable[[], Page]] | None = None
        self._is_early = False

    def go(self) -> WalkEnd:
        """Handle entities until there is a reason to end.

        Raises:
            StoreError: Something could not be read. What was handled before is in `result`.
        """
        end = self._retry_due()
        while end is None:
            end = self._handle_page()
        return end

    def result(self) -> Shard:
        """Return the shard after what was handled so far."""
        retries = [list(each) for each in self._errors.retries]
        return self.shard._replace(
            paced_until=self.pace.until() if self.pace else self.shard.paced_until,
            cursor=self._place.cursor,
            done=self._place.done,
            missing=self._place.missing,
            singly=self._place.singly,
            careful=self._place.careful,
            suspect=self._suspect,
            is_handling=bool(self._suspect),
            suspected=self._suspected,
            retries=self.codec.dumps(retries),
            errors=self._errors.count,
            failures=self._errors.failures,
            error=self._errors.last,
            waiting=len(retries),
        )

    def next_due(self) -> dt.datetime | None:
        """Return when there is something to do again, after `WalkEnd.WAIT`."""
        if self._is_early and self.pace:
            return self.pace.until()
        return min((each.due for each in self._errors.retries), default=None)

    # Entities that have failed before

    def _retry_due(self) -> WalkEnd | None:
        """Try failed entities again that are due; return None if the walk goes on."""
        now = self.adapters.clock.now()
        due = [each for each in self._errors.retries if each.due <= now][: self.hooks.batch_size]
        if not due:
            return self._check_room()
        found = self._source.find(self._query, [each.reference for each in due])
        for retry, entry in zip(due, found, strict=True):
            stop = None
            if entry is None:
                self._leave_out(1)
            elif end := self._wait_for_pace(1):
                return end
            else:
                stop = self._handle_one(entry, retry.reference, retry.failed)
            if stop is WalkEnd.CUT:
                return stop
            # Only now: if a StoreError is raised above, the entity keeps waiting.
            self._errors.retries.remove(retry)
            if stop:
                self._errors.retries.append(Retry(retry.reference, 0, now))
            if end := stop or self._check_end():
                return end
        return self._check_room()

    def _check_room(self) -> WalkEnd | None:
        """Return WAIT if so many entities wait to be tried again that no further one may fail."""
        return WalkEnd.WAIT if len(self._errors.retries) >= MOST_RETRIES else None

    # Entities that come for the first time

    def _handle_page(self) -> WalkEnd | None:
        """Handle the next page; return None if the walk goes on."""
        size = min(1 if self._place.careful else self._batch_size(), self._limit_left(0))
        page = self._read(size) if size > 0 else Page((), (), more=False)
        if page.more and not self._place.careful:
            self._read_ahead(page)
        if self.hooks.in_batches and not self._place.singly and len(page.entries) > 1:
            end = self._wait_for_pace(len(page.entries)) or self._handle_batch(page)
        else:
            end = self._handle_one_by_one(page)
        if end is None and not page.more:
            return WalkEnd.WAIT if self._errors.retries else WalkEnd.END
        return end

    def _read(self, size: int) -> Page:
        """Return the page at the position, which may have been read ahead."""
        ahead, self._next = self._next, None
        if ahead is not None and ahead[0] == self._place.cursor:
            page = ahead[1]()
            return page.first(size) if len(page.entries) > size else page  # slower by now
        return self._source.page(self._query, cursor=self._place.cursor, limit=size)

    def _read_ahead(self, page: Page) -> None:
        """Begin to read the next page while this one is handled."""
        size, cursor = self._limit_left(len(page.entries)), page.cursors[-1]
        if size > 0:
            size = min(self._batch_size(), size)
            read = partial(self._source.page, self._query, cursor=cursor, limit=size)
            self._next = (cursor, self.adapters.ahead(read))

    def _limit_left(self, taken: int) -> int:
        """Return how many entities may be read after those that were taken but not handled yet."""
        limit: int | None = self._query.get("limit")
        if limit is None:
            return self.hooks.batch_size
        return limit - self._place.done - len(self._errors.retries) - taken

    def _handle_batch(self, page: Page) -> WalkEnd | None:
        found = list(zip(page.entries, self._references(page), strict=True))
        present = [pair for pair in found if pair[0] is not None]
        results = call_handler(self.hooks, [entry for entry, _ in present], self.custom_data)
        if isinstance(results, Exception):
            text = f"A batch of {len(page.entries)} failed; its entities are handled one by one"
            event("iteration.retry", logging.WARNING, text, error=results)
            self._errors.last = error_summary(results)
            self._place.singly = len(page.entries)
            return WalkEnd.CUT
        self._place.cursor = page.cursors[-1]
        self._leave_out(len(found) - len(present))
        stopped = [
            reference
            for (entry, reference), error in zip(present, results, strict=True)
            if not self._record_result(entry, reference, error, 0)
        ]
        now = self.adapters.clock.now()
        # The position is behind them, because others of the batch are done.
        self._errors.retries += [Retry(reference, 0, now) for reference in stopped]
        if stopped:
            return WalkEnd.STOP
        return self._check_end() or self._check_room()

    def _handle_one_by_one(self, page: Page) -> WalkEnd | None:
        places = zip(page.entries, self._references(page), page.cursors, strict=True)
        for entry, reference, cursor in places:
            if entry is None:
                self._leave_out(1)
            elif stop := self._wait_for_pace(1) or self._handle_one(entry, reference, 0):
                return stop
            self._place.cursor = cursor
            self._place.singly = max(0, self._place.singly - 1)
            if end := self._check_end() or self._check_room():
                return end
        return None

    def _leave_out(self, count: int) -> None:
        """Count entities that are gone."""
        self._place.done += count
        self._place.missing += count

    def _references(self, page: Page) -> Sequence[object]:
        """Return what finds the entities again. A hook may give them other keys."""
        if page.references is not None:
            return page.references
        return [self.adapters.queries.refer(self._query, entry) for entry in page.entries]

    # One entity

    def _handle_one(self, entry: object, reference: object, failed: int) -> WalkEnd | None:
        """Handle one entity; return STOP if the run stops at it, CUT if it was not handled.

        Args:
            entry: The entity.
            reference: Finds it again.
            failed: How often it has failed in this round.
        """
        error: Exception | None = None
        if self._place.careful:
            encoded = self.codec.dumps(reference)
            if encoded != self._suspect:
                self._suspect, self._suspected = encoded, 0
            if self._suspected >= DEATHS_OF_SUSPECT:
                error, failed = ProcessDiedError(_DIED), self.hooks.max_entry_retries
            elif not self.save():
                return WalkEnd.CUT
            self._place.careful -= 1
        if error is None:
            results = call_handler(self.hooks, [entry], self.custom_data)
            error = results if isinstance(results, Exception) else results[0]
        goes_on = self._record_result(entry, reference, error, failed)
        self._suspect, self._suspected = b"", 0
        return None if goes_on else WalkEnd.STOP

    def _record_result(
        self, entry: object, reference: object, error: Exception | None, failed: int
    ) -> bool:
        """Count an entity as done, put it off, or give it up; False if the run stops at it."""
        if error is None:
            self._place.done += 1
            return True
        answer = self._errors.decide(entry, reference, error, failed)
        self._place.done += answer is OnError.CONTINUE
        return answer is not OnError.STOP

    # Time

    def _batch_size(self) -> int:
        """Return how many entities to read at once: no batch takes longer than its second."""
        size = self.hooks.batch_size
        seconds = 1 if self.hooks.in_batches else self.shard.seconds
        most = self.pace.most(seconds) if self.pace else None
        return size if most is None else min(size, most)

    def _wait_for_pace(self, count: int) -> WalkEnd | None:
        """Wait until so many entities may be handled; return why the walk ends instead."""
        if self.pace is None or self.pace.take(count, self._deadline, self.wait):
            return None
        self._is_early = True
        return WalkEnd.CUT if self.should_end() else WalkEnd.WAIT

    def _check_end(self) -> WalkEnd | None:
        """Return why the walk ends between two entities; None if it goes on."""
        if self.most_errors is not None and self._errors.count > self.most_errors:
            text = "More entities failed than max_failures allows; the last:"
            self._errors.last = f"{text} {self._errors.last}"
            return WalkEnd.STOP
        if self.adapters.clock.monotonic() >= self._deadline:
            return WalkEnd.TIME
        is_cut = self.should_end() or self.adapters.is_stopping()
        return WalkEnd.CUT if is_cut else None

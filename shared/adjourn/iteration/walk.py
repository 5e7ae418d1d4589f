"""The loop of a shard's step: read pages and call the user's hooks until the time is up."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping
from enum import Enum, auto
from functools import partial
from typing import Any

from adjourn.errors import ProcessDiedError
from adjourn.iteration.query_iter import OnError, QueryIter, call_handle_error, call_handler
from adjourn.iteration.shards import (
    Place,
    Retry,
    RunError,
    Shard,
    error_summary,
    path_of,
    retry_delay,
    with_failure,
)
from adjourn.log import event
from adjourn.ports import Adapters, Page
from adjourn.serialization.codec import Codec

_DIED = "The process died, ran out of memory or was cut off while this entity was handled."

# Entities of a shard that can wait to be tried again. Then it reads no further ones.
MOST_RETRIES = 100


class WalkEnd(Enum):
    """Why a walk ended."""

    TIME = auto()  # its time was up
    CUT = auto()  # earlier than that: the process is stopping, or a batch failed
    WAIT = auto()  # only entities are left that are not yet due to be tried again
    END = auto()  # the shard has no further entities
    STOP = auto()  # the run stops at an entity


class Walk:
    """Walks over the entities of a claimed shard.

    Args:
        shard: The shard, as claimed.
        custom_data: The user's data, which the hooks may change.
        hooks: The user's own.
        adapters: The outside world.
        codec: Decodes what the shard stores.
        most_errors: How many entities of the shard may be given up before the run stops.
        should_end: Whether the walk should end between two entities.
        save: Records what `result` returns; False if that is not possible.
    """

    def __init__(
        self,
        shard: Shard,
        custom_data: object,
        hooks: QueryIter[Any],
        adapters: Adapters,
        codec: Codec,
        *,
        most_errors: int | None = None,
        should_end: Callable[[], bool] = lambda: False,
        save: Callable[[], bool] = lambda: True,
    ) -> None:
        self._shard = shard
        self._place = Place(shard.cursor, shard.done, shard.singly, shard.careful)
        self._suspect = shard.suspect
        self._most_errors = most_errors
        self._should_end = should_end
        self._save = save
        self._custom_data = custom_data
        self._hooks = hooks
        self._adapters = adapters
        self._codec = codec
        self._query: Mapping[str, Any] = codec.loads(shard.query)
        self._retries = [Retry(*each) for each in codec.loads(shard.retries)]
        self._deadline = adapters.clock.monotonic() + shard.seconds
        self.given_up: list[tuple[str, str, object]] = []
        self._next: tuple[str, Callable[[], Page]] | None = None

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
        retries = [list(each) for each in self._retries]
        return self._shard._replace(
            cursor=self._place.cursor,
            done=self._place.done,
            singly=self._place.singly,
            careful=self._place.careful,
            suspect=self._suspect,
            retries=self._codec.dumps(retries),
            waiting=len(retries),
        )

    def next_due(self) -> dt.datetime | None:
        """Return when the next failed entity is tried again; None if there is none."""
        return min((each.due for each in self._retries), default=None)

    # Entities that have failed before

    def _retry_due(self) -> WalkEnd | None:
        """Try failed entities again that are due; return None if the walk goes on."""
        now = self._adapters.clock.now()
        due = [each for each in self._retries if each.due <= now][: self._hooks.batch_size]
        if not due:
            return self._check_room()
        found = self._adapters.queries.find(self._query, [each.reference for each in due])
        for retry, entry in zip(due, found, strict=True):
            stop = None
            if entry is None:  # it was deleted, so it counts as done
                self._place.done += 1
            else:
                stop = self._handle_one(entry, retry.reference, retry.failed)
            if stop is WalkEnd.CUT:
                return stop
            # Only now: if a StoreError is raised above, the entity keeps waiting.
            self._retries.remove(retry)
            if stop:
                self._retries.append(Retry(retry.reference, 0, now))
            if end := stop or self._check_end():
                return end
        return self._check_room()

    def _check_room(self) -> WalkEnd | None:
        """Return WAIT if so many entities wait to be tried again that no further one may fail."""
        return WalkEnd.WAIT if len(self._retries) >= MOST_RETRIES else None

    # Entities that come for the first time

    def _handle_page(self) -> WalkEnd | None:
        """Handle the next page; return None if the walk goes on."""
        most = 1 if self._place.careful else self._hooks.batch_size
        size = min(most, self._limit_left(0))
        page = self._read(size) if size > 0 else _NOTHING
        if page.more and not self._place.careful:
            self._read_ahead(page)
        if self._hooks.in_batches and not self._place.singly and len(page.entries) > 1:
            end = self._handle_batch(page)
        else:
            end = self._handle_one_by_one(page)
        if end is None and not page.more:
            return WalkEnd.WAIT if self._retries else WalkEnd.END
        return end

    def _read(self, size: int) -> Page:
        """Return the page at the position, which may have been read ahead."""
        ahead, self._next = self._next, None
        if ahead is not None and ahead[0] == self._place.cursor:
            return ahead[1]()
        return self._adapters.queries.page(self._query, cursor=self._place.cursor, limit=size)

    def _read_ahead(self, page: Page) -> None:
        """Begin to read the next page while this one is handled."""
        size, cursor = self._limit_left(len(page.entries)), page.cursors[-1]
        if size > 0:
            size = min(self._hooks.batch_size, size)
            read = partial(self._adapters.queries.page, self._query, cursor=cursor, limit=size)
            self._next = (cursor, self._adapters.ahead(read))

    def _limit_left(self, taken: int) -> int:
        """Return how many entities may still be read; a batch if the query has no limit.

        Args:
            taken: Entities that were read and are not handled yet.
        """
        limit = self._query.get("limit")
        if limit is None:
            return self._hooks.batch_size
        left: int = limit - self._place.done - len(self._retries) - taken
        return left

    def _handle_batch(self, page: Page) -> WalkEnd | None:
        references = self._references(page)
        results = call_handler(self._hooks, page.entries, self._custom_data)
        if isinstance(results, Exception):
            text = f"A batch of {len(page.entries)} failed; its entities are handled one by one"
            event("iteration.retry", logging.WARNING, text, error=results)
            self._shard = self._shard._replace(error=error_summary(results))
            self._place.singly = len(page.entries)
            return WalkEnd.CUT
        self._place.cursor = page.cursors[-1]
        stopped = [
            reference
            for entry, reference, error in zip(page.entries, references, results, strict=True)
            if not self._record_result(entry, reference, error, 0)
        ]
        now = self._adapters.clock.now()
        # The position is behind them, because others of the batch are done.
        self._retries += [Retry(reference, 0, now) for reference in stopped]
        if stopped:
            return WalkEnd.STOP
        return self._check_end() or self._check_room()

    def _handle_one_by_one(self, page: Page) -> WalkEnd | None:
        places = zip(page.entries, self._references(page), page.cursors, strict=True)
        for entry, reference, cursor in places:
            if stop := self._handle_one(entry, reference, 0):
                return stop
            self._place.cursor = cursor
            self._place.singly = max(0, self._place.singly - 1)
            if end := self._check_end() or self._check_room():
                return end
        return None

    def _references(self, page: Page) -> list[object]:
        """Return what finds the entities again. A hook may give them other keys."""
        return [self._adapters.queries.refer(self._query, entry) for entry in page.entries]

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
            encoded = self._codec.dumps(reference)
            if encoded == self._suspect:
                error, failed = ProcessDiedError(_DIED), self._hooks.max_entry_retries
            else:
                self._suspect = encoded
                if not self._save():
                    return WalkEnd.CUT
            self._place.careful -= 1
        if error is None:
            results = call_handler(self._hooks, [entry], self._custom_data)
            error = results if isinstance(results, Exception) else results[0]
        goes_on = self._record_result(entry, reference, error, failed)
        self._suspect = b""
        return None if goes_on else WalkEnd.STOP

    def _record_result(
        self, entry: object, reference: object, error: Exception | None, failed: int
    ) -> bool:
        """Count an entity as done, put it off, or give it up; False if the run stops at it."""
        if error is None:
            self._place.done += 1
            return True
        self._shard = self._shard._replace(error=error_summary(error))
        where = path_of(reference)
        if failed < self._hooks.max_entry_retries:
            event("iteration.retry", logging.WARNING, "An entity failed", error=error, entity=where)
            self._retry_later(reference, failed + 1)
            return True
        event("iteration.error", logging.ERROR, error_summary(error), error=error, entity=where)
        answer = call_handle_error(self._hooks, entry, self._custom_data, error)
        if answer is OnError.RETRY:
            self._retry_later(reference, 0)
        elif answer is OnError.CONTINUE:
            self._give_up(reference, error)
        else:
            self._shard = self._shard._replace(error=f"{error_summary(error)} (at {where})")
        return answer is not OnError.STOP

    def _retry_later(self, reference: object, failed: int) -> None:
        due = self._adapters.clock.now() + retry_delay(max(1, failed))
        self._retries.append(Retry(reference, failed, due))

    def _give_up(self, reference: object, error: Exception) -> None:
        """Count an entity as done and keep its error."""
        kept = with_failure(
            self._shard.failures, RunError(path_of(reference), error_summary(error))
        )
        self.given_up.append((path_of(reference), error_summary(error), reference))
        self._place.done += 1
        self._shard = self._shard._replace(errors=self._shard.errors + 1, failures=kept)

    def _check_end(self) -> WalkEnd | None:
        """Return why the walk ends between two entities; None if it goes on."""
        if self._most_errors is not None and self._shard.errors > self._most_errors:
            error = f"More entities failed than max_failures allows; the last: {self._shard.error}"
            self._shard = self._shard._replace(error=error)
            return WalkEnd.STOP
        if self._adapters.clock.monotonic() >= self._deadline:
            return WalkEnd.TIME
        is_cut = self._should_end() or self._adapters.is_stopping()
        return WalkEnd.CUT if is_cut else None


_NOTHING = Page(entries=(), cursors=(), more=False)

"""One step of a shard: read pages and call the user's hooks until the time is up."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any, NamedTuple

from adjourn.clock import Clock
from adjourn.iteration.hooks import Hooks, OnError, asked, handed
from adjourn.iteration.shards import RunError, Shard, path_of, pause_after, said, with_failure
from adjourn.log import event
from adjourn.ports import Page, QuerySource
from adjourn.serialization.codec import Codec

# So many entities of a shard can wait to be tried again; then it reads no further ones.
MOST_RETRIES = 100


class Ending(Enum):
    """How a step ended."""

    TIME = auto()  # it was up
    CUT = auto()  # short of it, since the process is to stop or a batch failed
    WAIT = auto()  # nothing is left but entities that are not yet due again
    END = auto()  # of the shard
    STOP = auto()  # of the run


class Surroundings(NamedTuple):
    """What a walk needs of the outside world."""

    queries: QuerySource
    codec: Codec
    clock: Clock
    ahead: Callable[[Callable[[], Page]], Callable[[], Page]]
    is_stopping: Callable[[], bool]


class _Retry(NamedTuple):
    """An entity that failed `failed` times in this round and is due again."""

    reference: object
    failed: int
    due: dt.datetime


@dataclass(slots=True, eq=False)
class _Place:
    """How far a walk is: what changes with each entity, as of a shard."""

    cursor: str
    done: int
    singly: int


class Walk:
    """Carries a claimed shard on."""

    def __init__(
        self, shard: Shard, custom_data: object, hooks: Hooks, surroundings: Surroundings
    ) -> None:
        self._shard = shard
        self._place = _Place(shard.cursor, shard.done, shard.singly)
        self._custom_data = custom_data
        self._hooks = hooks
        self._around = surroundings
        self._query: Mapping[str, Any] = surroundings.codec.loads(shard.query)
        self._retries = [_Retry(*each) for each in surroundings.codec.loads(shard.retries)]
        self._deadline = surroundings.clock.monotonic() + shard.seconds
        self._next: tuple[str, Callable[[], Page]] | None = None

    def go(self) -> Ending:
        """Do one step's work.

        Raises:
            StoreError: Something could not be read; what was handled before stays true.
        """
        ending = self._retry()
        while ending is None:
            ending = self._page()
        return ending

    def result(self) -> Shard:
        """Return the shard as it is now."""
        told = [list(each) for each in self._retries]
        return self._shard._replace(
            cursor=self._place.cursor,
            done=self._place.done,
            singly=self._place.singly,
            retries=self._around.codec.dumps(told),
            waiting=len(told),
        )

    def next_due(self) -> dt.datetime | None:
        """Return when the first entity is due again that has failed before."""
        return min((each.due for each in self._retries), default=None)

    # Entities that have failed before

    def _retry(self) -> Ending | None:
        """Try again what is due; None if the step goes on with further entities."""
        now = self._around.clock.now()
        due = [each for each in self._retries if each.due <= now]
        if not due:
            return self._room()
        found = self._around.queries.find(self._query, [each.reference for each in due])
        for retry, entry in zip(due, found, strict=True):
            goes_on = True
            if entry is None:  # it is gone, so there is nothing to be done with it
                self._place.done += 1
            else:
                goes_on = self._single(entry, retry.reference, retry.failed)
            # Not before: when Datastore keeps the hook from handling it, it waits on.
            self._retries.remove(retry)
            if not goes_on:
                self._retries.append(_Retry(retry.reference, 0, now))
                return Ending.STOP
            if ending := self._is_over():
                return ending
        return self._room()

    def _room(self) -> Ending | None:
        return Ending.WAIT if len(self._retries) >= MOST_RETRIES else None

    # Entities that come for the first time

    def _page(self) -> Ending | None:
        """Handle a page; None if the step goes on."""
        size = min(self._hooks.batch_size, self._left(0))
        page = self._read(size) if size > 0 else _NOTHING
        if page.more:
            self._read_ahead(page)
        if self._hooks.in_batches and not self._place.singly and len(page.entries) > 1:
            ending = self._batch(page)
        else:
            ending = self._one_by_one(page)
        if ending is None and not page.more:
            return Ending.WAIT if self._retries else Ending.END
        return ending

    def _read(self, size: int) -> Page:
        ahead, self._next = self._next, None
        if ahead is not None and ahead[0] == self._place.cursor:
            return ahead[1]()
        return self._around.queries.page(self._query, cursor=self._place.cursor, limit=size)

    def _read_ahead(self, page: Page) -> None:
        """Begin to read what comes after a page while that is handled."""
        size, cursor = self._left(len(page.entries)), page.cursors[-1]
        if size > 0:
            size = min(self._hooks.batch_size, size)
            read = partial(self._around.queries.page, self._query, cursor=cursor, limit=size)
            self._next = (cursor, self._around.ahead(read))

    def _left(self, taken: int) -> int:
        """Return how many entities the query's limit leaves, a batch and more if it has none."""
        limit = self._query.get("limit")
        if limit is None:
            return self._hooks.batch_size
        left: int = limit - self._place.done - len(self._retries) - taken
        return left

    def _batch(self, page: Page) -> Ending | None:
        references = self._referred(page)
        told = handed(self._hooks, page.entries, self._custom_data)
        if isinstance(told, Exception):
            text = f"A batch of {len(page.entries)} failed; they come one by one"
            event("iteration.retry", logging.WARNING, text, error=told)
            self._shard = self._shard._replace(error=said(told))
            self._place.singly = len(page.entries)
            return Ending.CUT
        self._place.cursor = page.cursors[-1]
        stopped = [
            reference
            for entry, reference, error in zip(page.entries, references, told, strict=True)
            if not self._is_settled(entry, reference, error, 0)
        ]
        now = self._around.clock.now()
        # Those behind them are done, so none of them can be the position.
        self._retries += [_Retry(reference, 0, now) for reference in stopped]
        if stopped:
            return Ending.STOP
        return self._is_over() or self._room()

    def _one_by_one(self, page: Page) -> Ending | None:
        places = zip(page.entries, self._referred(page), page.cursors, strict=True)
        for entry, reference, cursor in places:
            if not self._single(entry, reference, 0):
                return Ending.STOP
            self._place.cursor = cursor
            self._place.singly = max(0, self._place.singly - 1)
            if ending := self._is_over() or self._room():
                return ending
        return None

    def _referred(self, page: Page) -> list[object]:
        """Return how its entities are found again, before a hook may give them other keys."""
        return [self._around.queries.refer(self._query, entry) for entry in page.entries]

    # One entity

    def _single(self, entry: object, reference: object, failed: int) -> bool:
        """Handle an entity that has failed so often in this round; False if the run stops."""
        told = handed(self._hooks, [entry], self._custom_data)
        error = told if isinstance(told, Exception) else told[0]
        return self._is_settled(entry, reference, error, failed)

    def _is_settled(
        self, entry: object, reference: object, error: Exception | None, failed: int
    ) -> bool:
        """Note what became of an entity; False if the run stops."""
        if error is None:
            self._place.done += 1
            return True
        self._shard = self._shard._replace(error=said(error))
        if failed < self._hooks.max_entry_retries:
            event("iteration.retry", logging.WARNING, "An entity failed", error=error)
            self._put_off(reference, failed + 1)
            return True
        event("iteration.error", logging.ERROR, said(error), error=error)
        answer = asked(self._hooks, entry, self._custom_data, error)
        if answer is OnError.RETRY:
            self._put_off(reference, 0)
        elif answer is OnError.CONTINUE:
            self._count_error(reference, error)
        else:
            where = path_of(reference)
            self._shard = self._shard._replace(error=f"{said(error)} (at {where})")
        return answer is not OnError.STOP

    def _put_off(self, reference: object, failed: int) -> None:
        due = self._around.clock.now() + pause_after(max(1, failed))
        self._retries.append(_Retry(reference, failed, due))

    def _count_error(self, reference: object, error: Exception) -> None:
        kept = with_failure(self._shard.failures, RunError(path_of(reference), said(error)))
        self._place.done += 1
        self._shard = self._shard._replace(errors=self._shard.errors + 1, failures=kept)

    def _is_over(self) -> Ending | None:
        if self._around.clock.monotonic() >= self._deadline:
            return Ending.TIME
        return Ending.CUT if self._around.is_stopping() else None


_NOTHING = Page(entries=(), cursors=(), more=False)

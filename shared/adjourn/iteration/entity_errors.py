"""What becomes of an entity that failed: it is tried again, given up, or the run stops at it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from adjourn.clock import Clock
from adjourn.iteration.query_iter import OnError, QueryIter, answered
from adjourn.iteration.shards import (
    Retry,
    RunError,
    error_summary,
    path_of,
    retry_delay,
    with_failure,
)
from adjourn.log import event


@dataclass(kw_only=True, eq=False, repr=False)
class EntityErrors:
    """The errors of the entities of a shard, within one step.

    Attributes:
        hooks: The user's own.
        custom_data: The user's data, which the hooks may change.
        clock: The time.
        retries: The entities that are to be tried again.
        count: How many were given up.
        failures: The first of these, encoded.
        last: The last error.
        given_up: Those of this step: as text, the error, and what finds them.
    """

    hooks: QueryIter[Any]
    custom_data: object
    clock: Clock
    retries: list[Retry]
    count: int
    failures: bytes
    last: str
    given_up: list[tuple[str, str, object]] = field(default_factory=list)

    def decide(self, entry: object, reference: object, error: Exception, failed: int) -> OnError:
        """Put an entity off or give it up; return STOP if the run stops at it.

        Args:
            entry: The entity.
            reference: Finds it again.
            error: What it failed with.
            failed: How often it had failed in this round.
        """
        summary, where = error_summary(error), path_of(reference)
        self.last = summary
        if failed < self.hooks.max_entry_retries:
            event("iteration.retry", logging.WARNING, "An entity failed", error=error, entity=where)
            self._retry_later(reference, failed + 1)
            return OnError.RETRY
        event("iteration.error", logging.ERROR, summary, error=error, entity=where)
        answer = self._ask(entry, error, where)
        if answer is OnError.RETRY:
            self._retry_later(reference, 0)
        elif answer is OnError.CONTINUE:
            self._give_up(reference, where, summary)
        else:
            self.last = f"{summary} (at {where})"
        return answer

    def _retry_later(self, reference: object, failed: int) -> None:
        due = self.clock.now() + retry_delay(max(1, failed))
        self.retries.append(Retry(reference, failed, due))

    def _give_up(self, reference: object, where: str, summary: str) -> None:
        """Keep the error of an entity that counts as done."""
        self.failures = with_failure(self.failures, RunError(where, summary))
        self.given_up.append((where, summary, reference))
        self.count += 1

    def _ask(self, entry: object, error: Exception, where: str) -> OnError:
        """Call `handle_error` for an entity and return its answer. If it raises, that is STOP."""
        try:
            loaded = self._loaded(entry)
            answer = answered(self.hooks.handle_error(loaded, self.custom_data, error))
        except KeyboardInterrupt:
            raise
        except BaseException as another:  # noqa: BLE001 - a failing hook stops the run, as False does
            text = error_summary(another)
            event("iteration.error", logging.ERROR, text, error=another, entity=where)
            return OnError.STOP
        if isinstance(answer, OnError):
            return answer
        return OnError.CONTINUE if answer else OnError.STOP

    def _loaded(self, entry: object) -> object:
        """Return what `load` makes of an entity; the entity itself if `load` is what failed."""
        try:
            return answered(self.hooks.load(entry))
        except Exception:  # noqa: BLE001 - handle_error gets the error of the entity
            return entry

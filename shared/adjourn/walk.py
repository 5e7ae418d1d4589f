"""One step of an iteration: read pages and call the user's hooks until the time is up."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Protocol

from adjourn.clock import Clock
from adjourn.codec import Codec
from adjourn.errors import EncodeError
from adjourn.log import event
from adjourn.ports import QuerySource
from adjourn.runs import Run, Status

_LONGEST_ERROR = 500
_LONGEST_DATA = 900_000  # an entity has 1 MiB, and the query lies there too


class Hooks(Protocol):
    """What the user's `QueryIter` answers; documented there."""

    batch_size: ClassVar[int]
    step_seconds: ClassVar[float]

    def handle_entry(self, entry: Any, custom_data: Any) -> None:
        """Handle one entity."""

    def handle_error(self, entry: Any, custom_data: Any, exception: Exception) -> bool:
        """Say whether to go on."""

    def handle_finish(self, total_count: int, custom_data: Any) -> None:
        """Conclude the run."""


def encoded(custom_data: object, codec: Codec) -> bytes:
    """Return the user's data as a run keeps them.

    Raises:
        EncodeError: They cannot be carried, or are too big for the run's entity.
    """
    data = codec.dumps(custom_data, "custom_data")
    if len(data) > _LONGEST_DATA:
        raise EncodeError(
            f"custom_data takes {len(data):,} bytes and a run can keep {_LONGEST_DATA:,}; "
            "store it in an entity and keep its key"
        )
    return data


class Walk:
    """Carries a claimed run on; `run` is at any moment what would be true to store."""

    def __init__(
        self, run: Run, hooks: Hooks, *, queries: QuerySource, codec: Codec, clock: Clock
    ) -> None:
        self._run = run
        self._hooks = hooks
        self._queries = queries
        self._codec = codec
        self._clock = clock
        self._deadline = clock.monotonic() + hooks.step_seconds
        self._custom_data = codec.loads(run.custom_data)

    def go(self) -> None:
        """Do one step's work.

        Raises:
            StoreError: A page could not be read; what was handled before stays counted.
            Exception: Whatever the user's `handle_finish` raised.
        """
        if self._run.status is Status.FINISHING:
            self._hooks.handle_finish(self._run.done, self._custom_data)
            self._conclude(Status.FINISHED)
            return
        query: Mapping[str, object] = self._codec.loads(self._run.query)
        while self._page(query):
            pass

    def result(self) -> Run:
        """Return the run as it is now, with the data that the hooks left."""
        try:
            return replace(self._run, custom_data=encoded(self._custom_data, self._codec))
        except EncodeError as error:
            event("iteration.stopped", logging.ERROR, str(error), error=error, run=self._run.id)
            # What has ended cannot be stopped any more.
            status = Status.STOPPED if self._run.is_live else self._run.status
            return replace(self._run, status=status, last_error=str(error))

    def _page(self, query: Mapping[str, object]) -> bool:
        """Handle a page; return whether this step goes on."""
        page = self._queries.page(query, cursor=self._run.cursor, limit=self._hooks.batch_size)
        for entry, cursor in zip(page.entries, page.cursors, strict=True):
            if not self._entry(entry):
                self._conclude(Status.STOPPED)
                return False
            self._run = replace(self._run, done=self._run.done + 1, cursor=cursor)
            if self._clock.monotonic() >= self._deadline:
                self._conclude(Status.RUNNING)
                return False
        if not page.more:
            self._conclude(Status.FINISHING)
        return page.more

    def _entry(self, entry: object) -> bool:
        """Handle an entity; return whether the run goes on."""
        try:
            self._hooks.handle_entry(entry, self._custom_data)
        except SystemExit as error:
            # It must not take the function's process along, and handle_error gets an Exception.
            return self._failed(entry, RuntimeError(f"handle_entry called sys.exit({error})"))
        except Exception as error:  # noqa: BLE001 - whatever the user's code raises
            return self._failed(entry, error)
        return True

    def _failed(self, entry: object, error: Exception) -> bool:
        said = f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]
        event("iteration.error", logging.ERROR, said, error=error, run=self._run.id)
        self._run = replace(self._run, errors=self._run.errors + 1, last_error=said)
        return self._ask(entry, error)

    def _ask(self, entry: object, error: Exception) -> bool:
        try:
            return bool(self._hooks.handle_error(entry, self._custom_data, error))
        except (Exception, SystemExit) as another:  # noqa: BLE001 - a failing hook stops the run, as False does
            event("iteration.error", logging.ERROR, str(another), error=another, run=self._run.id)
            return False

    def _conclude(self, status: Status) -> None:
        self._run = replace(self._run, status=status, step=self._run.step + 1)
        if not self._run.is_live:
            level = logging.INFO if status is Status.FINISHED else logging.ERROR
            event(f"iteration.{status}", level, f"{self._run.done} done", run=self._run.id)

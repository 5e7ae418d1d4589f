"""The handle of a run, with which it is watched and changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from adjourn.iteration.shards import RunError
from adjourn.iteration.status import Status
from adjourn.iteration.validation import check_pace

if TYPE_CHECKING:
    from adjourn.iteration.control import Runs
    from adjourn.iteration.progress import RunState


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunHandle:
    """A run of an iteration.

    Attributes:
        id: Identifies the run; `Runs.get` takes it.
        is_new: False if the start found a run of its name.
    """

    id: str
    is_new: bool
    _runs: Runs = field(repr=False)

    def fetch(self) -> RunState | None:
        """Return the state of the run; None if its entity is gone.

        Raises:
            StoreError: Datastore could not be reached.
        """
        return self._runs.state(self.id)

    def failures(self) -> Iterator[RunError]:
        """Yield all entities that were given up. Errors are those of `Runs.get`."""
        from adjourn.iteration.failed_entities import failures  # noqa: PLC0415 - rarely needed

        return failures(self._runs.adapters, self._runs.shards(self._runs.load(self.id)))

    def rerun_failed(self) -> RunHandle:
        """Start a run over all entities that were given up, once this one has ended.

        Raises:
            DeclarationError: It has not ended, or gave no entity up. Others as for `pause`.
        """
        from adjourn.iteration.failed_entities import store_rerun  # noqa: PLC0415

        former, runs = self._runs.load(self.id), self._runs
        run = store_rerun(runs.adapters, former, runs.shards(former))
        runs.begin(run)
        return RunHandle(id=run.id, is_new=True, _runs=runs)

    def pause(self) -> bool:
        """Pause the run after the steps under way; False if it cannot be paused.

        If it raises, repeat it. The same holds for `resume`, `cancel` and `retry`.

        Raises:
            UnknownNameError: The run is gone.
            EnqueueError: Cloud Tasks did not accept a step.
            StoreError: Datastore could not be reached.
        """
        return self._runs.change(self.id, lambda run: run.paused())

    def resume(self) -> bool:
        """Continue a paused run; False if it is not paused. Errors are those of `pause`."""
        return self._runs.resume(self.id, {Status.PAUSED, Status.PAUSING})

    def retry(self) -> bool:
        """Continue a stopped run where it stopped; False if it is not. Errors as for `pause`."""
        return self._runs.resume(self.id, {Status.STOPPED})

    def pace(self, entities_per_second: float | None) -> bool:
        """Change how many entities the run handles in a second; False if it has ended for good.

        Steps under way follow within some seconds. Errors are those of `pause`.

        Args:
            entities_per_second: 0.001 to a million; None for as many as possible.

        Raises:
            DeclarationError: It is out of range.
        """
        check_pace(entities_per_second)
        pace = None if entities_per_second is None else float(entities_per_second)
        return self._runs.set_pace(self.id, pace)

    def cancel(self) -> bool:
        """Cancel the run for good after the steps under way; False if it cannot be cancelled.

        It cannot once it has ended or all its entities are handled. Errors are those of `pause`.
        """
        return self._runs.change(self.id, lambda run: run.cancelled())

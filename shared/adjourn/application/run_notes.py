"""Notes about runs, for what waits for their end: unique calls, windows, slots."""

from __future__ import annotations

from dataclasses import dataclass

from adjourn.application.declarations import Declarations
from adjourn.execution.current_task import Call
from adjourn.ports import EntityStore
from adjourn.tasks.enqueue import Enqueuer


@dataclass(kw_only=True, eq=False, repr=False)
class RunNotes:
    """Notes which task a run has, where that matters; for other calls it does nothing."""

    declared: Declarations
    enqueuer: Enqueuer

    @property
    def _store(self) -> EntityStore:
        return self.enqueuer.adapters.store

    def follow(self, call: Call, task: str) -> None:
        """Note the full name of the new task of a call that was enqueued again.

        Raises:
            StoreError: Datastore could not be reached.
        """
        if unique := call.envelope.unique:
            self.enqueuer.unique_calls.follow(unique, task, call.is_carried_by)
        if call.envelope.window:
            from adjourn.debounce.window import Window  # noqa: PLC0415 - for debounced calls
            from adjourn.debounce.window_records import WindowRecords  # noqa: PLC0415

            window = Window.of(call.envelope.window)
            WindowRecords(adapters=self.enqueuer.adapters).follow(window, task)
        elif call.envelope.schedule:
            from adjourn.schedules import stored_schedule  # noqa: PLC0415 - for runs of schedules

            stored_schedule.follow(self._store, call, task)
        elif len(self.declared.periodics):
            from adjourn.cron import due  # noqa: PLC0415 - for periodic functions

            due.follow(self._store, call, task)

    def note_delivery(self, call: Call) -> None:
        """Note that the run of a slot has a task.

        Raises:
            StoreError: Datastore could not be reached; the run must not begin.
        """
        if call.envelope.schedule:
            from adjourn.schedules import stored_schedule  # noqa: PLC0415 - for runs of schedules

            stored_schedule.note_delivery(self._store, call)
        elif len(self.declared.periodics):
            from adjourn.cron import due  # noqa: PLC0415 - for periodic functions

            due.note_delivery(self._store, call)

"""The services of an application in one deployment that its own code uses."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from adjourn.application.collecting import Collecting
from adjourn.application.declarations import Declarations
from adjourn.ports import Adapters
from adjourn.registry import Registry
from adjourn.settings import Settings
from adjourn.state.large_payloads import LargePayloads
from adjourn.state.transaction_markers import TransactionMarkers
from adjourn.tasks.task import Task

if TYPE_CHECKING:
    from adjourn.batches.ends import Ends
    from adjourn.iteration.control import Runs
    from adjourn.iteration.custom_data import CustomData
    from adjourn.iteration.revive import Reviver
    from adjourn.iteration.start import Starter
    from adjourn.schedules.scheduled_calls import ScheduledCalls
    from adjourn.startup import Startup
    from adjourn.state.cleanup import Cleaner
    from adjourn.tasks.enqueue import Enqueuer


class Services:
    """What enqueues calls, starts and watches runs, and cleans up.

    Each is made on first use, without I/O, so that a function imports only what it needs.
    """

    def __init__(self, declared: Declarations, settings: Settings, adapters: Adapters) -> None:
        self.settings = settings
        self._declared = declared
        self._adapters = adapters

    @property
    def adapters(self) -> Adapters:
        """The connections to Google's services, the clock and the like."""
        return self._adapters

    def check(self) -> None:
        """Check that all declared tasks can run in this deployment.

        Raises:
            DeclarationError: One cannot; the message says what to change.
            ConfigurationError: As for `Startup.check`.
        """
        for task in self._declared.tasks:
            task.defaults.check_timeout(task.name, self.settings.function_timeout)
        if self.startup:
            self.startup.check()

    @property
    def tasks(self) -> Registry[Task[..., Any]]:
        """The declared tasks."""
        return self._declared.tasks

    @cached_property
    def enqueuer(self) -> Enqueuer:
        """Enqueues calls."""
        from adjourn.state.call_records import CallRecords  # noqa: PLC0415 - for those who make some
        from adjourn.state.unique_records import UniqueCalls  # noqa: PLC0415
        from adjourn.tasks.enqueue import Enqueuer  # noqa: PLC0415

        adapters = self._adapters
        return Enqueuer(
            adapters=adapters,
            settings=self.settings,
            codec=self._declared.codec,
            propagator=self._declared.propagator,
            markers=self._markers,
            payloads=self._payloads,
            unique_calls=UniqueCalls(
                store=adapters.store, clock=adapters.clock, queue=adapters.queue
            ),
            call_records=CallRecords(store=adapters.store, clock=adapters.clock),
            collect=Collecting(),
        )

    @cached_property
    def startup(self) -> Startup | None:
        """Enqueues the startup tasks; None if there are none."""
        if not len(self._declared.startups):
            return None
        from adjourn.startup import Startup  # noqa: PLC0415 - for those who declare one

        return Startup(
            startups=self._declared.startups,
            store=self._adapters.store,
            clock=self._adapters.clock,
            instance=self._adapters.new_id(),
            revision=self.settings.revision,
        )

    @cached_property
    def runs(self) -> Runs:
        """The runs of the deployment, to be watched and controlled."""
        from adjourn.iteration.control import Runs  # noqa: PLC0415 - for those who iterate

        return Runs(adapters=self._adapters)

    @cached_property
    def starter(self) -> Starter:
        """What starts runs."""
        from adjourn.iteration.start import Starter  # noqa: PLC0415 - for those who start some

        return Starter(
            settings=self.settings,
            adapters=self._adapters,
            propagator=self._declared.propagator,
            custom_data=self._custom_data,
            runs=self.runs,
            markers=self._markers,
        )

    @cached_property
    def reviver(self) -> Reviver:
        """What enqueues the missing steps of runs."""
        from adjourn.iteration.revive import Reviver  # noqa: PLC0415 - for the task that does it

        return Reviver(runs=self.runs)

    @cached_property
    def cleaner(self) -> Cleaner:
        """What deletes expired records."""
        from adjourn.state.cleanup import Cleaner  # noqa: PLC0415 - for the task that does it

        return Cleaner(store=self.adapters.store, clock=self.adapters.clock)

    @cached_property
    def batch_ends(self) -> Ends:
        """Marks the ends of children of batches."""
        from adjourn.batches.ends import Ends  # noqa: PLC0415 - for those who have some

        return Ends(adapters=self._adapters)

    @cached_property
    def scheduled_calls(self) -> ScheduledCalls:
        """What schedules call, and what enqueues it."""
        from adjourn.schedules.scheduled_calls import ScheduledCalls  # noqa: PLC0415

        return ScheduledCalls(tasks=self.tasks, enqueuer=self.enqueuer)

    @cached_property
    def _markers(self) -> TransactionMarkers:
        adapters = self._adapters
        return TransactionMarkers(
            transactions=adapters.transactions, store=adapters.store, clock=adapters.clock
        )

    @cached_property
    def _custom_data(self) -> CustomData:
        from adjourn.iteration.custom_data import CustomData  # noqa: PLC0415 - for those who iterate

        return CustomData(
            codec=self._declared.codec, payloads=self._payloads, clock=self._adapters.clock
        )

    @cached_property
    def _payloads(self) -> LargePayloads:
        adapters = self._adapters
        return LargePayloads(store=adapters.store, clock=adapters.clock, sealer=adapters.sealer)

"""Wire what receives deliveries together, from declarations, settings and Google's services."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from adjourn.application.collecting import end_window
from adjourn.application.services import Services
from adjourn.execution.delivery import UserRequest, UserResponse
from adjourn.requests.gate import Gate, Receiver

if TYPE_CHECKING:
    from adjourn.application.run_notes import RunNotes
    from adjourn.batches.receiving import ChildReceiver
    from adjourn.callable_tasks.endpoint import CallableTaskEndpoint
    from adjourn.cron.tick import PeriodicRunner
    from adjourn.execution.call import CallExecutor
    from adjourn.execution.dead_letters import DeadLetterRecorder
    from adjourn.execution.retry_warning import RetryWarnings
    from adjourn.flow.admission import Admission


class Wiring(Services):
    """All services of an application in one deployment: what its code uses, and what receives."""

    @cached_property
    def receive_task(self) -> Receiver:
        """Runs the deferred calls that Cloud Tasks delivers."""
        from adjourn.execution.runner import TaskRunner  # noqa: PLC0415 - for the deferred function

        declared = self._declared
        runner = TaskRunner(
            tasks=declared.tasks,
            adapters=self._adapters,
            settings=self.settings,
            codec=declared.codec,
            payloads=self._payloads,
            markers=self._markers,
            retry_warnings=self._retry_warnings,
            executor=self._executor,
            on_periodic=self._notes.note_delivery,
            on_window=end_window,
            on_child=lambda *delivered: self.child_receiver(*delivered),  # noqa: PLW0108 - as above
        )
        receiver = self._opening(declared.wrap_task_runner(runner))
        return self._gate.admit_tasks(self.settings.deferred_url, receiver)

    def _opening(self, receiver: Receiver) -> Receiver:
        if self._adapters.sealer is None:
            return receiver
        from adjourn.execution.unsealing import opening  # noqa: PLC0415 - for those who have a key

        return opening(receiver, self._adapters, self.settings, self._dead_letters)

    @cached_property
    def _notes(self) -> RunNotes:
        from adjourn.application.run_notes import RunNotes  # noqa: PLC0415 - for the deferred function

        return RunNotes(declared=self._declared, enqueuer=self.enqueuer)

    @cached_property
    def _executor(self) -> CallExecutor:
        from adjourn.execution.call import CallExecutor  # noqa: PLC0415 - for the deferred function
        from adjourn.execution.crash_watch import CrashWatch  # noqa: PLC0415
        from adjourn.execution.resumption import Resumption  # noqa: PLC0415
        from adjourn.state.once_records import OnceRecords  # noqa: PLC0415

        adapters, records = self._adapters, self.enqueuer.call_records
        resumption = Resumption(
            enqueuer=self.enqueuer, records=records, on_resumed=self._notes.follow
        )
        return CallExecutor(
            adapters=adapters,
            settings=self.settings,
            propagator=self._declared.propagator,
            enqueuer=self.enqueuer,
            once_records=OnceRecords(
                store=adapters.store, transactions=adapters.transactions, clock=adapters.clock
            ),
            dead_letters=self._dead_letters,
            resumption=resumption,
            watch=CrashWatch(adapters=adapters, records=records, resumption=resumption),
            admit=lambda *delivered: self.admission(*delivered),  # noqa: PLW0108 - made on first use
        )

    @cached_property
    def admission(self) -> Admission:
        """Lets calls run within the limits of their flows."""
        from adjourn.flow.admission import Admission  # noqa: PLC0415 - for limited calls

        executor = self._executor
        return Admission(tasks=self._declared.tasks, executor=executor)

    @cached_property
    def child_receiver(self) -> ChildReceiver:
        """Receives the children of batches."""
        from adjourn.batches.receiving import ChildReceiver  # noqa: PLC0415 - for children

        return ChildReceiver(executor=self._executor, ends=self.batch_ends)

    def receive_person(self, asked: UserRequest) -> UserResponse:
        """Answer a person who asks about callable tasks."""
        return self._people(asked)

    @cached_property
    def _people(self) -> CallableTaskEndpoint:
        from adjourn.callable_tasks.endpoint import CallableTaskEndpoint  # noqa: PLC0415 - for those whom people ask
        from adjourn.callable_tasks.identity import user_identifier  # noqa: PLC0415
        from adjourn.state.user_starts import UserStarts  # noqa: PLC0415

        adapters = self._adapters
        is_sealing = adapters.sealer is not None and adapters.sealer.is_sealing
        return CallableTaskEndpoint(
            definitions=self._declared.callable_tasks,
            enqueuer=self.enqueuer,
            starts=None if is_sealing else UserStarts.of(adapters),
            identify=user_identifier(self.settings, adapters.verifier, adapters.clock),
        )

    @cached_property
    def receive_step(self) -> Receiver:
        """Carries out the iteration steps that Cloud Tasks delivers."""
        from adjourn.iteration.receiver import StepReceiver  # noqa: PLC0415 - for the queryiter function

        declared = self._declared
        receiver = StepReceiver(
            settings=self.settings,
            iterations=declared.iterations,
            propagator=declared.propagator,
            custom_data=self._custom_data,
            runs=self.runs,
            markers=self._markers,
            dead_letters=self._dead_letters,
            retry_warnings=self._retry_warnings,
        )
        opened = self._opening(declared.wrap_step_receiver(receiver))
        return self._gate.admit_tasks(self.settings.queryiter_url, opened)

    @cached_property
    def receive_tick(self) -> Receiver:
        """Enqueues what is due when Cloud Scheduler calls."""
        receive: Receiver = self.cron.receive
        if cron_names := self._declared.schedule_cron_names:
            from adjourn.schedules.fan_out import FanOut  # noqa: PLC0415 - for those who have some

            receive = FanOut(calls=self.scheduled_calls, cron_names=cron_names).after(receive)
        return self._gate.admit_ticks(self.settings.cron_url, receive)

    @cached_property
    def cron(self) -> PeriodicRunner:
        """Enqueues the periodic functions that are due."""
        from adjourn.cron.periodic import expanded  # noqa: PLC0415
        from adjourn.cron.tick import PeriodicRunner  # noqa: PLC0415 - for the cron function

        declared = self._declared
        return PeriodicRunner(
            names=declared.cron_names,
            periodics=lambda: expanded(declared.periodics, declared.objects),
            store=self._adapters.store,
            enqueuer=self.enqueuer,
            clock=self._adapters.clock,
        )

    @cached_property
    def _dead_letters(self) -> DeadLetterRecorder:
        from adjourn.execution.dead_letters import DeadLetterRecorder  # noqa: PLC0415 - for what runs

        return DeadLetterRecorder(
            store=self._adapters.store,
            clock=self._adapters.clock,
            notify=self._declared.hooks.notify_dead,
        )

    @cached_property
    def _retry_warnings(self) -> RetryWarnings:
        from adjourn.execution.retry_warning import RetryWarnings  # noqa: PLC0415 - for what runs

        return RetryWarnings(
            adapters=self._adapters,
            threshold=self.settings.retry_warning,
            notify=self._declared.hooks.notify_warning,
        )

    @cached_property
    def _gate(self) -> Gate:
        return Gate(adapters=self._adapters, settings=self.settings)

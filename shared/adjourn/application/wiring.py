"""Put an application's declarations, a deployment's settings and the outside world together."""

from __future__ import annotations

import datetime as dt
from functools import cached_property
from typing import TYPE_CHECKING, Any

from adjourn.application.declarations import Declarations
from adjourn.execution.dead_letters import DeadLetters
from adjourn.execution.delivery import Asked, Reply
from adjourn.execution.retry_warning import Alerts
from adjourn.ports import Adapters
from adjourn.registry import Registry
from adjourn.requests.gate import Gate, Receiver
from adjourn.serialization.envelope import Envelope
from adjourn.settings import Settings
from adjourn.state.large_payloads import Payloads
from adjourn.state.transaction_markers import Guard
from adjourn.tasks.task import Enqueuer, Task
from adjourn.tasks.unique import Uniques

if TYPE_CHECKING:
    from adjourn.callable_tasks.endpoint import People
    from adjourn.cron.tick import Cron
    from adjourn.iteration.control import Runs
    from adjourn.iteration.custom_data import CustomData
    from adjourn.iteration.revive import Reviver
    from adjourn.iteration.start import Starter
    from adjourn.startup import Startup


class Wiring:
    """The working parts: what enqueues and what receives.

    Each is made when it is first needed, without I/O; a function then imports only its own.
    """

    def __init__(self, declared: Declarations, settings: Settings, adapters: Adapters) -> None:
        self.settings = settings
        self._declared = declared
        self._adapters = adapters

    @property
    def adapters(self) -> Adapters:
        """The outside world."""
        return self._adapters

    def check(self) -> None:
        """Make sure that what was declared can run in this deployment.

        Raises:
            DeclarationError: It cannot; the message says what to mend.
            ConfigurationError: As for `Startup.check`.
        """
        for task in self._declared.tasks:
            task.defaults.check_timeout(task.name, self._longest)
        if self.startup:
            self.startup.check()

    @property
    def tasks(self) -> Registry[Task[..., Any]]:
        """What was declared to run later."""
        return self._declared.tasks

    @cached_property
    def enqueuer(self) -> Enqueuer:
        """What puts calls on queues."""
        adapters = self._adapters
        return Enqueuer(
            queue=adapters.queue,
            codec=self._declared.codec,
            clock=adapters.clock,
            new_id=adapters.new_id,
            chance=adapters.chance,
            default_queue=self.settings.queue,
            guard=self._guard,
            payloads=self._payloads,
            carrier=self._declared.carrier,
            uniques=Uniques(store=adapters.store, clock=adapters.clock),
            longest=self._longest,
        )

    @cached_property
    def startup(self) -> Startup | None:
        """What enqueues the startup tasks; None if there are none."""
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
            carrier=self._declared.carrier,
            custom_data=self._custom_data,
            runs=self.runs,
            markers=self._guard,
        )

    @cached_property
    def reviver(self) -> Reviver:
        """What enqueues the missing steps of runs."""
        from adjourn.iteration.revive import Reviver  # noqa: PLC0415 - for the task that does it

        return Reviver(runs=self.runs)

    @cached_property
    def receive_task(self) -> Receiver:
        """Runs the deferred calls that Cloud Tasks delivers."""
        from adjourn.execution.runner import TaskRunner  # noqa: PLC0415
        from adjourn.state.once import Ledger  # noqa: PLC0415 - for the deferred function

        declared, adapters = self._declared, self._adapters
        runner = TaskRunner(
            tasks=declared.tasks,
            codec=declared.codec,
            enqueuer=self.enqueuer,
            dead=self._dead,
            ledger=Ledger(
                store=adapters.store, transactions=adapters.transactions, clock=adapters.clock
            ),
            alerts=self._alerts,
            guard=self._guard,
            payloads=self._payloads,
            carrier=declared.carrier,
            translate=declared.translate,
            follow=self._follow,
            attempts_of=self.settings.attempts_of,
            project=self.settings.project,
            clock=adapters.clock,
            longest=self._longest,
        )
        return self._gate.admit_tasks(self.settings.deferred_url, runner)

    def _follow(self, envelope: Envelope, task: str) -> None:
        if len(self._declared.periodics):
            from adjourn.cron.due import follow  # noqa: PLC0415 - for runs that put themselves off

            follow(self._adapters.store, envelope, task)

    def receive_person(self, asked: Asked) -> Reply:
        """Answer a person who asks about callable tasks."""
        return self._people(asked)

    @cached_property
    def _people(self) -> People:
        from adjourn.callable_tasks.endpoint import People  # noqa: PLC0415 - for those whom people ask
        from adjourn.callable_tasks.identity import identifying  # noqa: PLC0415

        adapters = self._adapters
        return People(
            offers=self._declared.offers,
            enqueuer=self.enqueuer,
            identify=identifying(self.settings, adapters.verifier, adapters.clock),
        )

    @cached_property
    def receive_step(self) -> Receiver:
        """Carries out the iteration steps that Cloud Tasks delivers."""
        from adjourn.iteration.receiver import StepReceiver  # noqa: PLC0415 - for the queryiter function

        declared = self._declared
        receiver = StepReceiver(
            settings=self.settings,
            iterations=declared.iterations,
            carrier=declared.carrier,
            custom_data=self._custom_data,
            runs=self.runs,
            markers=self._guard,
            dead=self._dead,
            alerts=self._alerts,
        )
        return self._gate.admit_tasks(
            self.settings.queryiter_url, declared.wrap_step_receiver(receiver)
        )

    @cached_property
    def receive_tick(self) -> Receiver:
        """Enqueues what is due when Cloud Scheduler calls."""
        from adjourn.cron.ticks import CronRunner  # noqa: PLC0415 - for the cron function

        return self._gate.admit_ticks(self.settings.cron_url, CronRunner(cron=self.cron))

    @cached_property
    def cron(self) -> Cron:
        """What finds out which periodic functions are due, and enqueues them."""
        from adjourn.cron.periodic import found  # noqa: PLC0415
        from adjourn.cron.tick import Cron  # noqa: PLC0415 - for the cron function

        declared = self._declared
        return Cron(
            names=lambda: [each.timing.cron_name for each in declared.periodics],
            periodics=lambda: found(declared.periodics, declared.objects),
            store=self._adapters.store,
            enqueuer=self.enqueuer,
            clock=self._adapters.clock,
        )

    @property
    def _longest(self) -> dt.timedelta:
        return dt.timedelta(seconds=self.settings.function_timeout)

    @cached_property
    def _guard(self) -> Guard:
        adapters = self._adapters
        return Guard(transactions=adapters.transactions, store=adapters.store, clock=adapters.clock)

    @cached_property
    def _custom_data(self) -> CustomData:
        from adjourn.iteration.custom_data import CustomData  # noqa: PLC0415 - for those who iterate

        return CustomData(
            codec=self._declared.codec, payloads=self._payloads, clock=self._adapters.clock
        )

    @cached_property
    def _payloads(self) -> Payloads:
        return Payloads(store=self._adapters.store, clock=self._adapters.clock)

    @cached_property
    def _dead(self) -> DeadLetters:
        adapters = self._adapters
        return DeadLetters(store=adapters.store, clock=adapters.clock, tell=self._alerts.died)

    @cached_property
    def _alerts(self) -> Alerts:
        return Alerts(
            hooks=self._declared.hooks,
            store=self._adapters.store,
            clock=self._adapters.clock,
            threshold=self.settings.retry_warning,
        )

    @cached_property
    def _gate(self) -> Gate:
        return Gate(settings=self.settings, adapters=self._adapters)

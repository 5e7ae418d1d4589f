"""Put an application's declarations, a deployment's settings and the outside world together."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from adjourn.alerts import Alerts, Hooks
from adjourn.auth import CallerPolicy
from adjourn.codec import Codec
from adjourn.context import Carrier
from adjourn.cron import Cron, Periodic
from adjourn.deadletters import DeadLetters
from adjourn.delivery import Delivery, Outcome
from adjourn.dispatch import CronRunner, Gate, Handler, StepRunner
from adjourn.guard import Guard
from adjourn.ledger import Ledger
from adjourn.ports import Adapters
from adjourn.queryiter import Iterations, QueryIter
from adjourn.registry import Registry
from adjourn.runner import TaskRunner
from adjourn.settings import Settings
from adjourn.tasks import Enqueuer, Task

Receiver = Callable[[Delivery], Outcome]


@dataclass(eq=False, repr=False)
class Declarations:
    """All that an application declared, by name."""

    codec: Codec
    tasks: Registry[Task[..., Any]] = field(default_factory=lambda: Registry("task"))
    periodics: Registry[Periodic] = field(default_factory=lambda: Registry("periodic function"))
    iterations: Registry[type[QueryIter[Any]]] = field(
        default_factory=lambda: Registry("iteration")
    )
    hooks: Hooks = field(default_factory=Hooks)
    carrier: Carrier = field(default_factory=Carrier)


@dataclass(kw_only=True, eq=False, repr=False)
class Wiring:
    """The working parts: what enqueues and what receives."""

    settings: Settings
    enqueuer: Enqueuer
    iterations: Iterations
    receive_task: Receiver
    receive_step: Receiver
    receive_tick: Receiver


def wire(declared: Declarations, settings: Settings, adapters: Adapters) -> Wiring:
    """Make the working parts; no I/O takes place."""
    guard = Guard(transactions=adapters.transactions, store=adapters.store, clock=adapters.clock)
    dead = DeadLetters(store=adapters.store, clock=adapters.clock)
    enqueuer = Enqueuer(
        queue=adapters.queue,
        codec=declared.codec,
        clock=adapters.clock,
        new_id=adapters.new_id,
        chance=adapters.chance,
        default_queue=settings.queue,
        guard=guard,
        carrier=declared.carrier,
    )
    iterations = Iterations(
        registry=declared.iterations,
        store=adapters.store,
        queries=adapters.queries,
        queue=adapters.queue,
        codec=declared.codec,
        clock=adapters.clock,
        new_id=adapters.new_id,
        default_queue=settings.queue,
    )
    cron = Cron(
        periodics=declared.periodics,
        store=adapters.store,
        enqueue=lambda task: enqueuer.enqueue(task, (), {}),
        clock=adapters.clock,
    )
    tasks = TaskRunner(
        tasks=declared.tasks,
        codec=declared.codec,
        enqueuer=enqueuer,
        dead=dead,
        ledger=Ledger(store=adapters.store, clock=adapters.clock),
        alerts=Alerts(
            hooks=declared.hooks,
            store=adapters.store,
            clock=adapters.clock,
            threshold=settings.retry_warning,
        ),
        guard=guard,
        carrier=declared.carrier,
        project=settings.project,
        clock=adapters.clock,
    )

    def guarded(own_url: str, handler: Handler) -> Receiver:
        policy = CallerPolicy(
            audiences=settings.accepted_audiences(own_url), emails=settings.accepted_callers()
        )
        gate = Gate(policy=policy, verifier=adapters.verifier, clock=adapters.clock)
        return partial(gate.admit, handler=handler)

    return Wiring(
        settings=settings,
        enqueuer=enqueuer,
        iterations=iterations,
        receive_task=guarded(settings.deferred_url, tasks),
        receive_step=guarded(settings.queryiter_url, StepRunner(iterations=iterations, dead=dead)),
        receive_tick=guarded(settings.cron_url, CronRunner(cron=cron)),
    )

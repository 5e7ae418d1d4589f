"""Put an application's declarations, a deployment's settings and the outside world together."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from adjourn.alerts import Alerts, Hooks
from adjourn.auth import CallerPolicy, app_engine_cron, app_engine_task, bearer_token
from adjourn.codec import Codec
from adjourn.context import Carrier
from adjourn.cron import Cron, Periodic
from adjourn.deadletters import DeadLetters
from adjourn.delivery import Delivery, Outcome
from adjourn.dispatch import CronRunner, Gate, Handler, StepRunner
from adjourn.guard import Guard
from adjourn.ledger import Ledger
from adjourn.payloads import Payloads
from adjourn.ports import Adapters
from adjourn.queryiter import Iterations, QueryIter
from adjourn.registry import Registry
from adjourn.runner import TaskRunner
from adjourn.settings import Platform, Settings
from adjourn.tasks import Enqueuer, Task
from adjourn.unique import Uniques

Receiver = Callable[[Delivery], Outcome]
Identify = Callable[[Delivery], str]


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
    payloads = Payloads(store=adapters.store, clock=adapters.clock)
    enqueuer = Enqueuer(
        queue=adapters.queue,
        codec=declared.codec,
        clock=adapters.clock,
        new_id=adapters.new_id,
        chance=adapters.chance,
        default_queue=settings.queue,
        guard=guard,
        payloads=payloads,
        carrier=declared.carrier,
        uniques=Uniques(store=adapters.store, clock=adapters.clock),
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
        ledger=Ledger(
            store=adapters.store, transactions=adapters.transactions, clock=adapters.clock
        ),
        alerts=Alerts(
            hooks=declared.hooks,
            store=adapters.store,
            clock=adapters.clock,
            threshold=settings.retry_warning,
        ),
        guard=guard,
        payloads=payloads,
        carrier=declared.carrier,
        project=settings.project,
        clock=adapters.clock,
    )

    def guarded(own_url: str, handler: Handler, by_app_engine: Identify) -> Receiver:
        if settings.platform == Platform.APP_ENGINE:
            gate = Gate(identify=by_app_engine)
            return lambda delivery: gate.admit(delivery.as_app_engine_says(), handler)
        gate = Gate(identify=_by_token(settings, adapters, own_url))
        return lambda delivery: gate.admit(delivery, handler)

    steps = StepRunner(iterations=iterations, dead=dead)
    return Wiring(
        settings=settings,
        enqueuer=enqueuer,
        iterations=iterations,
        receive_task=guarded(settings.deferred_url, tasks, _by_task_queue),
        receive_step=guarded(settings.queryiter_url, steps, _by_task_queue),
        receive_tick=guarded(settings.cron_url, CronRunner(cron=cron), _by_cron),
    )


def _by_token(settings: Settings, adapters: Adapters, own_url: str) -> Identify:
    policy = CallerPolicy(
        audiences=settings.accepted_audiences(own_url), emails=settings.accepted_callers()
    )

    def identify(delivery: Delivery) -> str:
        claims = adapters.verifier.verify(bearer_token(delivery.authorization))
        return policy.check(claims, adapters.clock.now())

    return identify


def _by_task_queue(delivery: Delivery) -> str:
    return app_engine_task(delivery.app_engine.address, delivery.app_engine.queue)


def _by_cron(delivery: Delivery) -> str:
    return app_engine_cron(delivery.app_engine.address, is_cron=delivery.app_engine.is_cron)

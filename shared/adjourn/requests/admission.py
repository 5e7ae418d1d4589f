"""Which services are let in where, as a deployment's settings decide it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from adjourn.clock import Clock
from adjourn.execution.delivery import Delivery
from adjourn.ports import TokenVerifier
from adjourn.requests.auth import CallerPolicy, app_engine_cron, app_engine_task, bearer_token
from adjourn.requests.gate import Receiver, gated
from adjourn.settings import Platform, Settings


@dataclass(kw_only=True, eq=False, repr=False)
class Admission:
    """Puts gates in front of what handles deliveries."""

    settings: Settings
    verifier: TokenVerifier
    clock: Clock

    def of_tasks(self, own_url: str, handler: Receiver) -> Receiver:
        """Admit the tasks of Cloud Tasks to a function."""
        return self._gate(own_url, handler, _task_of_app_engine)

    def of_ticks(self, own_url: str, handler: Receiver) -> Receiver:
        """Admit the calls of Cloud Scheduler to a function."""
        return self._gate(own_url, handler, _cron_of_app_engine)

    def _gate(
        self, own_url: str, handler: Receiver, of_app_engine: Callable[[Delivery], str]
    ) -> Receiver:
        if self.settings.platform == Platform.APP_ENGINE:
            receive = gated(of_app_engine, handler)
            return lambda delivery: receive(delivery.as_app_engine_says())
        policy = CallerPolicy(
            audiences=self.settings.accepted_audiences(own_url),
            emails=self.settings.accepted_callers(),
        )

        def identify(delivery: Delivery) -> str:
            claims = self.verifier.verify(bearer_token(delivery.authorization))
            return policy.check(claims, self.clock.now())

        return gated(identify, handler)


def _task_of_app_engine(delivery: Delivery) -> str:
    return app_engine_task(delivery.app_engine.address, delivery.app_engine.queue)


def _cron_of_app_engine(delivery: Delivery) -> str:
    return app_engine_cron(delivery.app_engine.address, is_cron=delivery.app_engine.is_cron)

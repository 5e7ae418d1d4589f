"""An application with its outside world in memory."""

import datetime as dt
import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from adjourn.app import App
from adjourn.delivery import Asked, Delivery, Outcome, Reply
from adjourn.ports import Adapters, Target
from adjourn.retry import Attempt
from adjourn.settings import Settings
from adjourn.testing.clock import FakeClock
from adjourn.testing.queries import MemoryQueries
from adjourn.testing.queue import MemoryQueue, Queued
from adjourn.testing.store import MemoryStore
from adjourn.testing.transactions import MemoryTransactions
from adjourn.testing.verifier import MemoryVerifier

SETTINGS = Settings(
    project="sandbox",
    location="europe-west1",
    deferred_url="https://deferred.example",
    queryiter_url="https://queryiter.example",
    cron_url="https://cron.example",
    service_account="tasks@sandbox.iam.gserviceaccount.com",
    people_audiences=("people.example",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """An application with its outside world in memory."""

    app: App
    clock: FakeClock
    queue: MemoryQueue
    store: MemoryStore
    queries: MemoryQueries
    verifier: MemoryVerifier
    transactions: MemoryTransactions

    def deliver(self, queued: Queued) -> Outcome:
        """Deliver a task once and settle it as Cloud Tasks would; a failed one stays queued."""
        outcome = self._receive(queued)
        if outcome in {Outcome.DONE, Outcome.DEAD}:
            self.queue.delete(queued.name)
        else:
            executed = outcome is not Outcome.TROUBLE
            queued.last_status = outcome.name.lower()
            queued.attempt = Attempt(
                retry_count=queued.attempt.retry_count + 1,
                execution_count=queued.attempt.execution_count + executed,
            )
        return outcome

    def drain(self, limit: int = 1000) -> list[Outcome]:
        """Deliver what is due, and what that enqueues, until nothing is or something fails.

        Raises:
            AssertionError: More than `limit` deliveries were made.
        """
        outcomes: list[Outcome] = []
        while due := self.queue.due():
            if len(outcomes) >= limit:
                raise AssertionError(f"After {limit} deliveries {len(due)} tasks are still due.")
            outcomes.append(self.deliver(due[0]))
            if outcomes[-1] not in {Outcome.DONE, Outcome.DEAD}:
                break
        return outcomes

    def tick(self, cron_name: str = "default", scheduled: dt.datetime | None = None) -> Outcome:
        """Call the cron function as Cloud Scheduler does."""
        wiring = self.app.wiring()
        delivery = self.delivery(wiring.settings.cron_url, b"", path=f"/{cron_name}")
        return wiring.receive_tick(delivery._replace(scheduled=scheduled))

    def ask(
        self, email: str, key: str | None = None, parameters: Mapping[str, object] | None = None
    ) -> Reply:
        """List the callable tasks as a person, or start the one with this key."""
        wiring = self.app.wiring()
        audience = next(iter(wiring.settings.people_audiences), "")
        asked = Asked(
            authorization=[f"Bearer {self.verifier.token(email, audience)}"],
            method="GET" if key is None else "POST",
            key=key,
            content_type="application/json",
            body=json.dumps(dict(parameters or {})).encode(),
        )
        return wiring.receive_person(asked)

    def delivery(self, url: str, body: bytes, path: str = "/") -> Delivery:
        """Return a delivery to one of our functions, with a token that opens it."""
        token = self.verifier.token(self.app.wiring().settings.service_account, url)
        return Delivery(authorization=[f"Bearer {token}"], body=body, path=path)

    def _receive(self, queued: Queued) -> Outcome:
        wiring, task = self.app.wiring(), queued.task
        url, receive = {
            Target.DEFERRED: (wiring.settings.deferred_url, wiring.receive_task),
            Target.QUERYITER: (wiring.settings.queryiter_url, wiring.receive_step),
        }[task.target]
        delivery = self.delivery(url, task.body)
        return receive(
            delivery._replace(
                queue=task.queue,
                task_name=queued.name.rsplit("/", 1)[1],
                attempt=queued.attempt,
            )
        )


@contextmanager
def sandbox(app: App, settings: Settings = SETTINGS) -> Iterator[Sandbox]:
    """Give an application an outside world in memory for a while."""
    clock, store, queries = FakeClock(), MemoryStore(), MemoryQueries()
    queue, verifier = MemoryQueue(clock), MemoryVerifier(clock)
    transactions = MemoryTransactions(store)
    ids = itertools.count(1)
    adapters = Adapters(
        queue=queue,
        store=store,
        queries=queries,
        verifier=verifier,
        transactions=transactions,
        clock=clock,
        new_id=lambda: f"{next(ids):032x}",
        chance=lambda: 0.5,
        ahead=lambda work: work,  # and so a test has but one thread
    )
    with app.rewired(settings, adapters):
        yield Sandbox(
            app=app,
            clock=clock,
            queue=queue,
            store=store,
            queries=queries,
            verifier=verifier,
            transactions=transactions,
        )

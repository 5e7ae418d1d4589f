"""How the tasks of a sandbox are delivered."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field

from adjourn.app import App
from adjourn.application.wiring import Wiring
from adjourn.execution.attempt import Attempt
from adjourn.execution.delivery import Delivery, Outcome
from adjourn.ports import Target
from adjourn.testing.clock import FakeClock
from adjourn.testing.failures import listening
from adjourn.testing.queue import MemoryQueue, Queued
from adjourn.testing.verifier import MemoryVerifier

# What Cloud Tasks waits before a first retry, and at most, unless a queue or task says otherwise.
_MIN_BACKOFF, _MAX_BACKOFF = dt.timedelta(seconds=0.1), dt.timedelta(hours=1)
_MOST = 1000
_ENDED = {Outcome.DONE, Outcome.DEAD}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """What a sandbox does with its tasks; see `Sandbox`."""

    app: App
    wiring: Wiring
    clock: FakeClock
    queue: MemoryQueue
    verifier: MemoryVerifier
    is_inline: bool = False
    fails_fast: bool = False
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def deliver(self, queued: Queued) -> Outcome:
        """Deliver a task once and settle it as Cloud Tasks would; a failed one stays queued.

        Args:
            queued: One of `queue.tasks`, or one that was, whether or not it is due.

        Returns:
            What became of it.

        Raises:
            Exception: What the task raised, in a sandbox that fails fast.
            AssertionError: The task was not reached, in a sandbox that fails fast.
            RuntimeError: The sandbox is not at work.
        """
        self._check_at_work()
        with listening() as failures:
            # In production it would run elsewhere, with none of this context's variables.
            outcome = Context().run(self._receive, queued)
        if outcome in _ENDED:
            self.queue.settle(queued)
        else:
            executed = outcome is not Outcome.TROUBLE
            queued.last_status = outcome.name.lower()
            queued.attempt = Attempt(
                retry_count=queued.attempt.retry_count + 1,
                execution_count=queued.attempt.execution_count + executed,
            )
            wait = _backoff(queued) if self.is_inline else dt.timedelta()
            self.queue.put_back(queued, self.clock.now() + wait)
        if self.fails_fast:
            failures.check(queued.task.label, outcome)
        return outcome

    def drain(self, limit: int = _MOST) -> list[Outcome]:
        """Deliver what is due, and what that enqueues, until nothing is or something fails.

        A task that fails stays queued, behind the others that are due; so another `drain` goes on
        with those. An inline sandbox waits before it tries again, until `travel` gets there.

        Args:
            limit: How many deliveries are too many, as of tasks that enqueue tasks for ever.

        Returns:
            What became of each delivery.

        Raises:
            Exception: What a task raised, in a sandbox that fails fast.
            AssertionError: A task was not reached, in a sandbox that fails fast, or the limit was.
            RuntimeError: The sandbox is not at work.
        """
        with self._alone():
            return self._deliver_due(limit)

    def delivery(self, url: str, body: bytes, path: str = "/") -> Delivery:
        """Return a delivery to one of the functions, with a token that opens it.

        Args:
            url: That of the function, as in `SETTINGS`.
            body: That of the request.
            path: Behind the URL.
        """
        token = self.verifier.token(self.wiring.settings.service_account, url)
        return Delivery(authorization=[f"Bearer {token}"], body=body, path=path)

    def run_due(self) -> None:
        """Drain, unless that is being done: what a task enqueues comes after the task."""
        is_first = True
        while is_first and self.queue.due():
            with self._alone() as is_first:
                if is_first:
                    self._deliver_due(_MOST)

    def _check_at_work(self) -> None:
        if self.app._wiring is not self.wiring:  # noqa: SLF001 - it would wire a live application
            raise RuntimeError(
                "This sandbox is not at work: its `with` block has ended, or another sandbox of"
                " the application has begun in it. Let tasks run within the block."
            )

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Keep what is enqueued meanwhile from running at once; say whether nobody else does."""
        is_first = self._busy.acquire(blocking=False)
        try:
            yield is_first
        finally:
            if is_first:
                self._busy.release()

    def _deliver_due(self, limit: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while due := self.queue.due():
            if len(outcomes) >= limit:
                raise AssertionError(
                    f"After {limit} deliveries there is still {due[0].task.label} due, and"
                    f" {len(due) - 1} more. If no task enqueues itself for ever, raise the limit:"
                    f" drain(limit={10 * limit})."
                )
            outcomes.append(self.deliver(due[0]))
            if outcomes[-1] not in _ENDED and not self.is_inline:
                break
        return outcomes

    def _receive(self, queued: Queued) -> Outcome:
        wiring, task = self.wiring, queued.task
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


def _backoff(queued: Queued) -> dt.timedelta:
    first, longest = queued.task.min_backoff, queued.task.max_backoff
    wait = (first or _MIN_BACKOFF) * (1 << min(queued.attempt.retry_count - 1, 16))
    return min(wait, longest or _MAX_BACKOFF)

"""The delivery of the tasks of a sandbox."""

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
from adjourn.testing.fake_clock import FakeClock
from adjourn.testing.logged_failures import collecting
from adjourn.testing.task_queue import MemoryQueue, Queued
from adjourn.testing.token_verifier import MemoryVerifier

# The default backoff of Cloud Tasks, where neither queue nor task sets another.
_MIN_BACKOFF, _MAX_BACKOFF = dt.timedelta(seconds=0.1), dt.timedelta(hours=1)
_MOST = 1000
_ENDED = {Outcome.DONE, Outcome.DEAD}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """Delivers the tasks of a sandbox; see `Sandbox`."""

    app: App
    wiring: Wiring
    clock: FakeClock
    queue: MemoryQueue
    verifier: MemoryVerifier
    is_inline: bool = False
    fails_fast: bool = False
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def deliver(self, queued: Queued) -> Outcome:
        """Deliver a task once, as Cloud Tasks would; a failed task stays queued.

        Args:
            queued: A present or former task of `queue.tasks`, whether or not it is due.

        Returns:
            The outcome.

        Raises:
            Exception: What the task raised, in a sandbox that fails fast.
            AssertionError: The task did not run, in a sandbox that fails fast.
            RuntimeError: The sandbox is not active.
        """
        self._check_active()
        with collecting() as failures:
            # In production a task runs elsewhere, without the context variables of its caller.
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
        """Deliver the due tasks, and those that they enqueue, until none is due or one fails.

        A failed task stays queued behind the others that are due, so that another `drain` goes on
        with those. An inline sandbox retries it after its backoff, when `travel` reaches that time.

        Args:
            limit: Most deliveries, since tasks may enqueue tasks for ever.

        Returns:
            The outcome of each delivery.

        Raises:
            Exception: What a task raised, in a sandbox that fails fast.
            AssertionError: The limit was reached; or a task did not run, in a sandbox that fails
                fast.
            RuntimeError: The sandbox is not active.
        """
        with self._alone():
            return self._deliver_due(limit)

    def delivery(self, url: str, body: bytes, path: str = "/") -> Delivery:
        """Return a delivery to one of the functions, with a token that it accepts.

        Args:
            url: URL of the function, as in `SETTINGS`.
            body: Body of the request.
            path: Path behind the URL.
        """
        token = self.verifier.token(self.wiring.settings.service_account, url)
        return Delivery(authorization=[f"Bearer {token}"], body=body, path=path)

    def run_due(self) -> None:
        """Deliver the due tasks, unless a task is being delivered; then its calls run after it."""
        is_first = True
        while is_first and self.queue.due():
            with self._alone() as is_first:
                if is_first:
                    self._deliver_due(_MOST)

    def _check_active(self) -> None:
        if self.app._wiring is not self.wiring:  # noqa: SLF001 - `wiring()` would wire a live application
            raise RuntimeError(
                "This sandbox is not active: its `with` block has ended, or another sandbox of"
                " the application has begun in it. Let tasks run within the block."
            )

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Keep calls from running at once in a `with` block; yield False if another block does."""
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

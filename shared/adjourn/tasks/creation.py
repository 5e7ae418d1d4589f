"""Create the tasks of calls that are ready."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from adjourn.concurrency import batches, in_threads
from adjourn.errors import EnqueueError, TaskExistsError
from adjourn.ports import Adapters, NewTask, Target
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn.state.call_records import CallRecords
from adjourn.state.large_payloads import LargePayloads
from adjourn.tasks.prepared import Prepared, Tried

if TYPE_CHECKING:
    from adjourn.tasks.handle import Enqueued, TaskHandle
    from adjourn.tasks.results import Results

# Cloud Tasks accepts a start at most 30 days ahead (https://cloud.google.com/tasks/docs/quotas).
# A call with a later start is enqueued for this long and then enqueued again.
LONGEST_DELAY = dt.timedelta(days=29)


@dataclass(kw_only=True, eq=False, repr=False)
class TaskCreator:
    """Creates the tasks of calls.

    Attributes:
        told: What it was told of that it holds up an event loop.
    """

    adapters: Adapters
    codec: Codec
    payloads: LargePayloads
    call_records: CallRecords
    told: set[str] = field(default_factory=set)

    def create_all(self, prepared: Iterable[Tried]) -> Iterator[Enqueued]:
        """Create tasks, in batches, while the results are consumed; errors are passed through."""

        def size(one: Tried) -> int:
            return len(one.task.body) if isinstance(one, Prepared) else 0

        return in_threads(self._create_many, batches(prepared, size))

    def with_task(
        self, envelope: Envelope, *, name: str | None, eta: dt.datetime | None
    ) -> Prepared:
        """Return a call with its task, which is named after the call unless a name is given.

        Cloud Tasks is slower with named tasks. But if the answer to the creation of an unnamed
        task is lost, it can be neither repeated without the risk of a duplicate nor left out
        without the risk of a loss. The ids are random, because the documentation advises against
        names with a common prefix.
        """
        task_eta = eta and min(eta, self.adapters.clock.now() + LONGEST_DELAY)
        if task_eta != eta:
            envelope = envelope._replace(starts_at=eta, hops_at=task_eta)
        task = NewTask(
            target=Target.DEFERRED,
            label=envelope.task,
            queue=envelope.queue,
            body=self.payloads.body_for(envelope, self.codec, eta),
            name=name or envelope.id,
            eta=task_eta,
            timeout=envelope.timeout,
            min_backoff=envelope.min_backoff,
            max_backoff=envelope.max_backoff,
        )
        return Prepared(
            id=envelope.id,
            made_at=envelope.enqueued_at,
            eta=eta,
            task=task,
            keeps_result=envelope.keep_result is not None,
        )

    def results(self) -> Results:
        """Return the results of calls."""
        from adjourn.tasks.results import Results  # noqa: PLC0415 - for those who keep some

        return Results(_adapters=self.adapters, _codec=self.codec, _told=self.told)

    def create(self, prepared: Prepared) -> TaskHandle:
        """Create the task of a call, unless one of its name exists.

        Raises:
            EnqueueError: Cloud Tasks did not accept the task.
        """
        try:
            name: str | None = self.adapters.queue.enqueue(prepared.task)
        except TaskExistsError:
            name = None
        return self._handle(prepared, name)

    def _create_many(self, batch: Sequence[Tried]) -> Sequence[Enqueued]:
        tasks = [one.task for one in batch if isinstance(one, Prepared)]
        replies = iter(self.adapters.queue.enqueue_many(tasks))
        return [
            self._result(one, next(replies)) if isinstance(one, Prepared) else one for one in batch
        ]

    def _result(self, prepared: Prepared, reply: str | EnqueueError) -> TaskHandle | EnqueueError:
        if isinstance(reply, TaskExistsError):
            return self._handle(prepared, None)
        return reply if isinstance(reply, EnqueueError) else self._handle(prepared, reply)

    def _handle(self, prepared: Prepared, name: str | None) -> TaskHandle:
        """Return the handle of a new task with this full name, or of an existing one if None."""
        from adjourn.tasks.handle import TaskHandle  # noqa: PLC0415 - for those who enqueue

        task, queue = prepared.task, self.adapters.queue
        return TaskHandle(
            id=prepared.id if name else None,
            name=name or queue.full_name(task.queue, task.name or ""),
            queue=task.queue,
            eta=prepared.eta,
            is_new=name is not None,
            _queue=queue,
            _records=self.call_records,
            _task=task.label,
            _made_at=prepared.made_at,
            _results=self.results if prepared.keeps_result else None,
        )

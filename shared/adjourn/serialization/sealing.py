"""Adapters that seal: all tasks that are enqueued through them carry a seal of the application."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from adjourn.errors import EnqueueError
from adjourn.ports import Adapters, NewTask, Sealer, TaskQueue, TaskState
from adjourn.serialization.seals import Key, KeySealer, Sort
from adjourn.settings import Seal, Settings

_SORTS = {Seal.SIGNED: Sort.SIGNED, Seal.ENCRYPTED: Sort.ENCRYPTED}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SealingQueue:
    """A task queue that seals the bodies of new tasks for the queue and the name that they get."""

    queue: TaskQueue
    sealer: Sealer

    def connect(self) -> None:
        """Prepare for the first task; see `TaskQueue.connect`."""
        self.queue.connect()

    def enqueue(self, task: NewTask) -> str:
        """Seal a task and enqueue it; see `TaskQueue.enqueue`."""
        return self.queue.enqueue(self._sealed(task))

    def enqueue_many(self, tasks: Sequence[NewTask]) -> list[str | EnqueueError]:
        """Seal tasks and enqueue them; see `TaskQueue.enqueue_many`."""
        return self.queue.enqueue_many([self._sealed(task) for task in tasks])

    def full_name(self, queue: str, name: str) -> str:
        """Return the full name of a task."""
        return self.queue.full_name(queue, name)

    def fetch(self, full_name: str) -> TaskState | None:
        """Return the state of a task."""
        return self.queue.fetch(full_name)

    def delete(self, full_name: str) -> bool:
        """Delete a task."""
        return self.queue.delete(full_name)

    def _sealed(self, task: NewTask) -> NewTask:
        return task._replace(body=self.sealer.seal(task.body, task.queue, task.name or ""))


def sealer_of(settings: Settings) -> Sealer | None:
    """Return what seals with the keys of the settings; None if there are none."""
    if not settings.envelope_key:
        return None
    return KeySealer(
        keys=[Key(text) for text in settings.envelope_key],
        sort=_SORTS.get(settings.seal),
        is_required=settings.envelope_required,
    )


def sealing(adapters: Adapters, settings: Settings) -> Adapters:
    """Return adapters with the keys of the settings, and with a queue that seals if it is to."""
    sealer = sealer_of(settings)
    if sealer is None:
        return adapters
    queue = SealingQueue(queue=adapters.queue, sealer=sealer) if sealer.is_sealing else None
    return replace(adapters, sealer=sealer, queue=queue or adapters.queue)

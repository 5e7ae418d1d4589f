"""Tasks that run soon after a process starts: each is enqueued on its own, and nobody waits."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from adjourn.clock import Clock
from adjourn.errors import ConfigurationError, DeclarationError
from adjourn.log import event
from adjourn.names import digest
from adjourn.ports import EntityStore, RecordKey
from adjourn.registry import Registry
from adjourn.tasks.task import Task

KIND = "AdjournStartup"

Once = Literal["instance", "revision"]

# Each attempt has Cloud Tasks tried for 20 seconds already.
_PAUSES = (1.0, 5.0, 25.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StartupTask:
    """A task that was declared with `@app.startup_task`."""

    task: Task[[], Any]
    once_per: Once


def startup_task(task: Task[[], Any], once_per: Once) -> StartupTask:
    """Return the declaration of a startup task.

    Raises:
        DeclarationError: An option contradicts it; the message says which.
    """
    if once_per not in {"instance", "revision"}:
        raise DeclarationError(f'once_per={once_per!r} must be "instance" or "revision".')
    if task.defaults.unique_by is not None:
        raise DeclarationError(f"{task.name} has once_per; leave unique_by out.")
    return StartupTask(task=task, once_per=once_per)


@dataclass(kw_only=True, eq=False, repr=False)
class Startup:
    """Enqueues the startup tasks of an application.

    Attributes:
        instance: What the processes of an instance have in common: those that were forked from the
            one in which this was made.
        revision: What all instances of a revision have in common; "" if nobody knows.
        sleep: Waits for so many seconds between attempts.
    """

    startups: Registry[StartupTask]
    store: EntityStore
    clock: Clock
    instance: str
    revision: str
    sleep: Callable[[float], object] = time.sleep
    _begun_in: int = field(default=0, init=False)
    _threads: Sequence[threading.Thread] = field(default=(), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def check(self) -> None:
        """Make sure that every task can be told apart from what ran before.

        Raises:
            ConfigurationError: One runs once per revision, and nobody knows which revision this is.
        """
        per_revision = [each.task.name for each in self.startups if each.once_per == "revision"]
        if per_revision and not self.revision:
            raise ConfigurationError(
                f"ADJOURN_REVISION is not set: what changes with each deployment, for"
                f" {per_revision[0]}, which runs once per revision."
            )

    def begin(self) -> Sequence[threading.Thread]:
        """Enqueue each task from a thread of its own, once in this process; return the threads.

        Raises:
            ConfigurationError: As for `check`.
        """
        self.check()
        with self._lock:
            if self._begun_in == os.getpid():
                return self._threads
            self._begun_in = os.getpid()
            self._threads = [
                threading.Thread(target=self._persist, args=(each,), daemon=True)
                for each in self.startups
            ]
        for thread in self._threads:
            thread.start()
        return self._threads

    def _persist(self, startup: StartupTask) -> None:
        name = startup.task.name
        for pause in (*_PAUSES, None):
            try:
                self._enqueue(startup)
            except Exception as error:  # noqa: BLE001 - whatever it is, a thread has nobody to tell
                level = logging.ERROR if pause is None else logging.WARNING
                text = f"{name} was not enqueued at the start"
                event("startup.failed", level, text, error=error, task=name)
            else:
                return
            if pause is not None:
                self.sleep(pause)

    def _enqueue(self, startup: StartupTask) -> None:
        """Enqueue a task unless another process of the same instance or revision has done so.

        The name of a task stays taken for an hour after its end; a revision lives longer, so what
        was enqueued is noted besides. What crashed in between is enqueued again, by its name.
        """
        is_for_long = startup.once_per == "revision"
        of = self.revision if is_for_long else self.instance
        name = digest(f"{startup.once_per}\n{of}\n{startup.task.name}")
        key = RecordKey(KIND, name)
        if is_for_long and self.store.get([key])[0] is not None:
            return
        handle = startup.task.options(name=f"{name}-startup").defer()
        if is_for_long:
            now = self.clock.now()
            self.store.put(key, {"task": startup.task.name, "revision": of, "enqueued_at": now})
        if handle.is_new:
            text = f"{startup.task.name} is queued, once per {startup.once_per}"
            event("startup.enqueued", logging.INFO, text, task=startup.task.name)

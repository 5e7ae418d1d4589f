"""Startup tasks: enqueued in the background soon after a process starts."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from adjourn.clock import Clock
from adjourn.concurrency import in_background
from adjourn.errors import ConfigurationError, DeclarationError
from adjourn.log import event
from adjourn.names import digest, plain_text
from adjourn.ports import EntityStore, RecordKey
from adjourn.registry import Registry
from adjourn.retrying import retry
from adjourn.tasks.task import Task

KIND = "AdjournStartup"

Once = Literal["instance", "revision"]

# Seconds between attempts, each of which has tried to reach Cloud Tasks for 20 seconds.
_PAUSES = (1.0, 5.0, 25.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StartupTask:
    """A task that was declared with `@app.startup_task`, and how often it is to run."""

    task: Task[..., Any]
    once_per: Once


def check_once(once_per: object) -> None:
    """Refuse another `once_per` than those that there are.

    Raises:
        DeclarationError: It is another one.
    """
    if once_per not in ("instance", "revision"):
        raise DeclarationError(f'once_per={once_per!r} must be "instance" or "revision".')


def startup_task(task: Task[..., Any], once_per: Once) -> StartupTask:
    """Return the declaration of a startup task.

    Raises:
        DeclarationError: An option is wrong; the message says which.
    """
    check_once(once_per)
    for name in ("unique_by", "debounce", "throttle"):
        if getattr(task.defaults, name) is not None:
            raise DeclarationError(f"{task.name} has once_per; leave {name} out.")
    return StartupTask(task=task, once_per=plain_text(once_per))


@dataclass(kw_only=True, eq=False, repr=False)
class Startup:
    """Enqueues the startup tasks of an application.

    Attributes:
        instance: Id of the instance, which all processes share that were forked from the one in
            which this was made.
        revision: Id of the revision, which all its instances share; "" if it is not known.
        sleep: Waits for some seconds between attempts.
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
        """Make sure that the revision is known if a task runs once per revision.

        Raises:
            ConfigurationError: It is not known.
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
            self._threads = in_background(self._enqueue_with_retries, self.startups)
        for thread in self._threads:
            thread.start()
        return self._threads

    def _enqueue_with_retries(self, startup: StartupTask) -> None:
        def log(level: int, error: Exception) -> None:
            name = startup.task.name
            text = f"The startup task {name} was not enqueued"
            event("startup.failed", level, text, error=error, task=name)

        try:
            retry(
                lambda: self._enqueue(startup),
                pauses=_PAUSES,
                is_transient=lambda _: True,
                sleep=self.sleep,
                on_retry=lambda error: log(logging.WARNING, error),
            )
        except Exception as error:  # noqa: BLE001 - nobody waits for the thread, so the log has it
            log(logging.ERROR, error)

    def _enqueue(self, startup: StartupTask) -> None:
        """Enqueue a task unless another process of the same instance or revision has done so.

        Cloud Tasks refuses the name of a task for an hour after its end. A revision lives longer,
        so a record says that its task was enqueued. If the process dies before the record is
        written, the next one enqueues the task again under the same name.
        """
        has_record = startup.once_per == "revision"
        owner = self.revision if has_record else self.instance
        name = digest(f"{startup.once_per}\n{owner}\n{startup.task.name}")
        key = RecordKey(KIND, name)
        if has_record and self.store.get([key])[0] is not None:
            return
        handle = startup.task.options(call_name=f"{name}-startup").defer()
        if has_record:
            now = self.clock.now()
            self.store.put(key, {"task": startup.task.name, "revision": owner, "enqueued_at": now})
        if handle.is_new:
            text = f"The startup task {startup.task.name} is queued, once per {startup.once_per}"
            event("startup.enqueued", logging.INFO, text, task=startup.task.name)

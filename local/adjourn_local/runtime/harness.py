"""A laptop stack for tests: it runs in this process, and the application here talks to it."""

import datetime as dt
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import grpc
from google.cloud.tasks_v2 import CloudTasksClient, Task
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from adjourn import App
from adjourn.settings import Settings
from adjourn.testing.clock import destination
from adjourn_local.runtime.functions import Print
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.stack import LOCATION, PROJECT, Ports, Stack

_PARENT = f"projects/{PROJECT}/locations/{LOCATION}"
_LOOK_EVERY = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunningStack:
    """A laptop stack that runs for tests.

    Attributes:
        app: The application, as this process has it.
        ports: Where everything listens.
        environment: The variables that lead to the stack; they are set in this process.
    """

    app: App
    ports: Ports
    environment: Mapping[str, str]
    _stack: Stack
    _loop: LoopThread
    _tasks: CloudTasksClient

    def now(self) -> dt.datetime:
        """Return the time of the stack, its functions and the application here."""
        return self._stack.clock.now()

    def travel(
        self, *, to: dt.datetime | None = None, by: dt.timedelta | float | None = None
    ) -> None:
        """Set the stack's clock on, `to` a time or `by` a duration, which may be given in seconds.

        What becomes due is delivered, and the clock goes on from there.

        Args:
            to: An aware datetime.
            by: A duration, in seconds if it is a number.

        Raises:
            ValueError: It is not exactly one of them, naive, or in the past.
        """
        goal = destination(self.now(), to=to, by=by)
        self._loop.call(lambda: self._stack.clock.jump(goal))

    def wait(self, timeout: float = 60) -> None:
        """Wait until no task is left but those that are not due within `timeout` seconds.

        What has failed and is to be tried again is waited for, whenever that is.

        Args:
            timeout: How long to wait, and how far ahead to look for what becomes due, in seconds.

        Raises:
            AssertionError: Some are not; the message names them.
        """
        until = time.monotonic() + timeout
        horizon = self.now() + dt.timedelta(seconds=timeout)
        while waiting := [
            task for task in self._queued() if task.dispatch_count or task.schedule_time <= horizon
        ]:
            if time.monotonic() > until:
                told = "\n".join(f"  {_told(task)}" for task in waiting[:10])
                raise AssertionError(f"After {timeout} s {len(waiting)} are not done:\n{told}")
            time.sleep(_LOOK_EVERY)

    def purge(self) -> None:
        """Delete all tasks that wait, such as one that a test has left failing."""
        for queue in self._tasks.list_queues(parent=_PARENT):
            self._tasks.purge_queue(name=queue.name)

    def _queued(self) -> Iterator[Task]:
        for queue in self._tasks.list_queues(parent=_PARENT):
            yield from self._tasks.list_tasks(parent=queue.name)


def _told(task: Task) -> str:
    path = task.http_request.url.rsplit("/", 1)[-1]
    status = task.last_attempt.response_status.message
    tried = f"tried {task.dispatch_count} times" + (f", {status}" if status else "")
    return f"{path} on {task.name.split('/')[5]}, {tried}, next at {task.schedule_time}"


class _StackClock:
    """The stack's clock, for the application in this process."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def now(self) -> dt.datetime:
        return self._stack.clock.now()

    def monotonic(self) -> float:
        return time.monotonic()


@contextmanager
def running_for_tests(app: App, spec: str, write: Print) -> Iterator[RunningStack]:
    """Run a stack without state on free ports, and lead this process and the application to it.

    Args:
        app: The application.
        spec: Where the functions find it, `package.module:app`.
        write: Takes each line that a function prints, after the function's name.
    """
    with LoopThread() as loop:
        # What this process imports, the functions can import, too.
        with _variables({"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}):
            stack = Stack(app, spec, write=write)
            loop.run(stack.__aenter__())
        try:
            with _connected(stack, app, loop) as handle:
                yield handle
        finally:
            loop.run(stack.__aexit__(None, None, None))


@contextmanager
def _connected(stack: Stack, app: App, loop: LoopThread) -> Iterator[RunningStack]:
    environment = stack.environment()
    settings = Settings.from_env(environment)
    with (
        _variables(environment),
        grpc.insecure_channel(f"127.0.0.1:{stack.ports.grpc}") as channel,
    ):
        adapters = app._adapters(settings)  # noqa: SLF001 - it is ours
        with app.rewired(settings, replace(adapters, clock=_StackClock(stack))):
            yield RunningStack(
                app=app,
                ports=stack.ports,
                environment=environment,
                _stack=stack,
                _loop=loop,
                _tasks=CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel)),
            )


@contextmanager
def _variables(wanted: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process for a while."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

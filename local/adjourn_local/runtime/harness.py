"""A laptop stack for tests, in the same process as the application under test."""

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
from adjourn.testing.fake_clock import destination
from adjourn_local.runtime.addresses import LOCATION, PROJECT, Ports
from adjourn_local.runtime.function_process import Print
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.stack import Stack
from adjourn_local.runtime.variables import variables
from adjourn_local.timing.clocks import ApplicationClock

_PARENT = f"projects/{PROJECT}/locations/{LOCATION}"
_LOOK_EVERY = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunningStack:
    """A laptop stack that runs for tests.

    Attributes:
        app: The application in this process.
        ports: The ports of the stack.
        environment: The variables that point to the stack; they are set in this process.
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
        """Move the stack's clock forward, `to` a time or `by` a duration.

        Tasks that become due are delivered, and the clock runs on from there.

        Args:
            to: An aware datetime.
            by: A duration; a number means seconds.

        Raises:
            ValueError: Not exactly one of both is given, or the time is naive or in the past.
        """
        goal = destination(self.now(), to=to, by=by)
        self._loop.call(lambda: self._stack.clock.jump(goal))

    def wait(self, timeout: float = 60) -> None:
        """Wait until all tasks are done that are due within `timeout` seconds.

        Tasks that have failed and will be retried count as due, whenever the retry is.

        Args:
            timeout: How long to wait, and how far ahead tasks count as due, in seconds.

        Raises:
            AssertionError: Tasks are left after `timeout` seconds; the message names them.
        """
        until = time.monotonic() + timeout
        horizon = self.now() + dt.timedelta(seconds=timeout)
        while waiting := [
            task for task in self._queued() if task.dispatch_count or task.schedule_time <= horizon
        ]:
            if time.monotonic() > until:
                listed = "\n".join(f"  {_describe(task)}" for task in waiting[:10])
                raise AssertionError(
                    f"After {timeout} s {len(waiting)} tasks are not done:\n{listed}"
                )
            time.sleep(_LOOK_EVERY)

    def purge(self) -> None:
        """Delete all queued tasks, such as one that keeps failing."""
        for queue in self._tasks.list_queues(parent=_PARENT):
            self._tasks.purge_queue(name=queue.name)

    def _queued(self) -> Iterator[Task]:
        for queue in self._tasks.list_queues(parent=_PARENT):
            yield from self._tasks.list_tasks(parent=queue.name)


def _describe(task: Task) -> str:
    path = task.http_request.url.rsplit("/", 1)[-1]
    status = task.last_attempt.response_status.message
    tried = f"tried {task.dispatch_count} times" + (f", {status}" if status else "")
    return f"{path} on {task.name.split('/')[5]}, {tried}, next at {task.schedule_time}"


@contextmanager
def running_for_tests(
    app: App, spec: str, write: Print, *, enforces_iam: bool = False
) -> Iterator[RunningStack]:
    """Run a stack without state on free ports, and connect the application to it.

    Args:
        app: The application.
        spec: The import path of the application for the functions, `package.module:app`.
        write: Called with a function's name and each line that the function prints.
        enforces_iam: Let the functions and the application do only what Terraform grants them.
    """
    with LoopThread() as loop:
        # The functions can import whatever this process can.
        with variables({"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}):
            stack = Stack(spec, write=write, enforces_iam=enforces_iam, application=lambda: app)
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
        variables(environment),
        grpc.insecure_channel(f"127.0.0.1:{stack.ports.grpc}") as channel,
    ):
        adapters = app._adapters(settings)  # noqa: SLF001 - of our own package
        with app.rewired(settings, replace(adapters, clock=ApplicationClock(stack.clock))):
            yield RunningStack(
                app=app,
                ports=stack.ports,
                environment=environment,
                _stack=stack,
                _loop=loop,
                _tasks=CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel)),
            )

"""Declare tasks that nobody calls: periodic functions and startup tasks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, Unpack, overload

from adjourn.application.coordination import CoordinatedCalls
from adjourn.application.importing import unless_importing
from adjourn.tasks.arguments import check_bare, check_plain
from adjourn.tasks.methods import TASK_CLASSES, is_method, undecorated
from adjourn.tasks.options import DeclaredOptions, Options, declared
from adjourn.tasks.task import Task

if TYPE_CHECKING:
    from adjourn.cron.periodic import Periodically
    from adjourn.schedules.control import Schedules
    from adjourn.startup import Once

P = ParamSpec("P")
R = TypeVar("R")


class AutomaticTasks(CoordinatedCalls):
    """The decorators for tasks that nobody calls; a part of `adjourn.App`."""

    @property
    def schedules(self) -> Schedules:
        """The schedules that are made at run time."""
        from adjourn.schedules.control import Schedules  # noqa: PLC0415 - for those who have some

        return Schedules(
            self._declared.schedule_cron_names,
            lambda: unless_importing(self.wiring).scheduled_calls,
        )

    def periodic(
        self,
        when: None = None,
        /,
        *,
        interval: dt.timedelta | None = None,
        cron: str | None = None,
        cron_name: str = "default",
        time_zone: str = "UTC",
        overlap: Literal["skip", "allow"] = "skip",
        grace: dt.timedelta | None = None,
        name: str | None = None,
        **options: Unpack[DeclaredOptions],
    ) -> Periodically:
        """Declare a function that runs regularly; a method runs on every registered object.

        Args:
            when: Always None, since `interval` or `cron` is given by its name.
            interval: Minimum time between two runs; zero to run at every call of Cloud Scheduler.
            cron: Instead of `interval`, a schedule: `0 3 * * *`, `every monday 09:00`,
                `1st monday of sep,oct 09:00`, `every 5 minutes from 10:00 to 14:00`.
            cron_name: The Cloud Scheduler job that triggers it. The job calls the URL of the cron
                function followed by this name.
            time_zone: Time zone of `cron`, such as `Europe/Berlin`. As in Cloud Scheduler, a time
                that occurs twice on a day is due twice; a time that does not occur is not due.
            overlap: "skip" leaves out a run while the last one is queued, runs or is retried.
            grace: A run that is found to be due later than this is left out.
            name: The stable name; `module.qualname` if None.
            options: Defaults of `adjourn.tasks.options.Options` for every run.

        Raises:
            DeclarationError: An argument, an option or the function is wrong.
        """
        from adjourn.cron import periodic  # noqa: PLC0415 - for those who declare one

        periodic.check_named(when)
        defaults = declared(options, *periodic.ARGUMENTS)
        timing = periodic.declared_timing(
            interval=interval,
            cron=cron,
            cron_name=cron_name,
            time_zone=time_zone,
            overlap=overlap,
            grace=grace,
        )
        periodic.check_options(options)

        def decorate(function: Callable[P, R]) -> Task[P, R]:
            check_plain(undecorated(function), "@app.periodic")
            check_bare(undecorated(function), "periodic", is_method=is_method(function))
            task: Task[P, R] = self._declare(function, name, defaults)
            declaration = periodic.PeriodicDeclaration(task=task, timing=timing)
            self._declared.periodics.add(task.name, declaration)
            return task

        return decorate

    def remove_periodic(self, task: Task[..., Any]) -> None:
        """Stop a function from being periodic, such as an inherited one; it stays deferred.

        Args:
            task: The task; a method of one object is removed for that object only.

        Raises:
            DeclarationError: It is not periodic.
        """
        from adjourn.cron.periodic import remove  # noqa: PLC0415 - for those who declare one

        remove(self._declared.periodics, self._declared.objects, task)

    @overload
    def startup_task(self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def startup_task(
        self,
        /,
        *,
        once_per: Once = "instance",
        name: str | None = None,
        **options: Unpack[DeclaredOptions],
    ) -> Callable[[Callable[P, R]], Task[P, R]]: ...
    def startup_task(
        self,
        function: Callable[P, R] | None = None,
        /,
        *,
        once_per: Once = "instance",
        name: str | None = None,
        **options: Unpack[DeclaredOptions],
    ) -> Task[P, R] | Callable[[Callable[P, R]], Task[P, R]]:
        """Declare a function that runs, as a task, soon after a process starts.

        Args:
            function: The function, when used without parentheses.
            once_per: For each "instance" that starts, or for the first one of each "revision".
            name: The stable name; `module.qualname` if None.
            options: Defaults of `adjourn.tasks.options.Options` for every run.

        Raises:
            DeclarationError: An option or the function is wrong, or the name is taken.
        """
        from adjourn.startup import check_once, startup_task  # noqa: PLC0415 - for those who declare one

        defaults = declared(options, "name", "once_per")
        check_once(once_per)

        def decorate(function: Callable[P, R]) -> Task[P, R]:
            check_plain(function, "@app.startup_task")
            check_bare(function, "a startup task")
            task: Task[P, R] = self._declare(function, name, defaults)
            self._declared.startups.add(task.name, startup_task(task, once_per))
            return task

        return decorate if function is None else decorate(function)

    def _declare(self, function: Callable[..., Any], name: str | None, defaults: Options) -> Any:
        task = self._declared.declare(
            function, TASK_CLASSES, self._enqueuer, name=name, defaults=defaults
        )
        if defaults.flow:
            self._limit(task)
        return task

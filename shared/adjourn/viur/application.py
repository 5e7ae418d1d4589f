"""The application on which ViUR's decorators declare, since they have none themselves."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from adjourn.app import App
from adjourn.cron.periodic import PeriodicDeclaration
from adjourn.errors import DeclarationError
from adjourn.execution.dead_letter import DeadLetter
from adjourn.execution.dead_letters import DeadHook
from adjourn.gcp.datastore_api import datastore_client
from adjourn.gcp.legacy import query_of
from adjourn.iteration.run_handle import RunHandle
from adjourn.ports import Adapters
from adjourn.settings import Settings
from adjourn.tasks.methods import Method, TaskClasses, undecorated
from adjourn.tasks.options import Options
from adjourn.tasks.task import Task
from adjourn.viur import installed, periodic, region
from adjourn.viur.arrivals import Arrivals
from adjourn.viur.calls import (
    DEFAULT_QUEUE,
    DEFERRED,
    DIRECT,
    DirectMethod,
    DirectTask,
    queues_of_configuration,
)
from adjourn.viur.codec import ViurCodec
from adjourn.viur.environment import ViurPropagator
from adjourn.viur.functions import as_function, check_bare, name_of
from adjourn.viur.limits import Limit, Mailer, limit_of, tell
from adjourn.viur.modules import ViurObjects, find_bound, unwrapped, with_methods
from adjourn.viur.people import adapted
from adjourn.viur.queries import ViurQuery, ViurRun
from adjourn.viur.transactions import ViurTransactions

if TYPE_CHECKING:
    from adjourn.startup import StartupTask


class ViurApp(App):
    """An `App` that is declared on by ViUR's names and understands calls that ViUR enqueued."""

    _codec_class = ViurCodec
    _objects_class = ViurObjects

    def __init__(self) -> None:
        super().__init__()
        self.callable_classes: dict[str, type] = {}
        self._mailers: list[Mailer] = []
        self._declared.propagator = ViurPropagator()
        Arrivals(
            declared=self._declared,
            wiring=self.wiring,
            start_run=self.start_run,
            run_startup_tasks=self.run_startup_tasks,
        ).declare()

    def configure(
        self,
        settings: Settings | None = None,
        *,
        datastore: Callable[[], Any] | None = None,
        user: Callable[[], str | None] | None = None,
        language: Callable[[], str | None] | None = None,
        environment: Any = None,
    ) -> None:
        """Say what is said of other applications where they are made; see `adjourn.App`.

        Args:
            settings: As there.
            datastore: As there; not needed for the transactions of ViUR's own db module.
            user: As there.
            language: As there.
            environment: A handler as there, or one whose `restore` returns nothing, as ViUR's do;
                ViUR's own `conf.tasks_custom_environment_handler` if None.

        Raises:
            DeclarationError: The application is in use already.
        """
        if self._wiring is not None:
            raise DeclarationError("Configure the application before anything is enqueued.")
        self._settings, self._datastore = settings, datastore
        self._declared.propagator = ViurPropagator(
            user=user, language=language, environment=environment
        )

    def on_mail(self, hook: Mailer) -> Mailer:
        """Let a function send the mails of `retry_n_times(..., email_recipients=...)`."""
        self._mailers.append(hook)
        return hook

    def add_main_app(self, main_app: object) -> None:
        """Let deferred and periodic methods run on the modules of an application.

        They are registered by their `modulePath`, or by the attributes under which they are found,
        down to the third level. No property is evaluated.

        Raises:
            DeclarationError: Two of them have the same path.
        """
        self.objects.set_main_app(main_app)
        for placed in with_methods(main_app):
            self.add_object(placed.path, placed.item)

    @property
    def objects(self) -> ViurObjects:
        """The modules that are known."""
        known = self._declared.objects
        if not isinstance(known, ViurObjects):
            raise TypeError("The objects are none of ViUR's.")
        return known

    @property
    def configured(self) -> Settings | None:
        """The settings that were given to `configure`."""
        return self._settings

    def declared_tasks(self) -> list[Task[..., Any]]:
        """Return what was declared to run later."""
        return list(self._declared.tasks)

    def declared_periodics(self) -> list[PeriodicDeclaration]:
        """Return what was declared to run again and again."""
        return list(self._declared.periodics)

    def declared_startups(self) -> list[StartupTask]:
        """Return what was declared to run soon after an instance starts."""
        return list(self._declared.startups)

    def call_deferred(self, function: Any) -> Any:
        """Declare a function or method that runs later when it is called."""
        if isinstance(function, DirectTask | DirectMethod):
            return self._deferring(function)
        return function if isinstance(function, Task) else self._declared_as(DEFERRED, function)

    def periodic_task(self, function: Any, interval: object, cron_name: str) -> Any:
        """Declare a function that runs again and again; one that was not deferred stays so."""
        task = self._task(function)
        check_bare(task)
        periodic.add(self._declared.periodics, self.objects, task, interval, cron_name)
        return task

    def remove_periodic(self, task: Any) -> None:
        """Let a function be periodic no more, under whatever cron names, or on one object.

        Raises:
            DeclarationError: It is not periodic.
        """
        periodic.remove_all(self._declared.periodics, self.objects, unwrapped(task) or task)

    def start_with(self, function: Any) -> Any:
        """Declare a function that runs, as a task, soon after an instance starts."""
        from adjourn.startup import startup_task  # noqa: PLC0415 - for those who declare one

        task = self._task(function)
        check_bare(task)
        self._declared.startups.add(task.name, startup_task(task, "instance"))
        return task

    def offer_callable(self, cls: Any) -> None:
        """Let people start what a class in ViUR's style does.

        Raises:
            DeclarationError: The class is wrong or its key is taken.
        """
        from adjourn.callable_tasks.definitions import define  # noqa: PLC0415 - for those who have one

        task_class, form = adapted(cls)
        definition = define(task_class, self._enqueuer, form)
        self._declared.callable_tasks.add(definition.key, definition)
        self._declared.tasks.add(definition.task.name, definition.task)
        self.callable_classes[definition.key] = cls

    def start_run(
        self, iteration: Any, query: ViurQuery, custom_data: object, name: str | None = None
    ) -> RunHandle:
        """Begin to walk over a query of ViUR's; see `adjourn.QueryIter.start`.

        Raises:
            DeclarationError: The query cannot be walked over.
        """
        has_skeleton = isinstance(custom_data, ViurRun) and custom_data.skeleton is not None
        if has_skeleton and not installed.is_installed():
            raise DeclarationError("It walks over a skeleton of ViUR, which is not installed here.")
        try:
            asked = query_of(self._client(), query._asdict())
        except (ValueError, TypeError) as error:
            raise DeclarationError(f"The query cannot be walked over: {error}") from error
        handle: RunHandle = iteration.start(
            asked,
            custom_data,
            name=name,
            start_cursor=query.start_cursor,
            end_cursor=query.end_cursor,
        )
        return handle

    def _client(self) -> Any:
        if self._datastore is not None:
            return self._datastore()
        own = getattr(sys.modules.get("viur.core.db.transport"), "__client__", None)
        return datastore_client(self.wiring().settings) if own is None else own

    def bound_to(self, task: Method[..., Any], item: object | None) -> tuple[Any, object] | None:
        """Return a method with the object on which ViUR would call it, at or below another one.

        Without that, all modules of the application are looked through.
        """
        top = self.objects.main_app if item is None else item
        found = None if top is None else find_bound(task, top)
        if found is None and item is None:
            found = next((each for _, each in self.objects.having(task)), None)
        return None if found is None else (task.on(found), found)

    def queues(self, default: str) -> frozenset[str]:
        """Return the short names of the queues that the declarations and the calls name.

        Calls are found in the source of the application's modules; of one whose queue is not
        written there, a log event says where it is.
        """
        from adjourn.viur.queues import named_in  # noqa: PLC0415 - for the command line

        modules = {task.function.__module__ for task in self._declared.tasks}
        modules |= {cls.__module__ for cls in self._declared.iterations}
        named = named_in(m for m in modules if not m.startswith("adjourn."))
        return super().queues(default) | (named | queues_of_configuration()) - {DEFAULT_QUEUE}

    def _environ(self) -> Mapping[str, str]:
        own = region.of(os.environ)
        is_told = os.environ.get("ADJOURN_LOCATION") or not own
        return os.environ if is_told else {**os.environ, "ADJOURN_LOCATION": own}

    def _adapters(self, settings: Settings) -> Adapters:
        adapters = super()._adapters(settings)
        transactions = ViurTransactions(adapters.transactions, settings)
        return replace(adapters, transactions=transactions)

    def _task(self, function: Any) -> Task[..., Any]:
        if isinstance(function, Task):
            return function
        task: Task[..., Any] = self._declared_as(DIRECT, function)
        return task

    def _declared_as(self, classes: TaskClasses, function: Any) -> Any:
        limit = limit_of(function)
        given = as_function(function)
        name = name_of(undecorated(given))
        if "<locals>" in name and any(each.name == name for each in self._declared.tasks):
            self._declared.tasks.remove(name)  # as in ViUR, the last one counts
        return self._declared.declare(
            given,
            classes,
            self._enqueuer,
            name=name,
            defaults=Options().changed(**limit.options()) if limit else Options(),
            on_dead=self._mailing(limit) if limit and limit.recipients else None,
        )

    def _mailing(self, limit: Limit) -> DeadHook:
        def mail(letter: DeadLetter) -> None:
            tell(self._mailers, limit, letter)

        return mail

    def _deferring(self, direct: Task[..., Any]) -> Task[..., Any]:
        """Put a task that is called deferred in the place of one that was declared periodic."""
        sort = DEFERRED.method if isinstance(direct, Method) else DEFERRED.task
        names = ["name", "function", "defaults", "on_dead"]
        names += ["objects", "is_on_class"] if isinstance(direct, Method) else []
        of = {name: getattr(direct, name) for name in names}
        task: Task[..., Any] = sort(**of, enqueuer=self._enqueuer)
        task.resemble(direct.function)
        declared = self._declared
        declared.tasks.remove(task.name)
        declared.tasks.add(task.name, task)
        periodic.replace_task(declared.periodics, self.objects, direct, task)
        for startup in [each for each in declared.startups if each.task is direct]:
            declared.startups.remove(task.name)
            declared.startups.add(task.name, replace(startup, task=task))
        return task


app = ViurApp()

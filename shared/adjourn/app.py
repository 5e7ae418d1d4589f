"""The object on which an application declares its tasks."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar, Unpack, overload

from adjourn import environment
from adjourn.application.app_arguments import check_context, check_settings, client_factory
from adjourn.application.declarations import Declarations
from adjourn.application.importing import unless_importing
from adjourn.application.iteration_classes import IterationClasses
from adjourn.application.wiring import Wiring
from adjourn.concurrency import in_background
from adjourn.errors import EnqueueError
from adjourn.execution.dead_letters import DeadHook
from adjourn.execution.retry_warning import WarningHook
from adjourn.gcp import google_adapters
from adjourn.gcp.datastore_values import DATASTORE_VALUES
from adjourn.log import event
from adjourn.ports import Adapters
from adjourn.serialization.codec import Codec
from adjourn.serialization.context import ContextPropagator, CustomEnvironmentHandler
from adjourn.serialization.types import Extension
from adjourn.settings import Settings
from adjourn.tasks.arguments import check_hook
from adjourn.tasks.methods import TASK_CLASSES
from adjourn.tasks.objects import OBJECT_PATH, ObjectRegistry
from adjourn.tasks.options import DeclaredOptions, declared
from adjourn.tasks.task import Task

if TYPE_CHECKING:
    from adjourn.callable_tasks.definitions import CallableTask
    from adjourn.iteration.query_iter import QueryIter
    from adjourn.tasks.enqueue import Enqueuer

P = ParamSpec("P")
R = TypeVar("R")
K = TypeVar("K", bound="type[CallableTask]")
C = TypeVar("C", bound="type[QueryIter[Any]]")
V = TypeVar("V", bound=type)


class App(IterationClasses):
    """An application's deferred calls, periodic functions and iterations.

    Creating one does no I/O: settings are read and Google's clients are made on first use.

    Args:
        settings: The deployment; read from the environment if None.
        datastore: The application's own Datastore client, or a function that returns it, which is
            called on first use. Calls made inside one of its transactions then run only if that is
            committed.
        user: Returns an identifier of the present user, for `current_task().user`.
        language: Returns the language of the present user, for `current_task().language`.
        environment: Passes further context on to the calls.

    Raises:
        DeclarationError: An argument is something else.
    """

    # What another library's names on adjourn do in a way of their own.
    _codec_class: ClassVar[type[Codec]] = Codec
    _objects_class: ClassVar[type[ObjectRegistry]] = ObjectRegistry

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        datastore: Callable[[], Any] | object | None = None,
        user: Callable[[], str | None] | None = None,
        language: Callable[[], str | None] | None = None,
        environment: CustomEnvironmentHandler | None = None,
    ) -> None:
        check_settings(settings)
        check_context(user, language, environment)
        self._settings = settings
        self._datastore = client_factory(datastore)
        propagator = ContextPropagator(user=user, language=language, environment=environment)
        codec = self._codec_class(extensions=(*DATASTORE_VALUES, OBJECT_PATH))
        self._declared = Declarations(codec, self._objects_class(codec), propagator=propagator)
        self._wiring: Wiring | None = None
        self._lock = threading.Lock()

    @overload
    def deferred(self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def deferred(
        self,
        /,
        *,
        name: str | None = None,
        aliases: Sequence[str] = (),
        on_dead: DeadHook | None = None,
        **options: Unpack[DeclaredOptions],
    ) -> Callable[[Callable[P, R]], Task[P, R]]: ...
    def deferred(
        self,
        function: Callable[P, R] | None = None,
        /,
        *,
        name: str | None = None,
        aliases: Sequence[str] = (),
        on_dead: DeadHook | None = None,
        **options: Unpack[DeclaredOptions],
    ) -> Task[P, R] | Callable[[Callable[P, R]], Task[P, R]]:
        """Declare a function that runs later when it is called.

        Args:
            function: The function, when used without parentheses.
            name: The stable name in the tasks; `module.qualname` if None.
            aliases: Former names, which tasks may still carry.
            on_dead: Called with the `DeadLetter` of each call that is given up.
            options: Defaults of `adjourn.tasks.options.Options` for every call.

        Raises:
            DeclarationError: An option or the function is wrong, or the name is taken.
        """
        defaults = declared(options, "aliases", "name", "on_dead")
        if on_dead is not None:
            check_hook(on_dead, "on_dead", "letter")

        def decorate(function: Callable[P, R]) -> Task[P, R]:
            task: Task[P, R] = self._declared.declare(
                function,
                TASK_CLASSES,
                self._enqueuer,
                name=name,
                aliases=aliases,
                defaults=defaults,
                on_dead=on_dead,
            )
            if defaults.flow:
                self._limit(task)
            return task

        return decorate if function is None else decorate(function)

    def on_dead(self, hook: DeadHook) -> DeadHook:
        """Register a function that is called with the `DeadLetter` of each task given up."""
        check_hook(hook, "@app.on_dead", "letter")
        self._declared.hooks.dead.append(hook)
        return hook

    def on_retry_warning(self, hook: WarningHook) -> WarningHook:
        """Register a function that is called once, with a `RetryWarning`, for each troubled call.

        A call is troubled when its retries reach `ADJOURN_RETRY_WARNING`, 25 by default. A log
        event is written in any case.
        """
        check_hook(hook, "@app.on_retry_warning", "warning")
        self._declared.hooks.warning.append(hook)
        return hook

    def run_startup_tasks(self, *, wait: bool = False) -> None:
        """Enqueue the startup tasks in the background, once in this process.

        The deferred function does so by itself. Call this in the application's own processes, after
        they are forked.

        Args:
            wait: Return only when all are enqueued or given up.

        Raises:
            ConfigurationError: Settings are missing or wrong.
        """
        startup = self.wiring().startup
        threads = startup.begin() if startup else ()
        for thread in threads if wait else ():
            thread.join()

    def warm_up(self) -> None:
        """Prepare the first call of this process in the background, and return at once.

        Otherwise that call imports gRPC and Google's credentials, and looks for the latter. Call
        this in the application's own processes, after they are forked.

        Raises:
            ConfigurationError: Settings are missing or wrong.
        """
        for thread in in_background(_connect, [self.wiring()]):
            thread.start()

    def callable_task(self, cls: K) -> K:
        """Register a `CallableTask` class, which people may start if its `can_call` admits them.

        Raises:
            DeclarationError: The class is wrong or its key is taken.
        """
        from adjourn.callable_tasks.definitions import define  # noqa: PLC0415 - for those who declare one

        definition = define(cls, self._enqueuer)
        self._declared.callable_tasks.add(definition.key, definition)
        self._declared.tasks.add(definition.task.name, definition.task)
        return cls

    def register(self, cls: V, *, name: str | None = None, aliases: Sequence[str] = ()) -> V:
        """Register a dataclass, enum, attrs class or pydantic model: its values can be arguments.

        Args:
            cls: The class.
            name: The stable name in the tasks; `module.qualname` if None.
            aliases: Former names, which tasks may still carry.

        Raises:
            DeclarationError: It is none of these, or a name is taken.
        """
        self._declared.register(cls, name, aliases)
        return cls

    def add_extension(self, extension: Extension) -> None:
        """Let objects of a class that cannot be registered be arguments.

        Raises:
            DeclarationError: The class or its tag is taken, or the extension is wrong.
        """
        self._declared.codec.extend(extension)

    def add_object(self, path: str, item: object) -> None:
        """Register an object that every process has, so that its deferred methods can be called.

        Raises:
            DeclarationError: The path is empty or taken, or the object already has one.
        """
        self._declared.objects.add(path, item)

    def queues(self, default: str) -> frozenset[str]:
        """Return the short names of the queues that the declarations use, `default` included."""
        return self._declared.queues(default)

    def cron_names(self) -> frozenset[str]:
        """Return the cron names for which Cloud Scheduler jobs are needed.

        That of the clean-up is among them where `ADJOURN_CLEANUP` turns it on.
        """
        settings = self._settings
        if settings.cleanup if settings else environment.read(os.environ).get("cleanup"):
            self._declare_cleanup()
        return self._declared.cron_names()

    def _declare_cleanup(self) -> None:
        """Declare the periodic function that deletes expired records, unless it is declared."""
        from adjourn.state import cleanup  # noqa: PLC0415 - for those who turn it on

        if any(each.task.name == cleanup.NAME for each in self._declared.periodics):
            return

        def clean_up() -> None:
            self.wiring().cleaner.clean_up()

        declare = self.periodic(
            interval=cleanup.INTERVAL, cron_name=cleanup.CRON_NAME, name=cleanup.NAME, max_retries=1
        )
        declare(clean_up)

    def wiring(self) -> Wiring:
        """Return the services of this application, made on first use.

        Raises:
            ConfigurationError: Settings are missing or wrong.
        """
        with self._lock:
            if self._wiring is None:
                settings = self._settings or Settings.from_env(self._environ())
                self._wiring = self._wired(settings, self._adapters(settings))
            return self._wiring

    def _environ(self) -> Mapping[str, str]:
        return os.environ

    def _adapters(self, settings: Settings) -> Adapters:
        return google_adapters(settings, self._datastore)

    def _wired(self, settings: Settings, adapters: Adapters) -> Wiring:
        if settings.cleanup:
            self._declare_cleanup()
        return Wiring(self._declared, settings, adapters)

    def _enqueuer(self) -> Enqueuer:
        return unless_importing(self.wiring).enqueuer

    @contextmanager
    def rewired(self, settings: Settings, adapters: Adapters) -> Iterator[Wiring]:
        """Use other settings and adapters within a `with` block, as tests do."""
        before, self._wiring = self._wiring, self._wired(settings, adapters)
        try:
            yield self._wiring
        finally:
            self._wiring = before


def _connect(wiring: Wiring) -> None:
    try:
        wiring.adapters.queue.connect()
    except EnqueueError as error:  # the first call raises it, too
        event("queue.unavailable", logging.WARNING, str(error), error=error)

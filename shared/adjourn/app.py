"""The one object that an application declares its work on."""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal, ParamSpec, TypeVar, Unpack, overload

from adjourn.application.declarations import Declarations
from adjourn.application.wiring import Wiring
from adjourn.errors import DeclarationError
from adjourn.execution.dead_letters import DeadHook
from adjourn.execution.retry_warning import WarningHook
from adjourn.gcp import google_adapters
from adjourn.gcp.values import DATASTORE_VALUES
from adjourn.ports import Adapters
from adjourn.registry import default_name
from adjourn.serialization.codec import Codec
from adjourn.serialization.context import Carrier, CustomEnvironmentHandler
from adjourn.settings import Settings
from adjourn.tasks.arguments import check_bare, check_plain
from adjourn.tasks.methods import ON, SORTS, Objects, is_method, undecorated
from adjourn.tasks.options import DeclaredOptions, Options
from adjourn.tasks.task import Enqueuer, Task

if TYPE_CHECKING:
    from adjourn.callable_tasks.definitions import CallableTask
    from adjourn.cron.periodic import Periodically
    from adjourn.iteration.control import Runs
    from adjourn.iteration.query_iter import QueryIter
    from adjourn.startup import Once

P = ParamSpec("P")
R = TypeVar("R")
K = TypeVar("K", bound="type[CallableTask]")
C = TypeVar("C", bound="type[QueryIter[Any]]")
V = TypeVar("V", bound=type)


class App:
    """An application's deferred calls, periodic functions and iterations.

    Making one does no I/O: the settings are read and Google's clients are made on first use.

    Args:
        settings: The deployment; read from the environment if None.
        datastore: Returns the application's own Datastore client; calls made inside one of its
            transactions then stand and fall with it.
        user: Returns an identifier of whoever is being served, for `current_task().user`.
        language: Returns the language in which they are served, for `current_task().language`.
        environment: Carries what else the application needs around its calls.
    """

    # What another library's names on adjourn do in a way of their own.
    _codec_class: ClassVar[type[Codec]] = Codec
    _objects_class: ClassVar[type[Objects]] = Objects

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        datastore: Callable[[], Any] | None = None,
        user: Callable[[], str | None] | None = None,
        language: Callable[[], str | None] | None = None,
        environment: CustomEnvironmentHandler | None = None,
    ) -> None:
        self._settings = settings
        self._datastore = datastore
        carrier = Carrier(user=user, language=language, environment=environment)
        codec = self._codec_class(extensions=(*DATASTORE_VALUES, ON))
        self._declared = Declarations(codec, self._objects_class(codec), carrier=carrier)
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
            name: The stable name that tasks carry; `module.qualname` if None.
            aliases: Former names, under which tasks may still be on their way.
            on_dead: Called with the `DeadLetter` of a call that was given up.
            options: Defaults of `adjourn.tasks.options.Options` for every call.

        Raises:
            DeclarationError: An option or the function is wrong, or the name is taken.
        """
        defaults = Options().changed(**options)

        def declared(function: Callable[P, R]) -> Task[P, R]:
            task: Task[P, R] = self._declared.declare(
                function,
                SORTS,
                self._enqueuer,
                name=name,
                aliases=aliases,
                defaults=defaults,
                on_dead=on_dead,
            )
            return task

        return declared if function is None else declared(function)

    def on_dead(self, hook: DeadHook) -> DeadHook:
        """Call a function with the `DeadLetter` of every call that was given up."""
        self._declared.hooks.dead.append(hook)
        return hook

    def on_retry_warning(self, hook: WarningHook) -> WarningHook:
        """Call a function with a `RetryWarning`, once for each call that is retried too often.

        The threshold is `ADJOURN_RETRY_WARNING`, 25 retries by default. A log event is written
        in any case.
        """
        self._declared.hooks.warning.append(hook)
        return hook

    def periodic(
        self,
        function: None = None,
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
        """Declare a function that runs again and again; a method, on every registered object.

        Args:
            function: None; it takes no function, as there is always something to say of it.
            interval: Time between two runs, never less; zero for every call of Cloud Scheduler.
            cron: Or when it runs: `0 3 * * *`, `every monday 09:00`, `1st monday of sep,oct 09:00`,
                `every 5 minutes from 10:00 to 14:00`.
            cron_name: Which Cloud Scheduler job asks for it: the job calls the cron function's URL
                followed by this name.
            time_zone: By which clock `cron` is meant, such as `Europe/Berlin`. As in Cloud
                Scheduler, a time that occurs twice is due twice, one that is left out is not.
            overlap: "skip" leaves out what is due while the last run is queued, runs or is retried.
            grace: What is found due later than this is left out.
            name: The stable name; `module.qualname` if None.
            options: Defaults of `adjourn.tasks.options.Options` for every run.

        Raises:
            DeclarationError: An argument, an option or the function is wrong.
        """
        from adjourn.cron import periodic  # noqa: PLC0415 - for those who declare one

        if function is not None:
            raise DeclarationError("Say how often: @app.periodic(interval=...) or (cron=...).")
        timing = periodic.declared_timing(
            interval=interval,
            cron=cron,
            cron_name=cron_name,
            time_zone=time_zone,
            overlap=overlap,
            grace=grace,
        )
        periodic.check_options(options)

        def declare(function: Callable[..., Any]) -> Task[..., Any]:
            plain = undecorated(function)
            check_plain(plain)
            check_bare(plain, "periodic", given=is_method(function))
            task = self.deferred(name=name, **options)(function)
            self._declared.periodics.add(task.name, periodic.Declared(task=task, timing=timing))
            return task

        return declare

    def remove_periodic(self, task: Task[..., Any]) -> None:
        """Let a function be periodic no more, such as an inherited one; it stays deferred.

        Args:
            task: What the decorator made; a method of an object is removed for that object only.

        Raises:
            DeclarationError: It is not periodic.
        """
        from adjourn.cron.periodic import remove  # noqa: PLC0415 - for those who declare one

        remove(self._declared.periodics, self._declared.objects, task)

    @overload
    def startup_task(self, function: Callable[[], R], /) -> Task[[], R]: ...
    @overload
    def startup_task(
        self,
        /,
        *,
        once_per: Once = "instance",
        name: str | None = None,
        **options: Unpack[DeclaredOptions],
    ) -> Callable[[Callable[[], R]], Task[[], R]]: ...
    def startup_task(
        self,
        function: Callable[[], R] | None = None,
        /,
        *,
        once_per: Once = "instance",
        name: str | None = None,
        **options: Unpack[DeclaredOptions],
    ) -> Task[[], R] | Callable[[Callable[[], R]], Task[[], R]]:
        """Declare a function that runs, as a task, soon after a process starts.

        Args:
            function: The function, when used without parentheses.
            once_per: For each "instance" that starts, or for the first one of each "revision".
            name: The stable name; `module.qualname` if None.
            options: Defaults of `adjourn.tasks.options.Options` for every run.

        Raises:
            DeclarationError: An option or the function is wrong, or the name is taken.
        """
        from adjourn.startup import startup_task  # noqa: PLC0415 - for those who declare one

        def declared(function: Callable[[], R]) -> Task[[], R]:
            check_plain(function)
            check_bare(function, "a startup task")
            task: Task[[], R] = self.deferred(name=name, **options)(function)
            self._declared.startups.add(task.name, startup_task(task, once_per))
            return task

        return declared if function is None else declared(function)

    def run_startup_tasks(self, *, wait: bool = False) -> None:
        """Enqueue the startup tasks, once in this process, and go on at once.

        The deferred function does so by itself; call it where the application's own processes
        start, after they are forked.

        Args:
            wait: Go on when all are enqueued or given up, as scripts and tests may want.

        Raises:
            ConfigurationError: Settings are missing or wrong.
        """
        startup = self.wiring().startup
        threads = startup.begin() if startup else ()
        for thread in threads if wait else ():
            thread.join()

    @overload
    def query_iter(self, cls: C, /) -> C: ...
    @overload
    def query_iter(
        self, /, *, name: str | None = None, aliases: Sequence[str] = ()
    ) -> Callable[[C], C]: ...
    def query_iter(
        self, cls: C | None = None, /, *, name: str | None = None, aliases: Sequence[str] = ()
    ) -> C | Callable[[C], C]:
        """Register a `QueryIter` class, so that its runs can be started and carried on.

        With the first one goes a periodic function of the cron name "adjourn", which finds runs
        whose tasks are gone and lets them go on.

        Args:
            cls: The class, when used without parentheses.
            name: The stable name that runs carry; `module.qualname` if None.
            aliases: Former names, under which runs may still be under way.

        Raises:
            DeclarationError: The class is wrong or its name is taken.
        """

        def registered(cls: C) -> C:
            if not _is_query_iter(cls):
                raise DeclarationError(f"{cls!r} is not a subclass of adjourn.QueryIter.")
            cls.check()
            if not len(self._declared.iterations):
                self._look_after_runs()
            known_as = name or default_name(cls)
            self._declared.iterations.add(known_as, cls, aliases)
            cls.bind(known_as, lambda: self.wiring().starter.start)
            return cls

        return registered if cls is None else registered(cls)

    def _look_after_runs(self) -> None:
        from adjourn.iteration import revive  # noqa: PLC0415 - for those who iterate

        def look_after_runs() -> None:
            self.wiring().reviver.revive()

        declare = self.periodic(
            interval=revive.INTERVAL, cron_name=revive.CRON_NAME, name=revive.NAME, max_retries=1
        )
        declare(look_after_runs)

    def runs(self) -> Runs:
        """Return the iterations of this deployment, to be found, watched and steered.

        Raises:
            ConfigurationError: Settings are missing or wrong.
        """
        return self.wiring().runs

    def callable_task(self, cls: K) -> K:
        """Let people start what a `CallableTask` class does, those whom its `can_call` admits.

        Raises:
            DeclarationError: The class is wrong or its key is taken.
        """
        from adjourn.callable_tasks.definitions import offer  # noqa: PLC0415 - for those who declare one

        offered = offer(cls, self._enqueuer)
        self._declared.offers.add(offered.key, offered)
        self._declared.tasks.add(offered.task.name, offered.task)
        return cls

    def register(self, cls: V) -> V:
        """Let values of a dataclass or an enum be carried as arguments.

        Raises:
            DeclarationError: It is neither, or its name is taken.
        """
        self._declared.codec.register(cls, default_name(cls))
        return cls

    def add_object(self, path: str, item: object) -> None:
        """Let deferred methods be called on an object that every process makes and has here.

        Raises:
            DeclarationError: The path is empty or taken, or the object has another one.
        """
        self._declared.objects.add(path, item)

    def queues(self, default: str) -> frozenset[str]:
        """Return the short names of the queues that the declarations use, `default` included."""
        return self._declared.queues(default)

    def cron_names(self) -> frozenset[str]:
        """Return the cron names for which Cloud Scheduler jobs are needed."""
        return self._declared.cron_names()

    def wiring(self) -> Wiring:
        """Return the working parts, made on first use.

        Raises:
            ConfigurationError: Settings are missing or wrong.
        """
        with self._lock:
            if self._wiring is None:
                settings = self._settings or Settings.from_env(self._environ())
                self._wiring = Wiring(self._declared, settings, self._adapters(settings))
            return self._wiring

    def _environ(self) -> Mapping[str, str]:
        return os.environ

    def _adapters(self, settings: Settings) -> Adapters:
        return google_adapters(settings, self._datastore)

    def _enqueuer(self) -> Enqueuer:
        return self.wiring().enqueuer

    @contextmanager
    def rewired(self, settings: Settings, adapters: Adapters) -> Iterator[Wiring]:
        """Use other settings and another outside world for a while, as tests do."""
        before, self._wiring = self._wiring, Wiring(self._declared, settings, adapters)
        try:
            yield self._wiring
        finally:
            self._wiring = before


def _is_query_iter(value: object) -> bool:
    from adjourn.iteration.query_iter import QueryIter  # noqa: PLC0415 - for those who declare one

    return isinstance(value, type) and issubclass(value, QueryIter)

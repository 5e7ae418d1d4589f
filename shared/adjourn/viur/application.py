"""The application on which ViUR's decorators declare, since they have none themselves."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from adjourn.app import App
from adjourn.cron.periodic import PeriodicDeclaration, declared_timing
from adjourn.errors import (
    DeclarationError,
    EncodeError,
    PermanentTaskFailure,
    UnknownNameError,
)
from adjourn.execution.current_task import current_task
from adjourn.execution.dead_letters import DeadHook, DeadLetter
from adjourn.execution.delivery import Delivery, Outcome
from adjourn.gcp.datastore_api import datastore_client
from adjourn.gcp.legacy import query_of
from adjourn.registry import signature
from adjourn.requests.gate import Receiver
from adjourn.serialization.context import ContextPropagator, CustomEnvironmentHandler
from adjourn.settings import Settings
from adjourn.tasks.methods import Method, TaskClasses
from adjourn.tasks.options import Options
from adjourn.tasks.task import Task
from adjourn.viur import takeover
from adjourn.viur.bodies import TAKE_OVER, identity, translating
from adjourn.viur.calls import DEFAULT_QUEUE, DEFERRED, DIRECT, DirectMethod, DirectTask
from adjourn.viur.limits import Limit, Mailer, limit_of, tell
from adjourn.viur.steps import CARRY_ON, ViurStep, content_of

_DEPTH = 3


@dataclass(frozen=True, slots=True, eq=False)
class _Below:
    """An object of the application's tree of modules, and where it stands."""

    path: str
    item: object


class ViurApp(App):
    """An `App` that is declared on by ViUR's names and understands calls that ViUR enqueued."""

    def __init__(self) -> None:
        super().__init__()
        self._mailers: list[Mailer] = []
        declared = self._declared
        declared.wrap_task_runner = translating
        declared.wrap_step_receiver = self._receiving_steps
        for name, function in ((TAKE_OVER, self._take_over), (CARRY_ON, self._carry_on)):
            task: Task[..., None] = Task(
                name=name, function=function, defaults=Options(), _enqueuer=self._enqueuer
            )
            declared.tasks.add(name, task)

    def configure(
        self,
        settings: Settings | None = None,
        *,
        datastore: Callable[[], Any] | None = None,
        user: Callable[[], str | None] | None = None,
        language: Callable[[], str | None] | None = None,
        environment: CustomEnvironmentHandler | None = None,
    ) -> None:
        """Say what is said of other applications where they are made; see `adjourn.App`.

        Raises:
            DeclarationError: The application is in use already.
        """
        if self._wiring is not None:
            raise DeclarationError("Configure the application before anything is enqueued.")
        self._settings, self._datastore = settings, datastore
        self._declared.propagator = ContextPropagator(
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
        for below in _with_methods(main_app):
            self.add_object(below.path, below.item)

    def call_deferred(self, function: Any) -> Any:
        """Declare a function or method that runs later when it is called."""
        if isinstance(function, DirectTask | DirectMethod):
            return self._deferring(function)
        return function if isinstance(function, Task) else self._declared_as(DEFERRED, function)

    def periodic_task(self, function: Any, interval: object, cron_name: str) -> Any:
        """Declare a function that runs again and again; one that was not deferred stays so."""
        timing = declared_timing(
            interval=_interval(interval),
            cron=None,
            cron_name=cron_name,
            time_zone="UTC",
            overlap="skip",
            grace=None,
        )
        task = self._task(function)
        _check_bare(task)
        self._declared.periodics.add(task.name, PeriodicDeclaration(task=task, timing=timing))
        return task

    def start_with(self, function: Any) -> Any:
        """Declare a function that runs, as a task, soon after an instance starts."""
        from adjourn.startup import startup_task  # noqa: PLC0415 - for those who declare one

        task = self._task(function)
        _check_bare(task)
        self._declared.startups.add(task.name, startup_task(task, "instance"))
        return task

    def query(self, told: Mapping[str, Any]) -> object:
        """Return a query of Google's client for kind, filters, orders and distinct of ViUR's.

        Raises:
            ValueError: It is none.
            TypeError: It is none.
        """
        client = self._datastore or partial(datastore_client, self.wiring().settings)
        return query_of(client(), told)

    def bound_to(self, task: Method[..., Any], item: object | None) -> tuple[Any, object] | None:
        """Return a method on the object, or on the first one registered, that has it."""
        found = (each for _, each in self._declared.objects.having(task))
        wanted = next((each for each in found if item is None or each is item), None)
        return None if wanted is None else (task.on(wanted), wanted)

    def _task(self, function: Any) -> Task[..., Any]:
        if isinstance(function, Task):
            return function
        task: Task[..., Any] = self._declared_as(DIRECT, function)
        return task

    def _declared_as(self, classes: TaskClasses, function: Any) -> Any:
        limit = limit_of(function)
        return self._declared.declare(
            function,
            classes,
            self._enqueuer,
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
        of = {each.name: getattr(direct, each.name) for each in fields(direct)}
        task: Task[..., Any] = sort(**of)
        declared = self._declared
        declared.tasks.remove(task.name)
        declared.tasks.add(task.name, task)
        for periodic in [each for each in declared.periodics if each.task is direct]:
            declared.periodics.remove(task.name)
            declared.periodics.add(task.name, periodic._replace(task=task))
        for startup in [each for each in declared.startups if each.task is direct]:
            declared.startups.remove(task.name)
            declared.startups.add(task.name, replace(startup, task=task))
        return task

    def _take_over(
        self,
        command: str,
        path: str,
        args: Sequence[object],
        kwargs: dict[str, object],
        marker: str,
    ) -> None:
        """Enqueue the call that ViUR meant, as one of ours."""
        this, adapters = current_task(), self.wiring().adapters
        age = adapters.clock.now() - this.enqueued_at
        takeover.await_commit(marker, age, adapters.store)
        try:
            found = takeover.find(command, path, self._declared.tasks, self._declared.objects)
        except UnknownNameError as error:
            takeover.or_later(error, age)
        else:
            task, told = found
            if this.queue != DEFAULT_QUEUE:
                task = task.options(queue=this.queue)
            self._enqueuer().enqueue(task, (*told, *args), kwargs, call=f"{this.id}-viur")

    def _receiving_steps(self, receive: Receiver) -> Receiver:
        """Return a receiver of steps that has iterations carried on that ViUR began."""
        task = self._declared.tasks.get(CARRY_ON)

        def receive_either(delivery: Delivery) -> Outcome:
            content = content_of(delivery.body)
            if content is not None:
                with suppress(EncodeError):
                    self._enqueuer().enqueue(task, (content,), {}, call=identity(delivery))
                    return Outcome.DONE
            return receive(delivery)

        return receive_either

    def _carry_on(self, content: Mapping[str, Any]) -> None:
        """Begin a run where ViUR's stood, once however often its step was delivered."""
        this, wiring = current_task(), self.wiring()
        try:
            step = ViurStep.read(content)
            if step.skeleton:
                raise PermanentTaskFailure(f"{step.iteration} walks over skeletons of ViUR.")
            iteration = self._declared.iterations.get(step.iteration)
            iteration.start(
                self.query(step.query),
                step.custom_data,
                name=this.id,
                start_cursor=step.start_cursor,
                end_cursor=step.end_cursor,
            )
        except UnknownNameError as error:
            takeover.or_later(error, wiring.adapters.clock.now() - this.enqueued_at)
        except (ValueError, TypeError) as error:  # what was delivered does not get better
            raise PermanentTaskFailure(f"ViUR's iteration cannot be carried on: {error}") from error


def _with_methods(main_app: object) -> Iterator[_Below]:
    """Yield the objects that have methods of ours, the application itself and those below it."""
    seen: set[int] = set()
    level = [_Below(takeover.ROOT, main_app)]
    for _ in range(_DEPTH + 1):
        below: list[_Below] = []
        for each in level:
            if id(each.item) not in seen:
                seen.add(id(each.item))
                below += _below(each)
                if _has_methods(each.item):
                    yield each
        level = below


def _below(above: _Below) -> Iterator[_Below]:
    for name, item in getattr(above.item, "__dict__", {}).items():
        if not name.startswith("_") and not isinstance(item, type) and hasattr(item, "__dict__"):
            attributes = f"{above.path}/{name}"
            path = vars(item).get("modulePath", getattr(type(item), "modulePath", attributes))
            is_path = isinstance(path, str) and path
            yield _Below(takeover.canonical(path if is_path else attributes), item)


def _has_methods(item: object) -> bool:
    return any(
        isinstance(each, Method) for cls in type(item).__mro__ for each in vars(cls).values()
    )


def _interval(interval: object) -> object:
    """Return a number of minutes as a timedelta, and anything else for others to judge."""
    if isinstance(interval, bool) or not isinstance(interval, int | float):
        return interval
    if not math.isfinite(interval):
        raise DeclarationError(f"interval={interval!r} must be a number of minutes.")
    return dt.timedelta(minutes=interval)


def _check_bare(task: Task[..., Any]) -> None:
    """Refuse a function that cannot be called without arguments.

    Raises:
        DeclarationError: It needs some.
    """
    receiver = (None,) if isinstance(task, Method) else ()
    try:
        signature(task.function).bind(*receiver)
    except TypeError as error:
        raise DeclarationError(f"{task.name} is called without arguments: {error}.") from error


app = ViurApp()

"""What an application declares, independent of a deployment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from adjourn.errors import DeclarationError
from adjourn.execution.dead_letters import DeadHook
from adjourn.execution.hooks import ApplicationHooks
from adjourn.names import plain_text
from adjourn.registry import Registry, default_name
from adjourn.requests.gate import Receiver
from adjourn.serialization.codec import Codec
from adjourn.serialization.context import ContextPropagator
from adjourn.tasks.arguments import check_plain
from adjourn.tasks.methods import TaskClasses, declare, undecorated
from adjourn.tasks.objects import ObjectRegistry
from adjourn.tasks.options import Options
from adjourn.tasks.task import Task

if TYPE_CHECKING:
    from adjourn.callable_tasks.definitions import CallableTaskDefinition
    from adjourn.cron.periodic import PeriodicDeclaration
    from adjourn.execution.runner import TaskRunner
    from adjourn.iteration.query_iter import QueryIter
    from adjourn.startup import StartupTask
    from adjourn.tasks.enqueue import Enqueuer


@dataclass(eq=False, repr=False)
class Declarations:
    """All that an application declared, by name.

    Attributes:
        schedule_cron_names: The cron names that serve schedules made at run time.
        wrap_task_runner: Returns what receives tasks instead of the runner, such as a receiver
            that also understands the bodies of another library.
        wrap_step_receiver: Returns what receives the steps of iterations instead.
    """

    codec: Codec
    objects: ObjectRegistry
    tasks: Registry[Task[..., Any]] = field(default_factory=lambda: Registry("task"))
    periodics: Registry[PeriodicDeclaration] = field(
        default_factory=lambda: Registry("periodic function")
    )
    iterations: Registry[type[QueryIter[Any]]] = field(
        default_factory=lambda: Registry("iteration")
    )
    callable_tasks: Registry[CallableTaskDefinition] = field(
        default_factory=lambda: Registry("callable task")
    )
    schedule_cron_names: list[str] = field(default_factory=list)
    startups: Registry[StartupTask] = field(default_factory=lambda: Registry("startup task"))
    hooks: ApplicationHooks = field(default_factory=ApplicationHooks)
    propagator: ContextPropagator = field(default_factory=ContextPropagator)
    wrap_task_runner: Callable[[TaskRunner], Receiver] = lambda runner: runner
    wrap_step_receiver: Callable[[Receiver], Receiver] = lambda receiver: receiver

    def declare(
        self,
        function: Callable[..., Any],
        classes: TaskClasses,
        enqueuer: Callable[[], Enqueuer],
        *,
        name: str | None = None,
        aliases: Sequence[str] = (),
        defaults: Options,
        on_dead: DeadHook | None = None,
    ) -> Any:
        """Make a task of a function or method and register it.

        Raises:
            DeclarationError: The function is wrong, or the name is taken.
        """
        plain = undecorated(function)
        check_plain(plain, "@app.deferred")
        task: Task[..., Any] = declare(
            function,
            self.objects,
            classes,
            name=plain_text(name) or default_name(plain),
            defaults=defaults,
            on_dead=on_dead,
            enqueuer=enqueuer,
        )
        task.resemble(plain)
        self.tasks.add(task.name, task, aliases)
        return task

    def register(self, cls: Any, name: str | None, aliases: Sequence[str]) -> None:
        """Register a class; see `App.register`."""
        if isinstance(aliases, str):
            raise DeclarationError(f"aliases={aliases!r} must be a list of names, not one name.")
        if not isinstance(cls, type):
            raise DeclarationError(
                f"{cls!r:.80} is no class: write @app.register, without parentheses, above the"
                " class, or app.register(Class, name='shop.Class')."
            )
        names = [plain_text(each) for each in (name or default_name(cls), *aliases)]
        self.codec.register(cls, *names)

    def queues(self, default: str) -> frozenset[str]:
        """Return the short names of the queues that are used, `default` included."""
        tasks = {task.defaults.queue for task in self.tasks}
        iterations = {cls.queue_name for cls in self.iterations}
        return frozenset(name or default for name in tasks | iterations | {None})

    def cron_names(self) -> frozenset[str]:
        """Return the cron names for which Cloud Scheduler jobs are needed."""
        of_periodics = (each.timing.cron_name for each in self.periodics)
        return frozenset((*of_periodics, *self.schedule_cron_names))

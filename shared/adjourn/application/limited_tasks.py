"""Tasks whose calls are limited by flows: what is declared with them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from adjourn.application.declarations import Declarations
from adjourn.tasks.enqueue import Enqueuer
from adjourn.tasks.methods import TASK_CLASSES
from adjourn.tasks.options import Options
from adjourn.tasks.task import Task

if TYPE_CHECKING:
    from adjourn.application.wiring import Wiring
    from adjourn.flow.control import Flows
    from adjourn.tasks.results import Results


class LimitedTasks(ABC):
    """What an application has of flow control; a part of `adjourn.App`."""

    _declared: Declarations

    @abstractmethod
    def _enqueuer(self) -> Enqueuer: ...

    @abstractmethod
    def wiring(self) -> Wiring:
        """Return the services of this application."""

    def _limit(self, task: Task[..., Any]) -> None:
        """Check the flows of a task, and declare the task that looks after them."""
        from adjourn.flow import limits  # noqa: PLC0415 - for limited tasks

        tasks = self._declared.tasks
        limits.check_declared(task.name, task.function, task.defaults.flow or ())
        limits.check_alike(limits.declared_flows(tasks))
        if any(each.name == limits.GUARD for each in tasks):
            return

        def look_after_flow(flow: str, key: str, guard_at: str) -> None:
            self.wiring().admission.look_after(flow, key, guard_at)

        self._declared.declare(
            look_after_flow, TASK_CLASSES, self._enqueuer, name=limits.GUARD, defaults=Options()
        )

    @property
    def results(self) -> Results:
        """The results of calls that were made with `keep_result`, by the ids of the calls.

        Raises:
            ConfigurationError: Settings are missing or wrong.
        """
        return self._enqueuer().results()

    def flows(self) -> Flows:
        """Return the flows of this deployment: who runs, who waits, and their limits.

        Raises:
            ConfigurationError: Settings are missing or wrong.
        """
        from adjourn.flow.control import Flows  # noqa: PLC0415 - for those who look at them
        from adjourn.flow.limits import declared_flows  # noqa: PLC0415

        wiring = self.wiring()
        declared = {name for name, _ in declared_flows(self._declared.tasks)}
        return Flows(adapters=wiring.adapters, settings=wiring.settings, declared=declared)

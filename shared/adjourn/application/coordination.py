"""Calls that depend on each other: flow control and batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal

from adjourn.application.declarations import Declarations
from adjourn.application.importing import unless_importing
from adjourn.tasks.methods import TASK_CLASSES
from adjourn.tasks.options import Options
from adjourn.tasks.task import Task

if TYPE_CHECKING:
    from adjourn.application.wiring import Wiring
    from adjourn.batches.block import Batch
    from adjourn.batches.control import Batches
    from adjourn.flow.control import Flows
    from adjourn.tasks.enqueue import Enqueuer
    from adjourn.tasks.results import Results


class CoordinatedCalls(ABC):
    """What an application has of flow control and of batches; a part of `adjourn.App`."""

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
        limits.check_alike(tasks)
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
        declared = declared_flows(self._declared.tasks)
        return Flows(adapters=wiring.adapters, settings=wiring.settings, declared=declared)

    def batch(
        self,
        *,
        name: str | None = None,
        on_done: Task[..., Any] | None = None,
        on_failed: Task[..., Any] | None = None,
        policy: Literal["continue", "cancel"] = "continue",
    ) -> Batch:
        """Return a batch, to which children are added in a `with` or `async with` block.

        It ends when the block and all its children have ended. If the block is left by an error,
        the batch stays open: run the block again under the same name, which adds only what is
        missing, or cancel it.

        Args:
            name: Up to 500 characters. A batch under the name of an existing one is that one. A
                batch without a name cannot be taken up again.
            on_done: A task that is called with a `BatchSummary` after the last child, and takes
                effect once.
            on_failed: A task that is called with one when the first child is given up.
            policy: What follows from the first failure: "continue", or "cancel" the rest.

        Raises:
            DeclarationError: An argument is wrong.
            ConfigurationError: Settings are missing or wrong.
        """
        from adjourn.batches.block import maker  # noqa: PLC0415 - for those who have some
        from adjourn.batches.new_children import BatchOptions  # noqa: PLC0415
        from adjourn.batches.records import batch_id  # noqa: PLC0415

        wiring = unless_importing(self.wiring)
        id_ = batch_id(name) if name else wiring.adapters.new_id()
        make = maker(wiring.enqueuer, wiring.batch_ends)
        return make(BatchOptions(id_, name or "", on_done, on_failed, policy))

    def batches(self) -> Batches:
        """Return the batches of this deployment, to find, watch, cancel and retry them.

        Raises:
            ConfigurationError: Settings are missing or wrong.
        """
        from adjourn.batches.control import Batches  # noqa: PLC0415 - for those who look at them

        wiring = self.wiring()
        return Batches(adapters=wiring.adapters, codec=wiring.enqueuer.codec)

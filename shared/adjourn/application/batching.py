"""Batches, whose code is imported when there is one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal

from adjourn.application.importing import unless_importing
from adjourn.tasks.task import Task

if TYPE_CHECKING:
    from adjourn.application.wiring import Wiring
    from adjourn.batches.block import Batch
    from adjourn.batches.control import Batches


class BatchesOfApp(ABC):
    """What an application has of batches; a part of `adjourn.App`."""

    @abstractmethod
    def wiring(self) -> Wiring:
        """Return the services of this application."""

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

        return Batches(adapters=self.wiring().adapters)

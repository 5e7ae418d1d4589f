"""Let an application in a sandbox die at any moment at which it changes the outside world."""

from collections.abc import Callable
from typing import Any

from adjourn.execution.delivery import Outcome
from adjourn.testing import Queued, Sandbox


class CrashError(KeyboardInterrupt):
    """The process died."""


class Faults:
    """Counts the moments just before and after each write and each enqueuing, and dies at one."""

    def __init__(self, box: Sandbox) -> None:
        self.box = box
        self.passed = 0
        self.die_at: int | None = None
        for part, name in ((box.store, "commit"), (box.queue, "enqueue")):
            setattr(part, name, self._around(getattr(part, name)))

    def _around(self, change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*args: Any, **kwargs: Any) -> Any:
            self._pass()
            result = change(*args, **kwargs)
            self._pass()
            return result

        return changed

    def _pass(self) -> None:
        self.passed += 1
        if self.passed - 1 == self.die_at:
            raise CrashError

    def deliver(self, queued: Queued) -> Outcome | None:
        """Deliver a task; None if the process died, and then the task stays queued."""
        try:
            return self.box.deliver(queued)
        except CrashError:
            return None


def lose_answer(box: Sandbox, queued: Queued) -> Outcome:
    """Deliver a task without the queue's learning of the answer."""
    return box._receive(queued)

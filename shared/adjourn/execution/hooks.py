"""The hooks of an application: functions called when a task is given up or retried too often."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from adjourn.coroutines import finished
from adjourn.execution.dead_letters import DeadHook
from adjourn.execution.retry_warning import RetryWarning, WarningHook
from adjourn.log import event

if TYPE_CHECKING:
    from adjourn.execution.dead_letter import DeadLetter

T = TypeVar("T")


@dataclass(eq=False, repr=False)
class ApplicationHooks:
    """The hooks that an application registered; a failing hook is logged.

    Attributes:
        dead: Called for each dead letter.
        warning: Called for each retry warning.
    """

    dead: list[DeadHook] = field(default_factory=list)
    warning: list[WarningHook] = field(default_factory=list)

    def notify_dead(self, letter: DeadLetter, hook: DeadHook | None) -> None:
        """Call the hook of the task itself, if any, then those of the application."""
        own = [] if hook is None else [hook]
        _call([*own, *self.dead], letter)

    def notify_warning(self, warning: RetryWarning) -> None:
        """Call the hooks of the application for retry warnings."""
        _call(self.warning, warning)


def _call(hooks: Iterable[Callable[[T], object]], argument: T) -> None:
    for hook in hooks:
        try:
            finished(hook(argument))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the task must not fail because of a hook
            event("hook.failed", logging.ERROR, f"{hook!r} failed", error=error)

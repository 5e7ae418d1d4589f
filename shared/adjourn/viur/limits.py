"""How often a call is tried, said by a decorator of the function below the deferring one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from adjourn.errors import DeclarationError
from adjourn.execution.dead_letter import DeadLetter
from adjourn.log import event
from adjourn.tasks.methods import undecorated
from adjourn.tasks.options import DeclaredOptions
from adjourn.tasks.task import Task

F = TypeVar("F")

_MARK = "__adjourn_viur_limit__"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Limit:
    """How often a call is tried, and who is told when it is given up.

    Attributes:
        retries: Failed executions that are followed by another; None for never a second beginning.
        recipients: Mail addresses.
        tpl: Name of the template of the mail; None for the sender's own text.
    """

    retries: int | None
    recipients: Sequence[str] = ()
    tpl: str | None = None

    def options(self) -> DeclaredOptions:
        """Return what it means for a task."""
        return {"no_retry": True} if self.retries is None else {"max_retries": self.retries}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mail:
    """A mail that is to be sent, since a call was given up.

    Attributes:
        recipients: Mail addresses.
        tpl: Name of the template, None for a text of your own.
        letter: What is known of the call: task, attempts, error and the id of its dead letter,
            which has traceback and arguments.
    """

    recipients: Sequence[str]
    tpl: str | None
    letter: DeadLetter


Mailer = Callable[[Mail], object]


def limited(function: F, limit: Limit) -> F:
    """Note a limit on a function.

    Raises:
        DeclarationError: The function is deferred already, so it would come too late.
    """
    if isinstance(function, Task):
        raise DeclarationError(
            f"{function.name}: put @CallDeferred, @PeriodicTask and @StartupTask above the"
            " decorators that limit retries."
        )
    plain: Any = undecorated(function)
    setattr(plain, _MARK, limit)
    return function


def limit_of(function: object) -> Limit | None:
    """Return the limit that was noted on a function."""
    return getattr(undecorated(function), _MARK, None)


def tell(mailers: Sequence[Mailer], limit: Limit, letter: DeadLetter) -> None:
    """Have the mail of a call sent that was given up."""
    if not mailers:
        text = f"{letter.task} was given up; name who sends mails with @adjourn.viur.app.on_mail"
        event("viur.nobody_mails", logging.ERROR, text, task=letter.task, task_id=letter.task_id)
    for mailer in mailers:
        mailer(Mail(recipients=limit.recipients, tpl=limit.tpl, letter=letter))

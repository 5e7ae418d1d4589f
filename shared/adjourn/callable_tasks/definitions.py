"""Tasks that people start: who may, with which parameters, and what then runs."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from adjourn.callable_tasks.forms import Form, InvalidError, form_of, form_of_class
from adjourn.callable_tasks.identity import User
from adjourn.errors import DeclarationError, PermanentTaskFailure
from adjourn.log import event
from adjourn.tasks.arguments import is_lazy
from adjourn.tasks.enqueue import Enqueuer
from adjourn.tasks.options import DeclaredOptions, Options
from adjourn.tasks.task import Task

_KEY = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class CallableTask:
    """A task that people start, with parameters that they fill in; a subclass says what it does.

    Its parameters are those of `execute`, or of the class `Parameters`, a dataclass for instance:
    then `execute` is given the attributes of a value of it, and a `ValueError` that making one
    raises is told to whoever filled it in. A text in `Annotated[..., "text"]` describes one.

    Attributes:
        key: Stands in the URL that starts it; the name of the class if empty.
        name: What people read; the key if empty.
        descr: What it does, for people.
        options: How its calls are queued and run; see `adjourn.tasks.options.Options`.
        Parameters: What takes the parameters, if not `execute` itself.
    """

    key: ClassVar[str] = ""
    name: ClassVar[str] = ""
    descr: ClassVar[str] = ""
    options: ClassVar[DeclaredOptions] = {}
    Parameters: ClassVar[type | None] = None

    def can_call(self, user: User) -> bool:  # noqa: ARG002 - a subclass decides by it
        """Whether a person may see and start the task: nobody may, unless a subclass says so."""
        return False

    def execute(self, *args: Any, **kwargs: Any) -> object:
        """Do the work, in a task; `current_task().user` is the person's e-mail address."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Offer:
    """A `CallableTask` class that was declared."""

    key: str
    cls: type[CallableTask]
    form: Form
    task: Task[[Mapping[str, object]], None]

    def allows(self, user: User) -> bool:
        """Whether `can_call` says True; whatever else it returns or raises is a no."""
        try:
            verdict: object = self.cls().can_call(user)
            if not isinstance(verdict, bool):
                raise TypeError(f"can_call returned a {type(verdict).__name__}, not True or False")  # noqa: TRY301
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever the user's code raises
            text = f"can_call of {self.key} failed, which counts as no"
            event("callable.can_call_failed", logging.ERROR, text, error=error, key=self.key)
            return False
        return verdict

    def describe(self) -> Mapping[str, object]:
        """Return what a form has to know."""
        return {
            "key": self.key,
            "name": self.cls.name or self.key,
            "descr": self.cls.descr,
            "parameters": self.form.schema(),
        }


def offer(
    cls: type[CallableTask], enqueuer: Callable[[], Enqueuer], form: Form | None = None
) -> Offer:
    """Return the declaration of a class.

    The parameters travel as the JSON that was sent and are read again where the task runs, so that
    their types need no registration.

    Args:
        cls: The class.
        enqueuer: Puts the calls on their queue.
        form: Its parameters, if the class itself does not say them.

    Raises:
        DeclarationError: Something of the class is wrong; the message says how to mend it.
    """
    _check(cls)
    key = cls.key or cls.__name__
    if not _KEY.fullmatch(key):
        raise DeclarationError(f"key={key!r} must be 1 to 100 letters, digits, '.', '_' and '-'.")
    parameters_form = form or _form(cls)

    def run(given: Mapping[str, object]) -> None:
        try:
            parameters = parameters_form.read(given)
        except InvalidError as error:
            raise PermanentTaskFailure(f"The parameters fit no more: {error.found}") from error
        cls().execute(**parameters)

    task: Task[[Mapping[str, object]], None] = Task(
        name=f"callable:{key}",
        function=run,
        defaults=Options().changed(**cls.options),
        _enqueuer=enqueuer,
    )
    return Offer(key=key, cls=cls, form=parameters_form, task=task)


def _check(cls: object) -> None:
    if not (isinstance(cls, type) and issubclass(cls, CallableTask)):
        raise DeclarationError(f"{cls!r} is not a subclass of adjourn.CallableTask.")
    if cls.execute is CallableTask.execute:
        raise DeclarationError(f"{cls.__qualname__} has no method execute.")
    for name in ("execute", "can_call"):
        if is_lazy(getattr(cls, name)):
            raise DeclarationError(f"{cls.__qualname__}.{name} is not a plain method (def ...).")
    try:
        inspect.signature(cls).bind()
    except TypeError as error:
        raise DeclarationError(f"{cls.__qualname__}() cannot be made: {error}.") from error


def _form(cls: type[CallableTask]) -> Form:
    if cls.Parameters is None:
        return form_of(cls.execute, is_method=True)
    form = form_of_class(cls.Parameters)
    try:
        inspect.signature(cls.execute).bind(None, **dict.fromkeys(form.kinds))
    except TypeError as error:
        raise DeclarationError(
            f"{cls.__qualname__}.execute does not take its Parameters: {error}."
        ) from error
    return form

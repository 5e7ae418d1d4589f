"""The definitions of callable tasks: who may start them, with which parameters, and what runs."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from adjourn.callable_tasks.forms import Form, InvalidParametersError, form_of, form_of_class
from adjourn.callable_tasks.identity import User
from adjourn.callable_tasks.model_forms import is_model, model_form
from adjourn.error_text import misspelled, nearest
from adjourn.errors import DeclarationError, PermanentTaskFailure
from adjourn.log import event
from adjourn.names import CALLABLE
from adjourn.registry import signature
from adjourn.tasks.arguments import is_generator, is_lazy, misfitting
from adjourn.tasks.enqueue import Enqueuer
from adjourn.tasks.options import DeclaredOptions, declared
from adjourn.tasks.task import Task

_MEMBERS = ("key", "name", "descr", "options", "Parameters", "can_call", "execute")
_MEANT = {"description": "descr", "permission": "can_call", "run": "execute", "title": "name"}

_KEY = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class CallableTask:
    """A task that users start with parameters; subclass it to define one.

    Its parameters are those of `execute`, or those of the class `Parameters`, such as a dataclass
    or a model of pydantic. Then `execute` receives the attributes of an instance, and if the class
    raises `ValueError`, the user sees its message. A text in `Annotated[..., "text"]` describes a
    parameter.

    Attributes:
        key: Part of the URL that starts it; the name of the class if empty.
        name: Name for users; the key if empty.
        descr: Description for users.
        options: How its calls are queued and run; see `adjourn.tasks.options.Options`.
        Parameters: The class that takes the parameters; None if `execute` takes them.
    """

    key: ClassVar[str] = ""
    name: ClassVar[str] = ""
    descr: ClassVar[str] = ""
    options: ClassVar[DeclaredOptions] = {}
    Parameters: ClassVar[type | None] = None

    def can_call(self, user: User) -> bool:  # noqa: ARG002 - a subclass decides by it
        """Whether a user may see and start the task; False unless a subclass overrides it."""
        return False

    def execute(self, *args: Any, **kwargs: Any) -> object:
        """Do the work, in a task; `current_task().user` is the e-mail address of the user."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CallableTaskDefinition:
    """A declared `CallableTask` class, with its form and the task that runs it."""

    key: str
    cls: type[CallableTask]
    form: Form
    task: Task[[Mapping[str, object]], None]

    def allows(self, user: User) -> bool:
        """Whether `can_call` returns True; anything else that it returns or raises means no."""
        try:
            answer: object = self.cls().can_call(user)
            if not isinstance(answer, bool):
                raise TypeError(f"can_call returned a {type(answer).__name__}, not True or False")  # noqa: TRY301
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever the application raises
            text = f"can_call of {self.key} failed, which counts as no"
            event("callable.can_call_failed", logging.ERROR, text, error=error, key=self.key)
            return False
        return answer

    def describe(self) -> Mapping[str, object]:
        """Return what a client needs to show a form."""
        return {
            "key": self.key,
            "name": self.cls.name or self.key,
            "descr": self.cls.descr,
            "parameters": self.form.schema(),
        }


def define(
    cls: type[CallableTask], enqueuer: Callable[[], Enqueuer], form: Form | None = None
) -> CallableTaskDefinition:
    """Return the definition of a callable task.

    The task carries the parameters as the JSON that was sent, and parses them again when it runs.
    So their types need no registration.

    Args:
        cls: The class.
        enqueuer: Puts the calls on their queue.
        form: Its parameters, if the class itself does not say them.

    Raises:
        DeclarationError: The class is wrong; the message says the fix.
    """
    _check(cls)
    key = cls.key or cls.__name__
    if not _KEY.fullmatch(key):
        raise DeclarationError(f"key={key!r} must be 1 to 100 letters, digits, '.', '_' and '-'.")
    parameters_form = form or _form(cls)

    def run(given: Mapping[str, object]) -> Any:
        try:
            parameters = parameters_form.read(given)
        except InvalidParametersError as error:
            raise PermanentTaskFailure(
                f"The parameters are no longer valid: {error.errors}"
            ) from error
        return cls().execute(**parameters)

    task: Task[[Mapping[str, object]], None] = Task(
        name=f"{CALLABLE}{key}",
        function=run,
        defaults=declared(cls.options),
        enqueuer=enqueuer,
    )
    return CallableTaskDefinition(key=key, cls=cls, form=parameters_form, task=task)


def _check(cls: object) -> None:
    if not (isinstance(cls, type) and issubclass(cls, CallableTask)):
        raise DeclarationError(f"{cls!r} is not a subclass of adjourn.CallableTask.")
    _check_names(cls)
    if cls.execute is CallableTask.execute:
        raise DeclarationError(f"{cls.__qualname__} has no method execute.")
    for name, is_wrong in (("execute", is_generator), ("can_call", is_lazy)):
        if is_wrong(getattr(cls, name)):
            raise DeclarationError(f"{cls.__qualname__}.{name} is not a plain method (def ...).")
    try:
        signature(cls).bind()
    except TypeError as error:
        raise DeclarationError(f"{cls.__qualname__}() cannot be made: {error}.") from error
    misfit = misfitting(object.__new__(cls).can_call, "user")
    if misfit:
        raise DeclarationError(
            f"{cls.__qualname__}.can_call: {misfit}; write def can_call(self, user)."
        )


def _check_names(cls: type[CallableTask]) -> None:
    for name in vars(cls):
        if name.startswith("_") or hasattr(CallableTask, name):
            continue
        meant = _MEANT.get(name) or nearest(name, _MEMBERS)
        if meant:
            raise DeclarationError(misspelled(f"{cls.__qualname__}.{name}", "attribute", meant))


def _form(cls: type[CallableTask]) -> Form:
    if cls.Parameters is None:
        return form_of(cls.execute, is_method=True)
    form = model_form(cls.Parameters) if is_model(cls.Parameters) else form_of_class(cls.Parameters)
    try:
        signature(cls.execute).bind(None, **dict.fromkeys(form.types))
    except TypeError as error:
        raise DeclarationError(
            f"{cls.__qualname__}.execute does not take its Parameters: {error}."
        ) from error
    return form

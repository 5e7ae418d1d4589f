"""Tasks that people start, as ViUR declares them."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ClassVar

from adjourn.callable_tasks.identity import User
from adjourn.errors import DeclarationError
from adjourn.registry import signature
from adjourn.tasks.options import DeclaredOptions

if TYPE_CHECKING:
    from adjourn.callable_tasks.definitions import CallableTask

_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class CallableTaskBase:
    """A task that people start; subclass it and decorate it with `@CallableTask`.

    The parameters of `execute` are filled in by people; their annotations take the place of
    `dataSkel`. `execute` runs as a deferred call, not in the request.

    Attributes:
        key: Stands in the URL that starts it; the name of the class if None.
        name: What people read; the key if None.
        descr: What it does, for people.
        options: How its calls are queued and run; see `adjourn.tasks.options.Options`.
        user: The person who asks, for `canCall`.
    """

    key: str | None = None
    name: str | None = None
    descr: str | None = None
    kindName = "server-task"
    options: ClassVar[DeclaredOptions] = {}
    user: User

    def canCall(self) -> bool:
        """Whether `self.user` may see and start the task: nobody may, unless a subclass says so."""
        return False

    def dataSkel(self) -> None:
        """Parameters by a skeleton are ViUR's own; annotate those of `execute` instead."""

    def execute(self, *args: Any, **kwargs: Any) -> object:
        """Do the work, in a task; `current_task().user` is the person's e-mail address."""
        raise NotImplementedError


def adapted(cls: Any) -> type[CallableTask]:
    """Return a class that ViUR would take as one of ours.

    Raises:
        DeclarationError: It has a `dataSkel` of its own, or lacks something.
    """
    from adjourn.callable_tasks.definitions import CallableTask  # noqa: PLC0415 - for those who declare one

    missing = [name for name in ("canCall", "execute") if not callable(getattr(cls, name, None))]
    if missing or not isinstance(cls, type):
        raise DeclarationError(f"{cls!r} has no {' and no '.join(missing) or 'class'}.")
    if getattr(cls, "dataSkel", CallableTaskBase.dataSkel) is not CallableTaskBase.dataSkel:
        raise DeclarationError(
            f"{cls.__qualname__}.dataSkel gives a skeleton of ViUR, which is not here; give the"
            " parameters of execute annotations instead, such as days: int = 30."
        )

    class Adapted(CallableTask):
        key = getattr(cls, "key", None) or cls.__name__
        name = str(getattr(cls, "name", None) or "")
        descr = str(getattr(cls, "descr", None) or "")
        options = getattr(cls, "options", CallableTaskBase.options)
        execute = _executing(cls)

        def can_call(self, user: User) -> bool:
            task: Any = cls()
            task.user = user
            return bool(task.canCall())

    return Adapted


def _executing(cls: Any) -> Any:
    """Return a method that executes the task, with the parameters that people can fill in."""

    @functools.wraps(cls.execute)
    def execute(_self: object, **kwargs: Any) -> object:
        return cls().execute(**kwargs)

    taken = signature(cls.execute)
    told = [each for each in taken.parameters.values() if each.kind not in _VARIABLE]
    setattr(execute, "__signature__", taken.replace(parameters=told))  # noqa: B010 - typed so
    return execute

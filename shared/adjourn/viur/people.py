"""Tasks that people start, as ViUR declares them."""

from __future__ import annotations

import functools
import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from adjourn.callable_tasks.identity import User
from adjourn.errors import DeclarationError
from adjourn.registry import signature
from adjourn.tasks.options import DeclaredOptions
from adjourn.viur import installed

if TYPE_CHECKING:
    from adjourn.callable_tasks.definitions import CallableTask
    from adjourn.callable_tasks.forms import Form

_JSON = (str, int, float, bool, type(None))
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class CallableTaskBase:
    """A task that people start; subclass it and decorate it with `@CallableTask`.

    The parameters of `execute` are filled in by people: the bones of `dataSkel`, if there is one,
    else what `execute` takes. `execute` runs as a deferred call, not in the request.

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

    def dataSkel(self) -> Any:
        """Return a skeleton of ViUR's, the bones of which are the parameters; None for none."""
        return None

    def execute(self, *args: Any, **kwargs: Any) -> object:
        """Do the work, in a task; `current_task().user` is the person's e-mail address."""
        raise NotImplementedError


def adapted(cls: Any) -> tuple[type[CallableTask], Form]:
    """Return a class that ViUR would take as one of ours, with the parameters of its `execute`.

    They are the bones of its `dataSkel`, or else what `execute` takes; what has no annotation there
    arrives as it was given.

    Raises:
        DeclarationError: It lacks something, or has a `dataSkel` where ViUR is not installed.
    """
    from adjourn.callable_tasks.definitions import CallableTask  # noqa: PLC0415 - for those who declare one

    missing = [name for name in ("canCall", "execute") if not callable(getattr(cls, name, None))]
    if missing or not isinstance(cls, type):
        raise DeclarationError(f"{cls!r} has no {' and no '.join(missing) or 'class'}.")

    class Adapted(CallableTask):
        key = getattr(cls, "key", None) or cls.__name__
        name = str(getattr(cls, "name", None) or "")
        descr = str(getattr(cls, "descr", None) or "")
        options = getattr(cls, "options", CallableTaskBase.options)

        def can_call(self, user: User) -> bool:
            task: Any = cls()
            task.user = user
            return bool(task.canCall())

        def execute(self, **kwargs: Any) -> object:
            task: Any = cls()
            return task.execute(**kwargs)

    own_skeleton = getattr(cls, "dataSkel", CallableTaskBase.dataSkel)
    if own_skeleton is CallableTaskBase.dataSkel:
        return Adapted, _form_of_execute(cls)
    return Adapted, _form_of_skeleton(cls)


def _form_of_skeleton(cls: Any) -> Form:
    from adjourn.viur.skeletons import SkeletonForm  # noqa: PLC0415 - for those who have one

    if not installed.is_installed():
        raise DeclarationError(
            f"{cls.__qualname__}.dataSkel gives a skeleton of ViUR, which is not installed here;"
            " install viur-core, or give the parameters of execute annotations instead, such as"
            " days: int = 30."
        )
    return SkeletonForm(
        types={}, required=frozenset(), defaults={}, skeleton=lambda: cls().dataSkel()
    )


def _form_of_execute(cls: Any) -> Form:
    """Return what people can fill in of the parameters of `execute`."""
    from adjourn.callable_tasks.forms import ParameterType, form_of  # noqa: PLC0415 - for those who declare one

    taken = signature(cls.execute)
    given = [each for each in taken.parameters.values() if each.kind not in _VARIABLE]
    # The first one is the task itself.
    free = [each for each in given[1:] if each.annotation is each.empty]
    annotated_ones = [each for each in given if each not in free]

    @functools.wraps(cls.execute)
    def annotated() -> None:
        """Take what has an annotation."""

    setattr(annotated, "__signature__", taken.replace(parameters=annotated_ones))  # noqa: B010 - typed so
    form = form_of(annotated, is_method=True)
    as_given = ParameterType(schema={}, read=lambda value: value)
    defaults = {each.name: each.default for each in free if type(each.default) in _JSON}
    return replace(
        form,
        types={**form.types, **{each.name: as_given for each in free}},
        required=form.required | {each.name for each in free if each.default is each.empty},
        defaults={**form.defaults, **defaults},
    )

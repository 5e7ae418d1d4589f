"""What makes a task look like the function that it stands for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

# What other libraries call the enqueuing of a call.
_OTHER_WAYS = frozenset({"apply_async", "delay", "enqueue", "s", "send", "si"})


class FunctionLike:
    """An object with the name, the text, the signature and the attributes of a function.

    So `help`, `inspect`, `typing`, Sphinx and `unittest.mock` treat it as one. It is copied as a
    function is: a copy is the object itself. It takes attributes, too, but its fields, which are
    the slots of its classes, stay as they are.
    """

    __name__: str
    __qualname__: str
    __wrapped__: Callable[..., Any]

    _fields: ClassVar[Sequence[str]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Collect the fields."""
        super().__init_subclass__(**kwargs)
        cls._fields = [name for each in cls.__mro__ for name in vars(each).get("__slots__", ())]

    def resemble(self, function: Callable[..., Any]) -> None:
        """Do what `functools.wraps` does, but for attributes that would hide the object's own."""
        functools.update_wrapper(cast("Any", self), function, updated=())
        attributes = getattr(function, "__dict__", {}).items()
        vars(self).update({k: v for k, v in attributes if not hasattr(type(self), k)})

    def copied(self, **changes: object) -> Self:
        """Return a copy with some fields changed."""
        copy = object.__new__(type(self))
        for name in self._fields:
            object.__setattr__(copy, name, getattr(self, name))
        copy._set(**changes)
        vars(copy).update(vars(self))
        return copy

    def _set(self, **fields: object) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self

    if not TYPE_CHECKING:  # type checkers would take them as a leave to use any attribute

        def __getattr__(self, name: str) -> Any:
            if name == "__annotations__":  # Python 3.14 evaluates them only here
                return self.__wrapped__.__annotations__
            known_as = vars(self).get("__qualname__", type(self).__name__)
            hint = f"; write {known_as}.defer(...)" if name in _OTHER_WAYS else ""
            raise AttributeError(
                f"The task {known_as} has no attribute {name!r}{hint}", name=name, obj=self
            )

        def __setattr__(self, name: str, value: object) -> None:
            self._check_attribute(name)
            if self._is_own_method(name, value):  # pytest puts it back so
                vars(self).pop(name, None)
            else:
                object.__setattr__(self, name, value)

        def __delattr__(self, name: str) -> None:
            self._check_attribute(name)
            object.__delattr__(self, name)

    def _check_attribute(self, name: str) -> None:
        """Refuse to change what makes it a task.

        Raises:
            FrozenInstanceError: It does; it is an AttributeError.
        """
        if name in self._fields:
            raise FrozenInstanceError(
                f"{name} of {self.__qualname__} does not change; options(...) returns a changed"
                " copy"
            )

    def _is_own_method(self, name: str, value: object) -> bool:
        own = getattr(type(self), name, None)
        return getattr(value, "__self__", None) is self and getattr(value, "__func__", None) is own

"""Deferred methods: the object or class that a method is called on is the call's first argument.

It is passed as the path of an object that the application registered, as the name of a class, or
as the value itself if the codec can encode it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import FrozenInstanceError
from inspect import iscoroutinefunction
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, Self, TypeVar, cast

from adjourn.concurrency import Scoped
from adjourn.coroutines import within
from adjourn.errors import DeclarationError, DecodeError, EncodeError, UnknownNameError
from adjourn.registry import signature
from adjourn.serialization.types import type_name
from adjourn.tasks.function_like import FunctionLike
from adjourn.tasks.objects import ObjectPath, ObjectRegistry
from adjourn.tasks.options import Options
from adjourn.tasks.task import EnqueuesCalls, Task, with_defaults, zipped

if TYPE_CHECKING:
    from adjourn.tasks.handle import Enqueued, TaskHandle

P = ParamSpec("P")
R = TypeVar("R")

# The method that runs, and the object or class on which it runs: with these, `super().method()`
# runs the overridden method at once.
_running: ContextVar[tuple[Method[..., Any], object] | None] = ContextVar(
    "adjourn_running_method", default=None
)


class Method(Task[P, R]):
    """A task whose function is a method; access on an instance or a class returns a `BoundTask`."""

    __slots__ = ("is_on_class", "objects")

    objects: ObjectRegistry
    is_on_class: bool

    def __init__(self, *, objects: ObjectRegistry, is_on_class: bool, **fields: Any) -> None:
        super().__init__(**fields)
        self._set(objects=objects, is_on_class=is_on_class)

    def __set_name__(self, owner: type, _name: str) -> None:
        self.objects.own(self.name, owner)

    def __get__(  # type: ignore[override]  # it does what the overloads there promise
        self, instance: Any, owner: type | None = None, /
    ) -> Task[..., Any]:
        if self.is_on_class:
            return self.on(owner or type(instance))
        return self if instance is None else self.on(instance)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskHandle:
        """Enqueue a call on the first argument, as functions of a class are called."""
        return self.defer(*args, **kwargs)

    def defer(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskHandle:
        """Enqueue a call on the first argument; see `Task.defer`."""
        if not args or self.is_static:
            return super().defer(*args, **kwargs)
        if not self.objects.is_method_of(type(args[0]), self):
            class_name, _, name = self.__qualname__.rpartition(".")
            raise EncodeError(
                f"{self.name} is a method: call it on an object of {class_name}, which has a path"
                f" by app.add_object(path, object), and not on the class: object.{name}(...)"
            )
        return self.on(args[0]).with_defaults(self.defaults).defer(*args[1:], **kwargs)

    def on(self, receiver: object) -> BoundTask[..., R]:
        """Return the task of this method on an object or a class."""
        return self.bound(self, receiver, self.defaults)

    @property
    def is_static(self) -> bool:
        """Whether `@staticmethod` stands above it, so that it has no `self`."""
        if self.objects.has_owner(self.name):
            return False
        place: object = sys.modules.get(self.function.__module__)
        for name in self.function.__qualname__.split("."):
            place = getattr(place, "__dict__", {}).get(name)
        return place is None or isinstance(place, staticmethod)

    @property
    def bound(self) -> type[BoundTask[..., R]]:
        """The class of the tasks that `on` makes."""
        return BoundTask


class BoundTask(Task[P, R]):
    """A deferred method of one object or class, with the attributes of the method."""

    __slots__ = ("method", "receiver")

    def __init__(self, method: Method[..., R], receiver: object, defaults: Options) -> None:
        if TYPE_CHECKING:  # what is declared in the class, type checkers would bind
            self.method, self.receiver = method, receiver
        # One is made at each access, so it sets little, and shares the attributes of its method.
        object.__setattr__(self, "method", method)
        object.__setattr__(self, "receiver", receiver)
        object.__setattr__(self, "defaults", defaults)
        object.__setattr__(self, "__dict__", method.__dict__)

    @property
    def name(self) -> str:  # type: ignore[override]  # the fields of a task do not change
        """Registered name of the method."""
        return self.method.name

    @property
    def function(self) -> Callable[..., R]:  # type: ignore[override]
        """The method as a function."""
        return self.method.function

    @property
    def on_dead(self) -> Callable[[Any], object] | None:  # type: ignore[override]
        """What is called with the dead letters of the method."""
        return self.method.on_dead

    @property
    def _enqueuer(self) -> Callable[[], EnqueuesCalls]:  # type: ignore[override]
        return self.method._enqueuer  # noqa: SLF001 - it is a task, too

    def with_defaults(self, defaults: Options) -> Self:
        """Return the method of this object with these options."""
        return type(self)(self.method, self.receiver, defaults)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskHandle:
        """Enqueue a call; run it at once if the running method overrides this one."""
        if self.defaults is not self.method.defaults or not self._is_overridden_by_running():
            return self.defer(*args, **kwargs)
        if iscoroutinefunction(self.function):
            call = f"super().{self.__name__}.call_local(...)"
            raise DeclarationError(f"{self.__qualname__} is async; write await {call}.")
        self.call_local(*args, **kwargs)
        from adjourn.tasks.handle import TaskHandle  # noqa: PLC0415 - for those who enqueue

        return TaskHandle(id=None, name="", queue="", eta=None, is_new=False, _queue=None)

    def defer(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskHandle:
        """Enqueue a call of the method; see `Task.defer`."""
        return self._enqueuer().enqueue(self, (self.receiver_argument(), *args), kwargs)

    def imap(self, first: Iterable[Any], /, *others: Iterable[Any]) -> Iterator[Enqueued]:
        """Enqueue a call of the method for each item; see `Task.imap`."""
        on = self.receiver_argument()
        calls = ((on, *each) for each in zipped(first, others))
        return self._enqueuer().imap(self, calls)

    def call_local(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the method here and now."""
        running = Scoped(_running, (self.method, self.receiver))
        with running:
            result = self.method.function(self.receiver, *args, **kwargs)
        return cast("R", within(running, result)) if isinstance(result, CoroutineType) else result

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundTask):
            return NotImplemented
        is_same = self.method is other.method and self.receiver is other.receiver
        return is_same and self.defaults == other.defaults

    def __hash__(self) -> int:
        return hash((id(self.receiver), self.method))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} of {self.receiver!r}>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Name the method and give the object, for pickle, as a bound method does."""
        bound = (getattr, (self.receiver, self.__name__))
        if self.defaults is self.method.defaults:
            return bound
        return with_defaults, (self.method.on(self.receiver), self.defaults)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)(self.method, deepcopy(self.receiver, memo), self.defaults)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name != "__signature__":
                return FunctionLike.__getattr__(self, name)
            whole = signature(self.function)
            return whole.replace(parameters=list(whole.parameters.values())[1:])

    def _check_attribute(self, name: str) -> None:
        # It is made anew at each access, so nobody would see the attribute.
        raise FrozenInstanceError(
            f"Set {name} on {self.__qualname__}, not on the method of an object"
        )

    def receiver_argument(self) -> object:
        """Return the first argument of a call: it says on what object or class it is made.

        Raises:
            EncodeError: The object is not registered and cannot be encoded.
            DeclarationError: Another class has the same name as this one.
        """
        objects = self.method.objects
        if self.method.is_on_class and isinstance(self.receiver, type):
            return objects.class_argument(self.name, self.receiver)
        return objects.argument(self.name, self.receiver)

    def _is_overridden_by_running(self) -> bool:
        """Whether the running method, on the same object, overrides this one."""
        running, receiver = _running.get() or (None, None)
        if running is None or receiver is not self.receiver:
            return False
        cls = receiver if isinstance(receiver, type) else type(receiver)
        name = self.method.function.__name__
        methods = [vars(each).get(name) for each in cls.__mro__]
        return running in methods and self.method in methods[methods.index(running) + 1 :]


class TaskClasses(NamedTuple):
    """The classes of which the tasks of functions and methods are made."""

    task: type[Task[..., Any]] = Task
    method: type[Method[..., Any]] = Method


TASK_CLASSES = TaskClasses()


def declare(
    function: Any, objects: ObjectRegistry, classes: TaskClasses = TASK_CLASSES, **fields: Any
) -> Any:
    """Return the task of a function or method.

    Raises:
        DeclarationError: The decorators of a class method are in the wrong order.
    """
    plain = undecorated(function)
    if not is_method(function):
        return classes.task(function=plain, **fields)
    is_on_class = isinstance(function, classmethod)
    # From Python 3.13 on, classmethod no longer passes the class on to what it wraps.
    if not is_on_class and plain.__code__.co_varnames[:1] == ("cls",):
        raise DeclarationError(f"{plain.__qualname__}: put @app.deferred above @classmethod.")
    return classes.method(function=plain, objects=objects, is_on_class=is_on_class, **fields)


def is_method(function: Any) -> bool:
    """Whether a function is defined in a class and is no static method."""
    scope = undecorated(function).__qualname__.rpartition(".")[0]
    is_static = isinstance(function, staticmethod) or not scope or scope.endswith("<locals>")
    return not is_static


def undecorated(function: Any) -> Any:
    """Return the function inside `@classmethod` or `@staticmethod`, or the function itself."""
    return function.__func__ if isinstance(function, classmethod | staticmethod) else function


def resolved(
    method: Method[..., Any], args: tuple[object, ...], kwargs: Mapping[str, object]
) -> Task[..., Any]:
    """Return a task that runs a delivered call of a method on its object or class.

    Raises:
        UnknownNameError: There is no such object or class here.
        DecodeError: The call is not made on an object whose class has the method.
    """
    if method.is_static:
        return method
    if not args:
        names = getattr(method.function, "__code__", resolved.__code__).co_varnames
        _check_receiver(method, kwargs.get(names[0]))
        return method
    bound = method.on(_receiver(method, args[0]))

    def run(_on: object, /, *args: Any, **kwargs: Any) -> object:
        return bound.call_local(*args, **kwargs)

    return method.copied(function=run)


def _receiver(method: Method[..., Any], argument: object) -> object:
    """Return the object or class that the first argument of a delivered call stands for."""
    if not isinstance(argument, ObjectPath):
        _check_receiver(method, argument)
        return argument
    if method.is_on_class:
        return method.objects.find_class(method.name, argument.path)
    found = method.objects.find(argument.path)
    if not method.objects.is_method_of(type(found), method):
        raise UnknownNameError(f"The object at {argument.path!r} has no {method.name}")
    return found


def _check_receiver(method: Method[..., Any], value: object) -> None:
    cls = type(value)
    if method.is_on_class or not method.objects.is_method_of(cls, method):
        raise DecodeError(f"{method.name} does not run on a value of {type_name(cls)}")

"""Deferred methods: what a call is made on travels as the call's first argument.

That is the path of an object that the application registered, the name of a class for a class
method, or else the value itself, if the codec carries it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, ParamSpec, TypeVar

from adjourn.errors import DeclarationError, EncodeError, UnknownNameError
from adjourn.registry import Registry, default_name
from adjourn.serialization.codec import Codec
from adjourn.serialization.types import Extension
from adjourn.tasks.handle import Enqueued, TaskHandle
from adjourn.tasks.task import Task

P = ParamSpec("P")
R = TypeVar("R")

# The method that runs and what it runs on, for the implementations that it overrides.
_running: ContextVar[tuple[Method[..., Any], object] | None] = ContextVar(
    "adjourn_running_method", default=None
)


class On(NamedTuple):
    """What a call is made on: the path of an object, or the name of a class."""

    path: str


ON = Extension("on", "adjourn.tasks.methods.On", str, lambda on: on.path, On)


class Objects:
    """The objects and classes whose deferred methods can be called."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._objects: Registry[object] = Registry("registered object")
        self._paths: dict[int, str] = {}
        self._owners: dict[str, type] = {}

    def add(self, path: str, item: object) -> None:
        """Register an object under the path by which every process finds it.

        Raises:
            DeclarationError: The path is empty or taken, or the object has one.
        """
        if id(item) in self._paths:
            raise DeclarationError(
                f"The object at {path!r} is registered as {self._paths[id(item)]!r}; give it one."
            )
        self._objects.add(path, item)
        self._paths[id(item)] = path

    def own(self, task: str, owner: type) -> None:
        """Note the class in whose body a class method stands."""
        self._owners[task] = owner

    def owner(self, task: str) -> type:
        """Return the class in whose body a class method stands."""
        return self._owners[task]

    def path(self, item: object) -> str | None:
        """Return the path of a registered object, None for any other."""
        return self._paths.get(id(item))

    def having(self, method: Method[..., Any]) -> Iterator[tuple[str, object]]:
        """Yield path and object wherever a method stands in the class and is not overridden."""
        name = method.function.__name__
        for item in self._objects:
            line = type(item).__mro__  # not getattr, which would run properties
            if next((vars(cls)[name] for cls in line if name in vars(cls)), None) is method:
                yield self._paths[id(item)], item

    def told(self, task: str, item: object) -> object:
        """Return what travels for an object.

        Raises:
            EncodeError: Nothing can.
        """
        if id(item) in self._paths:
            return On(self._paths[id(item)])
        try:
            self._codec.encode(item, "self")
        except EncodeError as error:
            raise EncodeError(
                f"{task} is called on an object that another process cannot find; give it a path"
                f" with app.add_object(path, object), or let values of its class be carried with"
                f" app.register(cls) ({error})"
            ) from error
        return item

    def told_class(self, task: str, cls: type) -> On:
        """Return what travels for a class.

        Raises:
            DeclarationError: Another process could not find it.
        """
        name = default_name(cls)
        if self.find_class(task, name) is not cls:
            raise DeclarationError(f"There are two classes named {name!r}; rename one of them.")
        return On(name)

    def find(self, path: str) -> object:
        """Return a registered object.

        Raises:
            UnknownNameError: There is none at this path.
        """
        return self._objects.get(path)

    def find_class(self, task: str, name: str) -> type:
        """Return the class of a class method, or one that inherits it.

        Raises:
            UnknownNameError: None of them has this name.
        """
        found = _family(self._owners[task]) if task in self._owners else iter(())
        for cls in found:
            if f"{cls.__module__}.{cls.__qualname__}" == name:
                return cls
        raise UnknownNameError(f"No class that has {task} is named {name!r}")


def _family(cls: type) -> Iterator[type]:
    yield cls
    subclasses: list[type] = type.__subclasses__(cls)
    for each in subclasses:
        yield from _family(each)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Method(Task[P, R]):
    """A task whose function stands in a class; an instance or a class makes a bound one of it."""

    objects: Objects
    is_on_class: bool

    def __set_name__(self, owner: type, _name: str) -> None:
        if self.is_on_class:
            self.objects.own(self.name, owner)

    def __get__(  # type: ignore[override]  # it takes on what the overloads there promise
        self, instance: Any, owner: type | None = None, /
    ) -> Task[..., Any]:
        if self.is_on_class:
            return self.on(owner or type(instance))
        return self if instance is None else self.on(instance)

    def on(self, receiver: object) -> BoundTask[..., R]:
        """Return the task of this method on an object or a class."""
        return self.bound(
            name=self.name,
            function=self.function,
            defaults=self.defaults,
            on_dead=self.on_dead,
            _enqueuer=self._enqueuer,
            receiver=receiver,
            method=self,
        )

    @property
    def bound(self) -> type[BoundTask[..., R]]:
        """The sort of tasks that `on` makes."""
        return BoundTask


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoundTask(Task[P, R]):
    """A deferred method of one object or class."""

    receiver: object
    method: Method[..., R]

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskHandle:
        """Enqueue a call; if the method that runs overrides this one, run it here and now."""
        if self.defaults is not self.method.defaults or not self._is_overridden_by_running():
            return self.defer(*args, **kwargs)
        self.call_local(*args, **kwargs)
        return TaskHandle(id=None, name="", queue="", eta=None, is_new=False, _queue=None)

    def defer(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskHandle:
        """Enqueue a call of the method; see `Task.defer`."""
        return self._enqueuer().enqueue(self, (self.told(), *args), kwargs)

    def map(self, first: Iterable[Any], /, *others: Iterable[Any]) -> Iterator[Enqueued]:
        """Enqueue a call of the method for each item; see `Task.map`."""
        told = self.told()
        calls = ((told, *each) for each in zip(first, *others, strict=False))
        return self._enqueuer().map(self, calls)

    def call_local(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the method here and now."""
        token = _running.set((self.method, self.receiver))
        try:
            return self.method.function(self.receiver, *args, **kwargs)
        finally:
            _running.reset(token)

    def told(self) -> object:
        """Return what travels for the object or class.

        Raises:
            EncodeError: Nothing can.
            DeclarationError: Another process could not find the class.
        """
        objects = self.method.objects
        if self.method.is_on_class and isinstance(self.receiver, type):
            return objects.told_class(self.name, self.receiver)
        return objects.told(self.name, self.receiver)

    def _is_overridden_by_running(self) -> bool:
        """Whether this is what `super()` finds from the method that runs, on the same object."""
        running, receiver = _running.get() or (None, None)
        if running is None or receiver is not self.receiver:
            return False
        cls = receiver if isinstance(receiver, type) else type(receiver)
        name = self.method.function.__name__
        line = [vars(each).get(name) for each in cls.__mro__]
        return running in line and self.method in line[line.index(running) + 1 :]


class Sorts(NamedTuple):
    """Which sorts of tasks functions and methods become."""

    task: type[Task[..., Any]] = Task
    method: type[Method[..., Any]] = Method


SORTS = Sorts()


def declare(function: Any, objects: Objects, sorts: Sorts = SORTS, **fields: Any) -> Any:
    """Return the task of a function, or of a method if it stands in a class.

    Raises:
        DeclarationError: The decorators of a class method are in the wrong order.
    """
    plain = undecorated(function)
    if not is_method(function):
        return sorts.task(function=plain, **fields)
    is_on_class = isinstance(function, classmethod)
    # From Python 3.13 on, a classmethod does not tell the class to what it is wrapped around.
    if not is_on_class and plain.__code__.co_varnames[:1] == ("cls",):
        raise DeclarationError(f"{plain.__qualname__}: put @app.deferred above @classmethod.")
    return sorts.method(function=plain, objects=objects, is_on_class=is_on_class, **fields)


def is_method(function: Any) -> bool:
    """Whether a function stands in a class and is called on an object or the class."""
    scope = undecorated(function).__qualname__.rpartition(".")[0]
    is_static = isinstance(function, staticmethod) or not scope or scope.endswith("<locals>")
    return not is_static


def undecorated(function: Any) -> Any:
    """Return the function within `@classmethod` or `@staticmethod`."""
    return function.__func__ if isinstance(function, classmethod | staticmethod) else function


def resolved(task: Task[..., Any], args: tuple[object, ...]) -> Task[..., Any]:
    """Return the task of a call that has arrived, on what the call was made on.

    Raises:
        UnknownNameError: There is no such object or class here.
    """
    if not isinstance(task, Method) or not args:
        return task
    told, objects = args[0], task.objects
    if not isinstance(told, On):
        bound = task.on(told)
    elif task.is_on_class:
        bound = task.on(objects.find_class(task.name, told.path))
    else:
        bound = task.on(objects.find(told.path))

    def run(_on: object, /, *args: Any, **kwargs: Any) -> object:
        return bound.call_local(*args, **kwargs)

    return replace(task, function=run)

"""The objects and classes on which deferred methods are called, and how a call names them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from adjourn.errors import DeclarationError, EncodeError, UnknownNameError
from adjourn.names import plain_text
from adjourn.registry import Registry, default_name
from adjourn.serialization.codec import Codec
from adjourn.serialization.types import Extension, type_name
from adjourn.tasks.task import Task


class ObjectPath(NamedTuple):
    """The path of a registered object, or the name of a class: the first argument of a call."""

    path: str


OBJECT_PATH = Extension(
    "on", "adjourn.tasks.objects.ObjectPath", str, lambda value: value.path, ObjectPath
)


class ObjectRegistry:
    """The objects and classes on which deferred methods can be called."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._objects: Registry[object] = Registry("registered object")
        self._paths: dict[int, str] = {}
        self._owners: dict[str, type] = {}

    def add(self, path: str, item: object) -> None:
        """Register an object under a path that is the same in every process.

        Raises:
            DeclarationError: The path is empty or taken, or the object already has one.
        """
        if isinstance(item, str) and not isinstance(path, str):
            raise DeclarationError(f"{path!r:.80} is no path; write app.add_object({item!r}, ...).")
        if id(item) in self._paths:
            raise DeclarationError(
                f"The object at {path!r} is already registered as {self._paths[id(item)]!r};"
                " register it once."
            )
        self._objects.add(path, item)
        self._paths[id(item)] = plain_text(path)

    def own(self, task: str, owner: type) -> None:
        """Remember the class that defines a method."""
        self._owners[task] = owner

    def owner(self, task: str) -> type:
        """Return the class that defines a method."""
        return self._owners[task]

    def has_owner(self, task: str) -> bool:
        """Whether the class that defines a method is known; it is not that of a static one."""
        return task in self._owners

    def is_method_of(self, cls: type, task: Task[..., Any]) -> bool:
        """Whether a class defines a method, took it over from another class or inherits it."""
        function, line = task.function, cls.__mro__
        if self._owners.get(task.name) in line:
            return True
        # A decorator above it may hide from the method in which class it stands.
        declared_in = f"{function.__module__}.{function.__qualname__.rpartition('.')[0]}"
        is_set = any(vars(each).get(function.__name__) is task for each in line)
        return is_set or declared_in in map(type_name, line)

    def path(self, item: object) -> str | None:
        """Return the path of an object, None if it is not registered."""
        return self._paths.get(id(item))

    def having(self, method: Task[..., Any]) -> Iterator[tuple[str, object]]:
        """Yield path and object for each registered object whose class has exactly this method."""
        name = method.function.__name__
        for item in self._objects:
            classes = type(item).__mro__  # not getattr, which would run properties
            if next((vars(cls)[name] for cls in classes if name in vars(cls)), None) is method:
                yield self._paths[id(item)], item

    def argument(self, task: str, item: object) -> object:
        """Return the first argument of a call on an object.

        Raises:
            EncodeError: The object is not registered and cannot be encoded.
        """
        if id(item) in self._paths:
            return ObjectPath(self._paths[id(item)])
        try:
            self._codec.encode(item, "self")
        except EncodeError as error:
            raise EncodeError(
                f"{task} is called on an object that another process cannot find; give it a path"
                f" with app.add_object(path, object), or register its class with"
                f" app.register(cls) ({error})"
            ) from error
        return item

    def class_argument(self, task: str, cls: type) -> ObjectPath:
        """Return the first argument of a call on a class.

        Raises:
            DeclarationError: Another class has the same name.
        """
        name = default_name(cls)
        if self.find_class(task, name) is not cls:
            raise DeclarationError(f"There are two classes named {name!r}; rename one of them.")
        return ObjectPath(name)

    def find(self, path: str) -> object:
        """Return a registered object.

        Raises:
            UnknownNameError: There is none at this path.
        """
        return self._objects.get(path)

    def find_class(self, task: str, name: str) -> type:
        """Return the class with this name that defines or inherits a class method.

        Raises:
            UnknownNameError: No such class has this name.
        """
        classes = _with_subclasses(self._owners[task]) if task in self._owners else iter(())
        for cls in classes:
            if f"{cls.__module__}.{cls.__qualname__}" == name:
                return cls
        raise UnknownNameError(f"No class that has {task} is named {name!r}")


def _with_subclasses(cls: type) -> Iterator[type]:
    yield cls
    subclasses: list[type] = type.__subclasses__(cls)
    for each in subclasses:
        yield from _with_subclasses(each)

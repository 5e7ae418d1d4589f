"""The tree of an application's modules: who is found at a path, and on whom a method stands."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from adjourn.errors import UnknownNameError
from adjourn.serialization.codec import Codec
from adjourn.tasks.methods import Method
from adjourn.tasks.objects import ObjectPath, ObjectRegistry
from adjourn.tasks.task import Task
from adjourn.viur import installed

ROOT = "/"

DEPTH = 3


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """An object of the application's tree of modules, and where it stands."""

    path: str
    item: object


class ViurObjects(ObjectRegistry):
    """The objects and classes whose deferred methods can be called, found as ViUR finds them.

    One that was not registered is known by its `modulePath`, and found by the attributes of the
    main application that the path names.
    """

    def __init__(self, codec: Codec) -> None:
        super().__init__(codec)
        self._main_app: object | None = None

    def set_main_app(self, main_app: object) -> None:
        """Let paths begin at this object."""
        self._main_app = main_app

    @property
    def main_app(self) -> object | None:
        """Where paths begin: what was set, else what ViUR's own setup has built."""
        return installed.main_app() if self._main_app is None else self._main_app

    def argument(self, task: str, item: object) -> object:
        """Return the first argument of a call on an object: its path, if it has one.

        Raises:
            EncodeError: Nothing can.
        """
        path = module_path(item)
        if self.path(item) is None and path and self._has(path):
            return ObjectPath(path)
        return super().argument(task, item)

    def find(self, path: str) -> object:
        """Return the object at a path.

        Raises:
            UnknownNameError: There is none.
        """
        try:
            return super().find(path)
        except UnknownNameError:
            found = self._walked(path)
            if found is None:
                raise
            return found

    def having(self, method: Task[..., Any]) -> Iterator[tuple[str, object]]:
        """Yield path and object wherever a method stands in the class and is not overridden."""
        for item in self._objects:
            if task_of(type(item), method.function.__name__) is method:
                yield self._paths[id(item)], item

    def _has(self, path: str) -> bool:
        try:
            self.find(path)
        except UnknownNameError:
            return False
        return True

    def _walked(self, path: str) -> object | None:
        found = self.main_app
        for name in filter(None, path.split("/")):
            found = None if name.startswith("_") else getattr(found, name, None)
        return found


def module_path(item: object) -> str:
    """Return the path that an object says that it has; "" if it says none."""
    if type(item).__name__ == "index":
        return ROOT  # as ViUR has it
    path = getattr(item, "modulePath", None)
    return canonical(path) if isinstance(path, str) and path else ""


def canonical(path: str) -> str:
    """Return a path of modules in the one form in which we keep it."""
    return "/".join(part for part in path.split("/") if part) or ROOT


def task_of(cls: type, name: str) -> Task[..., Any] | None:
    """Return the task that a class has under a name, below whatever decorators stand above it."""
    line = cls.__mro__  # not getattr, which would run properties
    return unwrapped(next((vars(each)[name] for each in line if name in vars(each)), None))


def unwrapped(value: Any) -> Task[..., Any] | None:
    """Return the task that decorators have wrapped: `@classmethod`, ViUR's `@exposed`."""
    while value is not None and not isinstance(value, Task):
        is_plain = isinstance(value, classmethod | staticmethod)
        value = value.__func__ if is_plain else getattr(value, "__dict__", {}).get("_func")
    return value


def with_methods(main_app: object) -> Iterator[Placed]:
    """Yield the objects that have methods of ours, the application itself and those below it."""
    seen: set[int] = set()
    level = [Placed(ROOT, main_app)]
    for _ in range(DEPTH + 1):
        below: list[Placed] = []
        for each in level:
            if id(each.item) not in seen:
                seen.add(id(each.item))
                below += _below(each)
                if _has_methods(each.item):
                    yield each
        level = below


def find_bound(task: Task[..., Any], item: object, depth: int = 0) -> object | None:
    """Return the object on which ViUR would call a method: the first in the order of names.

    The attributes of each object are looked through by name, and below each before the next one,
    down to the third level. Unlike there, no property is evaluated.
    """
    if depth > DEPTH:
        return None
    for name in (name for name in dir(item) if not name.startswith("_")):
        each = inspect.getattr_static(item, name, None)
        if unwrapped(each) is task:
            return item
        if hasattr(each, "__dict__") and not callable(each) and not isinstance(each, property):
            found = find_bound(task, each, depth + 1)
            if found is not None:
                return found
    return None


def _below(above: Placed) -> Iterator[Placed]:
    for name, item in getattr(above.item, "__dict__", {}).items():
        if not name.startswith("_") and not isinstance(item, type) and hasattr(item, "__dict__"):
            attributes = f"{above.path}/{name}"
            path = vars(item).get("modulePath", getattr(type(item), "modulePath", attributes))
            is_path = isinstance(path, str) and path
            yield Placed(canonical(path if is_path else attributes), item)


def _has_methods(item: object) -> bool:
    return any(
        isinstance(unwrapped(each), Method)
        for cls in type(item).__mro__
        for each in vars(cls).values()
        if not inspect.isfunction(each)
    )

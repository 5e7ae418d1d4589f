"""Registries of what the application declared, by name; nothing else can ever run."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from adjourn.errors import DeclarationError, UnknownNameError
from adjourn.names import plain_text

if sys.version_info >= (3, 14):
    import annotationlib

T = TypeVar("T")

# A name is part of URLs (2,083 characters, of which a byte may take three), and of keys and indexes
# of Datastore (1,500 bytes; https://cloud.google.com/datastore/docs/concepts/limits).
_LONGEST = 500


class Registry(Generic[T]):
    """Items of one sort by their unique names.

    Args:
        sort: What an item is, for error messages.
    """

    def __init__(self, sort: str) -> None:
        self._sort = sort
        self._items: dict[str, T] = {}
        self._aliases: dict[str, str] = {}

    def add(self, name: str, item: T, aliases: Iterable[str] = ()) -> None:
        """Register `item` under `name`; `get` finds it also under its aliases, its former names.

        Raises:
            DeclarationError: A name is empty or taken; nothing was registered.
        """
        if isinstance(aliases, str):
            raise DeclarationError(f"aliases={aliases!r} must be a list of names, not one name.")
        name, *aliases = names = [plain_text(each) for each in (name, *aliases)]
        for each in names:
            self._check(each)
            if each in self._items or each in self._aliases or names.count(each) > 1:
                raise DeclarationError(
                    f"There is already a {self._sort} named {each!r}; rename one of them."
                )
        self._items[name] = item
        self._aliases |= dict.fromkeys(aliases, name)

    def _check(self, name: object) -> None:
        if not name:
            raise DeclarationError(f"A {self._sort} needs a name that is not empty.")
        if not isinstance(name, str) or not is_stored(name):
            raise DeclarationError(
                f"A {self._sort} cannot be named {name!r:.100}; a name is a str of at most"
                f" {_LONGEST} bytes, not one like __this__."
            )

    def get(self, name: str) -> T:
        """Return the item registered under `name`.

        Raises:
            UnknownNameError: There is none; the message suggests the nearest name.
        """
        try:
            return self._items[self._aliases.get(name, name)]
        except KeyError:
            near = difflib.get_close_matches(name, self._items, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UnknownNameError(f"No {self._sort} is named {name!r}{hint}") from None

    def remove(self, name: str) -> T:
        """Remove the item registered under `name`, which is not an alias, and return it.

        Raises:
            UnknownNameError: There is none; the message suggests the nearest name.
        """
        item = self.get(name)
        del self._items[name]
        return item

    def __iter__(self) -> Iterator[T]:
        return iter(self._items.values())

    def __len__(self) -> int:
        return len(self._items)


def is_stored(name: str) -> bool:
    """Whether a text can be the name of an entity of Datastore, and a part of others."""
    is_reserved = name.startswith("__") and name.endswith("__")
    try:
        return not is_reserved and len(name.encode()) <= _LONGEST
    except UnicodeEncodeError:
        return False


def default_name(item: type | object) -> str:
    """Return the stable name `module.qualname` of a function or class.

    Raises:
        DeclarationError: The name is not stable, so another process could not find the item.
    """
    module, qualname = str(getattr(item, "__module__", "")), str(getattr(item, "__qualname__", ""))
    or_name = "" if isinstance(item, type) else " or give it name=..."
    if not qualname or "<" in qualname:
        raise DeclarationError(
            f"{qualname or item!r} is not at the top of a module, so its name would not be stable; "
            f"move it there{or_name}."
        )
    if module == "__main__":
        raise DeclarationError(
            f"{qualname} is defined in the script that was started, where the functions cannot "
            f"import it; move it into a module{or_name}."
        )
    return f"{module}.{qualname}"


def signature(declared: Callable[..., Any], *, follow_wrapped: bool = True) -> inspect.Signature:
    """Return the parameters of a function or class, whose annotations may name what is not there.

    Python 3.14 evaluates annotations only here, and what they name may be imported for type
    checkers alone.
    """
    if sys.version_info >= (3, 14):
        return inspect.signature(
            declared,
            follow_wrapped=follow_wrapped,
            annotation_format=annotationlib.Format.FORWARDREF,
        )
    return inspect.signature(declared, follow_wrapped=follow_wrapped)

"""What cannot be encoded: how that is noticed, and what is said about it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Callable, Collection

from adjourn.serialization.budget import check_hashes

MAX_DEPTH = 200  # of the JSON; well within the interpreter's own recursion limit
TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels, or within itself"

_SHOWN = 60


class RefusedError(Exception):
    """A value cannot be encoded; the path to it grows while the stack unwinds."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str] = []


def check_keys(keys: Collection[object]) -> None:
    """Refuse keys or members that would be refused for their hashes where they are decoded."""
    try:
        check_hashes(tuple(keys))
    except ValueError as error:
        raise RefusedError(f"{error}, and would be refused where it is decoded") from error


def shown(key: object) -> str:
    """Return a key as it stands in the path to a value."""
    is_short = type(key) is not int or key.bit_length() < _SHOWN
    is_simple = key is None or type(key) in {bool, int, float, str}
    return repr(key)[:_SHOWN] if is_simple and is_short else f"<{type(key).__name__}>"


def _is_model(kind: type) -> bool:
    """Whether it is a class of attrs or a model of pydantic, which need not be imported."""
    return hasattr(kind, "__attrs_attrs__") or hasattr(kind, "__pydantic_validator__")


def hint(kind: type, is_known: Callable[[type], bool]) -> str:
    """Return what to do about a value of a type that cannot be encoded.

    Args:
        kind: The type.
        is_known: Whether values of another type can be.
    """
    if dataclasses.is_dataclass(kind) or issubclass(kind, enum.Enum) or _is_model(kind):
        is_made = "[" in kind.__name__  # of a generic class
        name = kind.__name__
        return (
            f"write app.register({name})"
            if is_made
            else f"write @app.register above the class {name}"
        )
    if issubclass(kind, dt.tzinfo):
        return "use datetime.timezone or zoneinfo.ZoneInfo"
    for base in kind.__mro__:
        if is_known(base):
            return f"it would be decoded as a plain {base.__name__}, so convert it to one"
    if hasattr(kind, "__next__"):
        return "pass a list of what it yields"
    if any("__call__" in vars(each) for each in kind.__mro__):
        return "pass a name, and choose by it in the task"
    return (
        "pass an id or a Key from which it can be loaded, or say how it is encoded with"
        " app.add_extension(adjourn.Extension(...))"
    )

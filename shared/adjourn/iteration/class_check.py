"""Check the classes of iterations where they are registered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from inspect import getattr_static
from types import FunctionType
from typing import Any, NoReturn

from adjourn.error_text import TO_RENAME, misspelled, nearest
from adjourn.errors import DeclarationError
from adjourn.iteration.validation import check_pace
from adjourn.names import plain_text
from adjourn.settings import is_queue
from adjourn.tasks.arguments import is_generator, misfitting
from adjourn.tasks.function_like import FunctionLike
from adjourn.tasks.plain_values import plain_number

_LARGEST_BATCH = 1000
# Half of the time that Cloud Tasks waits for a response by default (10 minutes), so that the lease
# fits in.
_LONGEST_STEP = 300
_LONGEST_LEASE = 3600
_MOST_RETRIES = 1000

# The hooks, with what they are called with.
HOOKS: Mapping[str, tuple[str, ...]] = {
    "load": ("entity",),
    "handle_entry": ("entry", "custom_data"),
    "handle_batch": ("entries", "custom_data"),
    "dry_run_entry": ("entry", "custom_data"),
    "handle_error": ("entry", "custom_data", "exception"),
    "handle_finish": ("total_count", "custom_data"),
    "on_start": ("custom_data",),
    "on_pause": ("custom_data",),
    "on_cancel": ("custom_data",),
    "merge": ("first", "second"),
}
_ATTRIBUTES = (
    "batch_size",
    "step_seconds",
    "lease_seconds",
    "max_entry_retries",
    "max_failures",
    "entities_per_second",
    "queue_name",
)
# What one might take for the name of a hook or attribute that there is.
_MEANT = {
    "handle": "handle_entry",
    "handle_exception": "handle_error",
    "handle_failure": "handle_error",
    "lease": "lease_seconds",
    "max_errors": "max_failures",
    "max_retries": "max_entry_retries",
    "on_complete": "handle_finish",
    "on_done": "handle_finish",
    "on_end": "handle_finish",
    "on_entry": "handle_entry",
    "on_error": "handle_error",
    "on_failure": "handle_error",
    "on_finish": "handle_finish",
    "process": "handle_entry",
    "queue": "queue_name",
}
_LIKE_HOOKS = ("on_", "handle_")
# What a subclass cannot have as its own.
_RESERVED = ("bind", "can_be_dry", "check", "over", "overrides", "would_do")


def check_class(cls: type[Any], hooks: Mapping[str, tuple[str, ...]] = HOOKS) -> None:
    """Refuse a `QueryIter` class that cannot be carried out.

    Args:
        cls: The class. Numbers and texts in its attributes become plain ones.
        hooks: The hooks that it may have, with what they are called with.

    Raises:
        DeclarationError: The message says what is wrong and what to write.
    """
    for each in _users_classes(cls):
        for name, value in vars(each).items():
            _check_name(each, name, value, hooks)
    for hook, arguments in hooks.items():
        if cls.overrides(hook):
            _check_hook(cls, hook, arguments)
    if not cls.overrides("handle_entry") and not cls.overrides("handle_batch"):
        raise DeclarationError(
            f"{cls.__name__} needs handle_entry(self, entry, custom_data), or handle_batch."
        )
    if cls.overrides("handle_entry") and cls.overrides("handle_batch"):
        raise DeclarationError(
            f"{cls.__name__} has handle_entry and handle_batch; leave one of them out."
        )
    misfit = misfitting(cls)
    if misfit:
        raise DeclarationError(
            f"{cls.__name__}() cannot be made: {misfit}. One is made for each step; give what it"
            " needs as custom_data."
        )
    _check_attributes(cls)


def _users_classes(cls: type[Any]) -> Iterator[type[Any]]:
    """Yield the class and its bases that are iterations, but for those of adjourn."""
    for each in cls.__mro__:
        if hasattr(each, "registered_name") and not _is_own(each):
            yield each


def _is_own(cls: type[Any]) -> bool:
    return cls.__module__.startswith("adjourn.")


def check_reserved(cls: type[Any]) -> None:
    """Refuse a class that has what registers and runs it under a meaning of its own.

    Raises:
        DeclarationError: It does.
    """
    for name in _RESERVED:
        if name in vars(cls) and not _is_own(cls):
            raise DeclarationError(f"{cls.__name__}.{name} would hide adjourn's own; rename it.")


def _check_name(
    cls: type[Any], name: str, value: object, hooks: Mapping[str, tuple[str, ...]]
) -> None:
    """Refuse what was probably meant to be a hook or attribute, and would have no effect."""
    base = next(each for each in cls.__mro__ if _is_own(each))
    if name.startswith("_") or hasattr(base, name):
        return
    is_function = isinstance(value, FunctionType | classmethod | staticmethod | FunctionLike)
    known, what = ([*hooks], "hook") if is_function else ([*_ATTRIBUTES], "attribute")
    meant = _MEANT.get(name) or nearest(name, known)
    if meant in known:
        raise DeclarationError(misspelled(f"{cls.__name__}.{name}", what, meant))
    if name == "shards" and not is_function:
        raise DeclarationError(f"Give shards to {cls.__name__}.start(query, shards={value!r}).")
    if is_function and name.startswith(_LIKE_HOOKS):
        raise DeclarationError(
            f"{cls.__name__}.{name} would never be called: there is no such hook. There are"
            f" {', '.join(known)}. {TO_RENAME}"
        )


def _check_hook(cls: type[Any], hook: str, arguments: tuple[str, ...]) -> None:
    write = f"write def {hook}(self, {', '.join(arguments)})"
    value = getattr_static(cls, hook)
    if isinstance(value, FunctionLike):
        raise DeclarationError(
            f"{cls.__name__}.{hook} is a task, which would only be enqueued; {write}, without a"
            " decorator, and call the task in it."
        )
    function = getattr(cls, hook)
    if is_generator(function):
        raise DeclarationError(
            f"{cls.__name__}.{hook} is a generator, of which nothing would run; {write}, without"
            " yield."
        )
    if not callable(function):
        raise DeclarationError(f"{cls.__name__}.{hook} is no function; {write}.")
    misfit = misfitting(getattr(object.__new__(cls), hook), *arguments)
    if misfit:
        raise DeclarationError(f"{cls.__name__}.{hook}: {misfit}; {write}.")


def _check_attributes(cls: type[Any]) -> None:
    for name in _ATTRIBUTES:
        value = getattr(cls, name)
        plain = plain_number(plain_text(value))
        if plain is not value:
            setattr(cls, name, plain)
    _check_number(cls, "batch_size", 1, _LARGEST_BATCH)
    _check_number(cls, "max_entry_retries", 0, _MOST_RETRIES)
    _check_seconds(cls, "step_seconds", _LONGEST_STEP)
    _check_seconds(cls, "lease_seconds", _LONGEST_LEASE)
    _check_failures(cls)
    check_pace(cls.entities_per_second, f"{cls.__name__}.")
    if cls.queue_name is not None and not is_queue(cls.queue_name):
        _refuse(cls, "queue_name", "1 to 100 letters, digits or hyphens, or None")


def _check_failures(cls: type[Any]) -> None:
    most = cls.max_failures
    is_number = type(most) is int and most >= 0
    is_share = isinstance(most, float) and 0 <= most < 1
    if most is not None and not is_number and not is_share:
        share = "a share of all entities as a float from 0.0 and below 1.0"
        _refuse(cls, "max_failures", f"a whole number from 0, {share}, or None")


def _check_number(cls: type[Any], name: str, least: int, most: int) -> None:
    value = getattr(cls, name)
    if type(value) is not int or not least <= value <= most:
        _refuse(cls, name, f"a whole number from {least} to {most}")


def _check_seconds(cls: type[Any], name: str, most: int) -> None:
    value = getattr(cls, name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and 0 < value <= most):
        _refuse(cls, name, f"a number of seconds, more than 0 and at most {most}, or None")


def _refuse(cls: type[Any], name: str, wanted: str) -> NoReturn:
    value = getattr(cls, name)
    raise DeclarationError(f"{cls.__name__}.{name}={value!r:.80} must be {wanted}.")

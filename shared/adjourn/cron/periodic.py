"""The declarations of periodic functions, and of periodic methods of registered objects."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, Protocol, TypeVar

from adjourn.errors import DeclarationError, UnknownNameError
from adjourn.names import plain_text
from adjourn.registry import Registry
from adjourn.tasks.methods import BoundTask, Method
from adjourn.tasks.objects import ObjectRegistry
from adjourn.tasks.task import Task

if TYPE_CHECKING:
    from adjourn.cron.schedule import Schedule, Times

P = ParamSpec("P")
R = TypeVar("R")

_CRON_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_ZERO = dt.timedelta()


class Periodically(Protocol):
    """A decorator that makes a function or method periodic, all of whose parameters have defaults.

    No type can say the latter; the decorator refuses others.
    """

    def __call__(self, function: Callable[P, R], /) -> Task[P, R]:
        """Declare the function."""


class Timing(NamedTuple):
    """When a periodic function is due, and when a due run is skipped.

    Attributes:
        when: The shortest time between two slots, zero for every call; or the times of a schedule.
        text: The same as text.
        cron_name: Name of the Cloud Scheduler job that makes it run.
        skips_overlap: Whether it must not run before the last run has ended.
        grace: A slot that is found later than this is skipped; None for no limit.
    """

    when: dt.timedelta | Times
    text: str = ""
    cron_name: str = "default"
    skips_overlap: bool = True
    grace: dt.timedelta | None = None


# An object and the path at which it is registered.
Place = tuple[str, object]


class PeriodicDeclaration(NamedTuple):
    """A declared periodic function or method.

    Attributes:
        task: The function or method.
        timing: When it is due.
        without: Paths of the objects on which the method does not run.
        name: Name under which it is declared and stored; that of the task if empty.
        choose: Picks the objects, with their paths, on which the method runs; all if None.
    """

    task: Task[..., Any]
    timing: Timing
    without: frozenset[str] = frozenset()
    name: str = ""
    choose: Callable[[Sequence[Place]], Sequence[Place]] | None = None


class Periodic(NamedTuple):
    """A periodic function, or a periodic method of one object."""

    name: str
    task: Task[[], Any]
    timing: Timing


def expanded(
    declared: Iterable[PeriodicDeclaration], objects: ObjectRegistry
) -> Iterator[Periodic]:
    """Yield each declared function, and each declared method once for every object that has it."""
    for each in declared:
        task, timing, name = each.task, each.timing, each.name or each.task.name
        if not isinstance(task, Method):
            yield Periodic(name=name, task=task, timing=timing)
        elif task.is_on_class:
            owner = objects.owner(task.name)
            yield Periodic(name=name, task=task.on(owner), timing=timing)
        else:
            places = [place for place in objects.having(task) if place[0] not in each.without]
            for path, item in each.choose(places) if each.choose else places:
                yield Periodic(name=f"{name} on {path}", task=task.on(item), timing=timing)


def remove(
    declared: Registry[PeriodicDeclaration],
    objects: ObjectRegistry,
    task: object,
    name: str | None = None,
) -> None:
    """Stop a function, or a method of one object, from being periodic.

    Args:
        declared: What is periodic.
        objects: The registered objects.
        task: The function or method.
        name: What it is declared under; its own name if None.

    Raises:
        DeclarationError: It is not periodic.
    """
    name = name or (task.name if isinstance(task, Task) else repr(task))
    try:
        removed = declared.remove(name)
    except UnknownNameError as error:
        raise DeclarationError(f"{error}; give what @app.periodic has made.") from None
    if isinstance(task, BoundTask) and not task.method.is_on_class:
        path = objects.path(task.receiver)
        without = removed.without | ({path} if path else set())
        declared.add(name, removed._replace(without=without))
        if not path:
            raise DeclarationError(
                f"{name} runs on registered objects; this one is not registered."
            )


# The decorator's own arguments, beside the options of tasks.
ARGUMENTS = ("cron", "cron_name", "grace", "interval", "name", "overlap", "time_zone")


def check_named(when: object) -> None:
    """Refuse what was given without a name: the function itself, an interval or a schedule.

    Raises:
        DeclarationError: Something was; the message says what to write.
    """
    if isinstance(when, str):
        raise DeclarationError(f"Name the schedule: write @app.periodic(cron={when!r}).")
    if isinstance(when, dt.timedelta):
        raise DeclarationError(f"Name the interval: write @app.periodic(interval={when!r}).")
    if when is not None:
        raise DeclarationError("Say how often: @app.periodic(interval=...) or (cron=...).")


def check_options(options: Mapping[str, object]) -> None:
    """Refuse task options that contradict the names of the tasks of slots.

    Raises:
        DeclarationError: An option does.
    """
    for name in ("unique_by", "debounce", "throttle"):
        if options.get(name) is not None:
            raise DeclarationError(f"Leave {name} out: each due time has only one task anyway.")


def declared_timing(
    *,
    interval: object,
    cron: object,
    cron_name: object,
    time_zone: object,
    overlap: object,
    grace: object,
) -> Timing:
    """Validate the timing of a periodic function and return it.

    Raises:
        DeclarationError: An argument is wrong or contradicts another one.
    """
    cron, time_zone = plain_text(cron), plain_text(time_zone)
    cron_name = checked_cron_name(cron_name)
    if overlap not in ("skip", "allow"):
        raise DeclarationError(f'overlap={overlap!r} must be "skip" or "allow".')
    if grace is not None and not (isinstance(grace, dt.timedelta) and grace > _ZERO):
        raise DeclarationError(f"grace={grace!r} must be a timedelta greater than zero.")
    if (interval is None) == (cron is None):
        raise DeclarationError("Give either interval= or cron=: when is it due?")
    when, text = _when(interval, time_zone) if cron is None else _parsed(cron, time_zone)
    return Timing(
        when=when, text=text, cron_name=cron_name, skips_overlap=overlap == "skip", grace=grace
    )


def checked_cron_name(cron_name: object) -> str:
    """Return a cron name as a plain text.

    Raises:
        DeclarationError: It is none.
    """
    name = plain_text(cron_name)
    if not isinstance(name, str) or not _CRON_NAME.fullmatch(name):
        raise DeclarationError(f"cron_name={name!r} must be 1 to 100 letters, digits, - and _.")
    return name


def _when(interval: object, time_zone: object) -> tuple[dt.timedelta, str]:
    if not isinstance(interval, dt.timedelta) or interval < _ZERO:
        is_number = isinstance(interval, int | float)
        hint = f"; write datetime.timedelta(seconds={interval!r})" if is_number else ""
        raise DeclarationError(f"interval={interval!r} must be a timedelta, not negative{hint}.")
    if time_zone != "UTC":
        raise DeclarationError("An interval has no time zone; leave time_zone out, or give cron=.")
    return interval, f"every {interval}" if interval else "every call"


def _parsed(cron: object, time_zone: object) -> tuple[dt.timedelta | Schedule, str]:
    from adjourn.cron.expressions import parse, parse_interval  # noqa: PLC0415 - only if used

    if not isinstance(cron, str) or not isinstance(time_zone, str):
        raise DeclarationError('cron and time_zone are texts such as "0 3 * * *", "Europe/Berlin".')
    try:
        interval = parse_interval(cron)
        if interval is not None:
            return _when(interval, time_zone)
        schedule = parse(cron, time_zone)
    except ValueError as error:
        raise DeclarationError(f"cron={cron!r}: {error}.") from None
    return schedule, f"{' '.join(cron.split())} ({schedule.zone.key})"

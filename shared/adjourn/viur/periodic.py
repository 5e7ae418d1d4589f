"""Periodic functions and methods, as ViUR's decorator declares them."""

from __future__ import annotations

import datetime as dt
import math
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from adjourn.cron.periodic import PeriodicDeclaration, Place, declared_timing, remove
from adjourn.errors import DeclarationError
from adjourn.registry import Registry
from adjourn.tasks.methods import BoundTask
from adjourn.tasks.task import Task
from adjourn.viur import installed
from adjourn.viur.modules import ViurObjects, find_bound

UNIT = "ADJOURN_VIUR_INTERVALS"

_UNITS = (installed.MINUTES, installed.SECONDS)


def interval_of(interval: object) -> object:
    """Return an interval as a timedelta where ViUR takes it, and anything else as it is.

    A number is of the unit that ViUR has where it is installed, else of the one that
    `ADJOURN_VIUR_INTERVALS` says. A text is a number of seconds.

    Raises:
        DeclarationError: It is a number, and nobody knows of what; or it is no number.
    """
    if isinstance(interval, str):
        return _timedelta(interval, 1)
    if isinstance(interval, bool) or not isinstance(interval, int | float):
        return interval
    if not interval:
        return dt.timedelta()
    unit = installed.unit_of_numbers() or os.environ.get(UNIT)
    if unit not in _UNITS:
        raise DeclarationError(
            f"PeriodicTask({interval!r}): is that minutes, as in ViUR up to 3.7, or seconds, as"
            f" since 3.8? Write datetime.timedelta(minutes={interval!r}) or"
            f" datetime.timedelta(seconds={interval!r}); or say what all numbers mean with"
            f" {UNIT}=minutes or {UNIT}=seconds."
        )
    return _timedelta(interval, 60 if unit == installed.MINUTES else 1)


def _timedelta(number: object, seconds: int) -> dt.timedelta:
    try:
        value = float(number)  # type: ignore[arg-type]  # what is none is a ValueError
        if not math.isfinite(value):
            raise ValueError("it is not finite")  # noqa: TRY301 - reported as any other mistake
        return dt.timedelta(seconds=value * seconds)
    except (ValueError, OverflowError) as error:
        raise DeclarationError(f"interval={number!r} is no length of time: {error}.") from None


def add(
    declared: Registry[PeriodicDeclaration],
    objects: ViurObjects,
    task: Task[..., Any],
    interval: object,
    cron_name: str,
) -> None:
    """Declare a task to run again and again, under each of several cron names if need be.

    Under one cron name the last declaration counts, as in ViUR. A method runs on one object.

    Raises:
        DeclarationError: The interval or the cron name is wrong.
    """
    timing = declared_timing(
        interval=interval_of(interval),
        cron=None,
        cron_name=cron_name,
        time_zone="UTC",
        overlap="skip",
        grace=None,
    )
    known = {each.timing.cron_name: each for each in declared if each.task is task}
    name = f"{task.name} in {cron_name}" if known else task.name
    if cron_name in known:
        name = known[cron_name].name
        declared.remove(name)
    choose = partial(_one, objects, task)
    declared.add(name, PeriodicDeclaration(task=task, timing=timing, name=name, choose=choose))


def remove_all(declared: Registry[PeriodicDeclaration], objects: ViurObjects, task: object) -> None:
    """Let a function or a method be periodic no more, under whatever cron names.

    Raises:
        DeclarationError: It is not periodic.
    """
    of = task.method if isinstance(task, BoundTask) else task
    names = [each.name for each in declared if each.task is of]
    for name in names or [""]:
        remove(declared, objects, task, name)


def replace_task(
    declared: Registry[PeriodicDeclaration],
    objects: ViurObjects,
    old: Task[..., Any],
    new: Task[..., Any],
) -> None:
    """Let another task run where one was declared."""
    for each in [each for each in declared if each.task is old]:
        declared.remove(each.name)
        declared.add(each.name, each._replace(task=new, choose=partial(_one, objects, new)))


def _one(objects: ViurObjects, method: Task[..., Any], places: Sequence[Place]) -> Sequence[Place]:
    """Return the one of the objects that have a method on which ViUR would run it."""
    bound = None if objects.main_app is None else find_bound(method, objects.main_app)
    return [place for place in places if place[1] is bound] or places[:1]

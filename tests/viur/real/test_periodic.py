"""Periodic functions: how long a number is, on whom a method runs, and in which order."""

import datetime as dt
from types import SimpleNamespace

import pytest
import viur.core.tasks as theirs
from viur.core.config import conf
from viur.core.decorators import exposed

from adjourn.viur import TaskHandler, ViurApp
from adjourn.viur.periodic import interval_of
from tests.viur.real import world

OLDER = world.is_older()


@pytest.mark.parametrize(
    "interval", [0, 0.0, 30, 0.5, "90", "0.5", dt.timedelta(hours=2)], ids=repr
)
@pytest.mark.parametrize("flag", [None, True, False])
def test_an_interval_is_as_long_as_this_viur_has_it(monkeypatch, interval, flag):
    name = "tasks.periodic.useminutes"
    if flag is not None:
        rest = [each for each in conf.compatibility if each != name]
        monkeypatch.setattr(conf, "compatibility", [*rest, *([name] if flag else [])])
    monkeypatch.setattr(theirs, "_periodicTasks", {})

    def function():
        pass

    theirs.PeriodicTask(interval, "cron")(function)

    assert interval_of(interval) == theirs._periodicTasks["cron"][function]


def test_a_number_is_minutes_up_to_3_7_and_seconds_since():
    assert interval_of(2) == (dt.timedelta(minutes=2) if OLDER else dt.timedelta(seconds=2))


def tree(cls, shape):
    """Return objects of a class in the places that a shape names, such as `{"b": {"a": None}}`."""
    root = SimpleNamespace()
    for name, below in shape.items():
        item = tree(cls, below) if isinstance(below, dict) else cls()
        setattr(root, name, item)
    return root


SHAPES = [
    {"b": None, "a": None},
    {"vi": {"order": None}, "order": None},
    {"json": {"order": None}, "order": {"deep": {"a": None}}, "x": None},
    {"a": {"b": {"c": {"d": None}}}},
    {"a": {"b": {"c": None}}},
    {"_hidden": None},
]


def path_of(root, item, depth=0):
    for name, each in vars(root).items():
        if each is item:
            return name
        below = path_of(each, item, depth + 1) if isinstance(each, SimpleNamespace) else None
        if below:
            return f"{name}/{below}"
    return None


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_method_is_found_where_viur_finds_it(shape):
    own = ViurApp()

    class Ours:
        def cleanup(self):
            pass

        cleanup.__module__, cleanup.__qualname__ = "shop", "Ours.cleanup"
        cleanup = own.periodic_task(cleanup, 0, "cron")

    class Theirs:
        @theirs.PeriodicTask(dt.timedelta(hours=1), "tests")
        def cleanup(self):
            pass

    their_root, our_root = tree(Theirs, shape), tree(Ours, shape)
    there = theirs.TaskHandler("_tasks", "_tasks").findBoundTask(Theirs.cleanup, their_root)
    here = TaskHandler().findBoundTask(Ours.cleanup, our_root)

    if there is None:
        assert here is None
    else:
        assert path_of(our_root, here[1]) == path_of(their_root, there[1])
        own.add_main_app(our_root)
        found = periodics(own)
        assert len(found) == 1
        assert found[0].task.receiver is here[1]


def periodics(own):
    from adjourn.cron.periodic import expanded

    return list(expanded(own._declared.periodics, own._declared.objects))


def test_a_function_can_be_periodic_under_several_cron_names_and_removed_from_all():
    own = ViurApp()

    def sweep():
        pass

    sweep.__module__, sweep.__qualname__ = "shop", "sweep"
    task = own.periodic_task(sweep, dt.timedelta(hours=1), "hourly")
    task = own.periodic_task(task, dt.timedelta(days=1), "nightly")
    task = own.periodic_task(task, dt.timedelta(days=2), "nightly")

    told = {(each.name, each.timing.cron_name, each.timing.when) for each in periodics(own)}
    assert told == {
        ("shop.sweep", "hourly", dt.timedelta(hours=1)),
        ("shop.sweep in nightly", "nightly", dt.timedelta(days=2)),
    }
    own.remove_periodic(task)
    assert periodics(own) == []


@pytest.mark.parametrize("is_above", [True, False])
def test_a_static_method_is_periodic_in_either_order(is_above):
    own, ran = ViurApp(), []

    def sweep():
        ran.append("swept")

    sweep.__module__, sweep.__qualname__ = "shop", "Order.sweep"
    if is_above:
        attribute = staticmethod(own.periodic_task(sweep, 0, "cron"))
    else:
        attribute = own.periodic_task(staticmethod(sweep), 0, "cron")
    order = type("Order", (), {"sweep": attribute})

    (periodic,) = periodics(own)
    periodic.task.call_local()
    order.sweep()
    order().sweep()
    assert ran == ["swept"] * 3


def test_a_periodic_method_below_exposed_is_found():
    own = ViurApp()

    def sweep(self):
        pass

    sweep.__module__, sweep.__qualname__ = "shop", "Order.sweep"
    order = type("Order", (), {"sweep": exposed(own.periodic_task(sweep, 0, "cron"))})
    own.add_main_app(SimpleNamespace(order=order()))

    assert [each.name for each in periodics(own)] == ["shop.Order.sweep on order"]

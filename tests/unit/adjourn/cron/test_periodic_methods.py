"""Periodic methods: once for each registered object, found without looking at properties."""

import datetime as dt

import pytest

from adjourn.errors import DeclarationError
from adjourn.execution.delivery import Outcome

MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)


class Module:
    """Has a property that must never be looked at."""

    def __init__(self, log):
        self.log = log

    @property
    def trap(self):
        raise AssertionError("a property was evaluated")


@pytest.fixture
def orders(app):
    return method_of(app, "Orders")


def method_of(app, name, base=Module, **options):
    """Return a class with a periodic method, as it would be at the top of a module."""
    scope = {"app": app, "base": base, "options": {"interval": HOUR, **options}, "__name__": "shop"}
    exec(
        f"class {name}(base):\n"
        "    @app.periodic(**options)\n"
        "    def sweep(self):\n"
        "        self.log.append(self)\n",
        scope,
    )
    return scope[name]


def test_a_method_runs_once_for_each_registered_object(app, box, ran, orders):
    first, second, third = orders(ran), orders(ran), orders(ran)
    app.add_object("shop.first", first)
    app.add_object("shop.second", second)

    box.tick()

    assert len(box.queue.tasks) == 2
    box.drain()
    assert ran in ([first, second], [second, first])
    assert third not in ran
    names = {key.name for key in box.store.records}
    assert names == {"shop.Orders.sweep on shop.first", "shop.Orders.sweep on shop.second"}


def test_the_objects_of_a_method_have_slots_of_their_own(app, box, ran, orders):
    first, second = orders(ran), orders(ran)
    app.add_object("shop.first", first)
    box.tick()
    box.drain()
    app.add_object("shop.second", second)
    box.clock.advance(MINUTE)

    box.tick()

    box.drain()
    assert ran == [first, second]


@pytest.mark.usefixtures("orders")
def test_without_registered_objects_a_method_runs_nowhere(box):
    assert box.tick() is Outcome.DONE
    assert not box.queue.tasks
    assert box.tick("other") is Outcome.UNKNOWN


def test_a_method_that_was_inherited_runs_on_the_object_and_an_override_replaces_it(
    app, box, ran, orders
):
    class Inherits(orders):
        pass

    class Overrides(orders):
        def sweep(self):
            raise AssertionError("no periodic method")

    heir = Inherits(ran)
    app.add_object("heir", heir)
    app.add_object("other", Overrides(ran))

    box.tick()
    box.drain()

    assert ran == [heir]


def test_an_override_that_is_periodic_runs_with_its_own_interval(box, ran, orders):
    app = box.app
    returns = method_of(app, "Returns", orders, interval=2 * HOUR)(ran)
    app.add_object("returns", returns)

    (periodic,) = app.wiring().cron.periodics()

    assert (periodic.name, periodic.timing.when) == ("shop.Returns.sweep on returns", 2 * HOUR)


def test_class_methods_and_static_methods_run_once(app, box, ran):
    scope = {"app": app, "hour": HOUR, "ran": ran, "__name__": __name__}
    exec(
        "class Shop:\n"
        "    @app.periodic(interval=hour)\n"
        "    @classmethod\n"
        "    def tidy(cls): ran.append(cls.__name__)\n"
        "    @app.periodic(interval=hour)\n"
        "    @staticmethod\n"
        "    def clean(): ran.append('static')\n",
        scope,
    )
    app.add_object("shop", scope["Shop"]())

    box.tick()
    box.drain()

    assert sorted(ran) == ["Shop", "static"]


def test_a_method_takes_nothing_but_its_object(app):
    scope = {"app": app, "hour": HOUR, "__name__": __name__}

    with pytest.raises(
        DeclarationError, match="sweep is periodic, so it is called without arguments"
    ):
        exec(
            "class Shop:\n    @app.periodic(interval=hour)\n    def sweep(self, day): pass\n", scope
        )


# Removing


def test_an_inherited_one_is_removed_and_can_still_be_called(app, box, ran, orders):
    first = orders(ran)
    app.add_object("first", first)

    app.remove_periodic(orders.sweep)

    assert box.tick() is Outcome.UNKNOWN
    first.sweep()
    box.drain()
    assert ran == [first]


def test_one_object_is_taken_out(app, box, ran, orders):
    first, second = orders(ran), orders(ran)
    app.add_object("first", first)
    app.add_object("second", second)

    app.remove_periodic(first.sweep)

    box.tick()
    box.drain()
    assert ran == [second]


def test_what_is_not_periodic_cannot_be_removed(app, ran, orders):
    task = app.deferred(name="sweeper")(lambda: None)

    for each in (task, task.function, orders(ran).sweep):
        with pytest.raises(DeclarationError):
            app.remove_periodic(each)

    assert app.cron_names() == {"default"}

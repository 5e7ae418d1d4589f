"""What an application may declare, and how the functions find it."""

import datetime as dt
import functools
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from enum import Enum

import pytest

from adjourn import App, ConfigurationError, DeclarationError, EnqueueError, QueryIter
from adjourn import app as app_module
from adjourn.application.loading import load_app
from adjourn.testing import SETTINGS, sandbox
from tests.unit import fresh_shop, shop

HOUR = dt.timedelta(hours=1)


class Color(Enum):
    RED = 1


def plain():
    pass


def generator():
    yield


async def async_generator():
    yield


class Walk(QueryIter):
    def handle_entry(self, entry, custom_data):
        pass


def iteration(**members):
    return type("Made", (QueryIter,), {"__module__": __name__, **members})


def handle_entry(self, entry, custom_data):
    pass


async def handle_entry_async(self, entry, custom_data):
    pass


def handle_entry_lazily(self, entry, custom_data):  # noqa: ARG001
    yield


# Deferred


def test_a_task_is_named_after_its_function_unless_it_is_given_a_name(app):
    assert app.deferred(plain).name == f"{__name__}.plain"
    assert app.deferred(name="other")(plain).name == "other"


@pytest.mark.parametrize(
    "function",
    [generator, async_generator, Walk, functools.partial(plain), print, "plain"],
)
def test_only_plain_functions_can_be_deferred(app, function):
    with pytest.raises(
        DeclarationError,
        match=r"is a generator|is a class|is not a function|by their names",
    ):
        app.deferred(name="x")(function)


def test_a_name_is_declared_once(app):
    app.deferred(plain)

    with pytest.raises(DeclarationError, match="already a task named"):
        app.deferred(plain)


def test_a_function_within_a_function_needs_a_name(app):
    def inner():
        pass

    with pytest.raises(DeclarationError, match="or give it name="):
        app.deferred(inner)

    assert app.deferred(name="inner")(inner).name == "inner"


def test_wrong_options_are_refused_where_they_are_declared(app):
    with pytest.raises(DeclarationError, match="did you mean 'queue'"):
        app.deferred(qeue="mail")


# Periodic


@pytest.mark.parametrize("interval", [dt.timedelta(-1), 5])
def test_an_interval_is_a_timedelta_from_zero(app, interval):
    with pytest.raises(DeclarationError, match="must be a timedelta, not negative"):
        app.periodic(interval=interval)


@pytest.mark.parametrize("cron_name", ["", "a/b", "a b", "x" * 101, 5])
def test_a_cron_name_fits_into_a_path(app, cron_name):
    with pytest.raises(DeclarationError, match="must be 1 to 100 letters, digits, - and _"):
        app.periodic(interval=HOUR, cron_name=cron_name)


def test_a_periodic_function_takes_no_arguments(app):
    def report(day):
        pass

    with pytest.raises(
        DeclarationError, match="report is periodic, so it is called without arguments"
    ):
        app.periodic(interval=HOUR, name="report")(report)

    assert app.deferred(name="report")(plain).name == "report"


@pytest.mark.parametrize("function", [generator, 5])
def test_only_plain_functions_can_be_periodic(app, function):
    with pytest.raises(DeclarationError, match=r"is a generator|is not a function"):
        app.periodic(interval=HOUR, name="x")(function)


def test_a_periodic_function_can_be_called_as_any_task(app):
    task = app.periodic(interval=HOUR)(plain)

    with sandbox(app) as box:
        task()

        assert len(box.queue.tasks) == 1


def test_the_cron_names_are_told(app):
    app.periodic(interval=HOUR)(plain)
    app.periodic(interval=HOUR, cron_name="nightly", name="other")(plain)

    assert app.cron_names() == {"default", "nightly"}


# Iterations


def test_an_iteration_is_registered(app):
    assert app.query_iter(Walk) is Walk


@pytest.mark.parametrize("cls", [plain, int, "Walk"])
def test_only_subclasses_of_query_iter_iterate(app, cls):
    with pytest.raises(DeclarationError, match=r"is not a subclass of adjourn\.QueryIter"):
        app.query_iter(cls)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, r"Made needs handle_entry\(self, entry, custom_data\)"),
        (
            {"handle_entry": handle_entry_lazily},
            r"Made\.handle_entry is a generator",
        ),
        (
            {"handle_entry": handle_entry_async, "handle_finish": handle_entry_lazily},
            r"Made\.handle_finish is a generator",
        ),
        ({"batch_size": 0}, r"Made\.batch_size=.* must be a whole number from 1 to 1000"),
        ({"batch_size": 1001}, r"Made\.batch_size=.* must be"),
        ({"batch_size": 1.5}, r"Made\.batch_size=.* must be"),
        ({"batch_size": True}, r"Made\.batch_size=.* must be"),
        (
            {"step_seconds": 0},
            r"Made\.step_seconds=0 must be a number of seconds",
        ),
        ({"step_seconds": 301}, r"Made\.step_seconds=.* must be"),
        ({"step_seconds": float("nan")}, r"Made\.step_seconds=.* must be"),
        ({"step_seconds": "20"}, r"Made\.step_seconds=.* must be"),
        ({"queue_name": "my_queue"}, "Made.queue_name='my_queue' must be 1 to 100"),
    ],
)
def test_a_wrong_iteration_is_refused_with_the_fix(app, members, message):
    cls = iteration(**({"handle_entry": handle_entry} | members if members else {}))

    with pytest.raises(DeclarationError, match=message):
        app.query_iter(cls)

    # What was refused has not taken the name.
    assert app.query_iter(iteration(handle_entry=handle_entry))


def test_an_iteration_within_a_function_is_refused(app):
    class Inner(Walk):
        pass

    with pytest.raises(DeclarationError, match="not at the top of a module"):
        app.query_iter(Inner)


def test_a_subclass_needs_a_registration_of_its_own(app):
    app.query_iter(Walk)
    sub = type("Sub", (Walk,), {})

    with pytest.raises(DeclarationError, match=r"Decorate Sub with @app\.query_iter"):
        sub.start(None)


def test_a_class_that_was_not_registered_cannot_be_started():
    with pytest.raises(DeclarationError, match=r"Decorate Made with @app\.query_iter"):
        iteration(handle_entry=handle_entry).start(None)


# The whole


def test_values_of_a_registered_class_can_be_carried(app):
    seen = []
    app.register(Color)

    @app.deferred(name="paint")
    def paint(color):
        seen.append(color)

    with sandbox(app) as box:
        paint(Color.RED)
        box.drain()

    assert seen == [Color.RED]


def test_the_queues_that_are_needed_are_told():
    assert shop.app.queues("default") == {"default", "mail", "slow"}


def test_making_an_application_does_nothing_and_the_settings_are_read_on_first_use(monkeypatch):
    app = App()

    with pytest.raises(ConfigurationError, match="ADJOURN_PROJECT is not set"):
        app.wiring()

    monkeypatch.setattr(app, "_settings", SETTINGS)
    assert app.wiring().settings is SETTINGS


def test_the_working_parts_are_made_once_also_for_threads_that_come_at_once(monkeypatch):
    app, together, made = App(settings=SETTINGS), threading.Barrier(4), []
    adapters = app_module.google_adapters
    monkeypatch.setattr(
        app_module, "google_adapters", lambda *given: made.append(given) or adapters(*given)
    )

    def use(_):
        together.wait(10)
        return app.wiring()

    with ThreadPoolExecutor(4) as pool:
        wirings = {id(wiring) for wiring in pool.map(use, range(4))}

    assert len(wirings) == len(made) == 1


def test_the_outside_world_is_replaced_for_a_while(app):
    with sandbox(app), sandbox(app) as inner:
        assert app.wiring().enqueuer.adapters.queue is inner.queue

    assert app._wiring is None


# Finding it


def test_the_application_is_found_by_its_name():
    assert load_app({"ADJOURN_APP": "tests.unit.fresh_shop:app"}) is fresh_shop.app


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "ADJOURN_APP='' must be package.module:app"),
        ("shop", "must be package.module:app"),
        ("shop:", "must be package.module:app"),
        (":app", "must be package.module:app"),
        (".shop:app", "must be package.module:app"),
        (
            "tests.unit.nowhere:app",
            r"no module 'tests\.unit\.nowhere'; is its folder on",
        ),
        ("nowhere.shop:app", "there is no module 'nowhere'"),
        ("tests.unit.fresh_shop:application", r"has no adjourn\.App named 'application'"),
        ("tests.unit.fresh_shop:not_an_app", r"has no adjourn\.App named 'not_an_app'"),
    ],
)
def test_an_application_that_cannot_be_found_is_told_with_the_fix(spec, message):
    with pytest.raises(ConfigurationError, match=message):
        load_app({"ADJOURN_APP": spec})


def test_a_module_that_the_application_misses_is_told_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "needy_shop.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        load_app({"ADJOURN_APP": "needy_shop:app"})

    assert "needy_shop" not in sys.modules


def test_the_first_call_is_prepared_in_the_background(app, box):
    connected, may_go_on = threading.Event(), threading.Event()

    def connect():
        assert may_go_on.wait(10)
        connected.set()

    box.queue.connect = connect
    app.warm_up()

    assert not connected.is_set()
    may_go_on.set()
    assert connected.wait(10)


def test_what_cannot_be_prepared_is_told_and_ends_nothing(app, box, lines):
    def connect():
        raise EnqueueError("no credentials")

    box.queue.connect = connect
    app_module._connect(app.wiring())

    assert [line["event"] for line in lines()] == ["queue.unavailable"]

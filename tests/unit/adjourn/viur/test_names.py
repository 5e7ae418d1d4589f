"""ViUR's periodic functions, startup tasks, callable tasks, iterations and endpoints."""

import datetime as dt
import json
from types import SimpleNamespace

import flask
import pytest

import adjourn
import adjourn.viur
from adjourn import Status
from adjourn.execution.delivery import Outcome
from adjourn.testing import sandbox
from adjourn.testing.query_source import MemoryQuery
from adjourn.viur import (
    CallableTask,
    CallableTaskBase,
    CallDeferred,
    DeleteEntitiesIter,
    MetaQueryIter,
    PeriodicTask,
    QueryIter,
    StartupTask,
    TaskHandler,
    ViurApp,
    removePeriodicTask,
    runStartupTasks,
)
from tests import viur_shop as shop
from tests.viur_notes import note

MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
ANN = "ann@shop.example"
BOB = "bob@shop.example"


@pytest.fixture
def app():
    """Return an application of ViUR's sort that declares nothing yet."""
    return ViurApp()


def named(name):
    """Return a function of a stable name that notes that it ran."""

    def function():
        note(name)

    function.__module__, function.__qualname__ = "shop", name
    return function


def test_every_public_name_of_viurs_tasks_is_there():
    theirs = {
        "CUSTOM_OBJ",
        "CallDeferred",
        "CallableTask",
        "CallableTaskBase",
        "CustomEnvironmentHandler",
        "DeleteEntitiesIter",
        "JsonKeyEncoder",
        "MetaQueryIter",
        "PeriodicTask",
        "PermanentTaskFailure",
        "QueryIter",
        "StartupTask",
        "TaskHandler",
        "callDeferred",
        "jsonDecodeObjectHook",
        "noRetry",
        "removePeriodicTask",
        "retry_n_times",
        "runStartupTasks",
    }

    assert theirs | {"Mail", "ViurApp", "app"} == set(adjourn.viur.__all__)
    assert all(hasattr(adjourn.viur, name) for name in theirs)
    assert adjourn.viur.PermanentTaskFailure is adjourn.PermanentTaskFailure


# Periodic functions


def timing(app, name):
    return next(each.timing for each in app._declared.periodics if each.task.name == name)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (0, dt.timedelta()),
        (0.0, dt.timedelta()),
        (2 * HOUR, 2 * HOUR),
        ("90", 1.5 * MINUTE),
        ("0.5", MINUTE / 120),
    ],
)
def test_an_interval_is_a_timedelta_or_nothing_and_a_text_is_seconds(app, interval, expected):
    app.periodic_task(named("sweep"), interval, "default")

    assert timing(app, "shop.sweep").when == expected


@pytest.mark.parametrize(("unit", "length"), [("minutes", MINUTE), ("seconds", MINUTE / 60)])
def test_a_number_is_of_the_unit_that_the_environment_says(app, monkeypatch, unit, length):
    monkeypatch.setenv("ADJOURN_VIUR_INTERVALS", unit)

    app.periodic_task(named("sweep"), 30, "default")

    assert timing(app, "shop.sweep").when == 30 * length


@pytest.mark.parametrize("unit", [None, "", "hours"])
def test_a_number_is_refused_with_both_ways_to_write_it_if_nobody_says_of_what(
    app, monkeypatch, unit
):
    if unit is not None:
        monkeypatch.setenv("ADJOURN_VIUR_INTERVALS", unit)

    with pytest.raises(adjourn.DeclarationError) as caught:
        app.periodic_task(named("sweep"), 30, "default")
    for text in ("timedelta(minutes=30)", "timedelta(seconds=30)", "ADJOURN_VIUR_INTERVALS"):
        assert text in str(caught.value)


@pytest.mark.parametrize(
    "interval",
    [-1 * MINUTE, float("nan"), float("inf"), True, "-1", "often", "nan", None],
    ids=repr,
)
def test_any_other_interval_is_refused(app, interval):
    with pytest.raises(adjourn.DeclarationError):
        app.periodic_task(named("sweep"), interval, "default")


def test_without_arguments_a_function_runs_with_every_call_of_the_default_job(monkeypatch, app):
    monkeypatch.setattr(adjourn.viur, "app", app)

    PeriodicTask()(named("sweep"))

    assert timing(app, "shop.sweep").when == dt.timedelta()
    assert timing(app, "shop.sweep").cron_name == "default"


def test_a_decorator_that_is_used_again_keeps_its_interval(monkeypatch, app):
    monkeypatch.setattr(adjourn.viur, "app", app)
    decorator = PeriodicTask(30 * MINUTE, "nightly")

    decorator(named("one"))
    decorator(named("two"))

    assert {timing(app, f"shop.{name}").when for name in ("one", "two")} == {30 * MINUTE}


def test_a_periodic_function_that_is_called_runs_here_and_now(box, noted):
    assert shop.sweep() == "swept"
    shop.main_app.order.cleanup()
    assert (noted, box.queue.tasks) == (["sweep", ("cleanup", "order")], {})


def test_each_periodic_function_is_a_task_and_a_method_runs_where_viur_finds_it(box, noted):
    assert box.tick("nightly") is Outcome.DONE

    assert len(box.queue.due()) == 2
    box.drain()
    assert sorted(noted) == [("cleanup", "archive"), ("report", "today")]


def test_an_interval_is_a_lower_bound(box, noted):
    for _ in range(3):
        box.tick()
        box.drain()
        box.clock.advance(15 * MINUTE)

    assert noted == ["sweep"] * 2


def test_a_failure_does_not_keep_the_others_and_is_retried(app, noted):
    def broken():
        note("broken")
        raise RuntimeError

    broken.__module__, broken.__qualname__ = "shop", "broken"
    app.periodic_task(broken, 0, "default")
    app.periodic_task(named("fine"), 0, "default")

    with sandbox(app) as box:
        box.tick()
        outcomes = [box.deliver(each) for each in box.queue.due()]

    assert outcomes == [Outcome.FAILED, Outcome.DONE]
    assert sorted(noted) == ["broken", "fine"]


@pytest.mark.parametrize("is_deferred_last", [True, False])
def test_a_function_may_be_periodic_and_deferred_in_either_order(app, noted, is_deferred_last):
    function = named("both")
    if is_deferred_last:
        task = app.call_deferred(app.periodic_task(function, 0, "default"))
    else:
        task = app.periodic_task(app.call_deferred(function), 0, "default")

    with sandbox(app) as box:
        assert isinstance(task(), adjourn.TaskHandle)
        box.tick()
        assert box.drain() == [Outcome.DONE] * 2

    assert noted == ["both"] * 2


def test_a_method_may_be_periodic_below_the_deferring_decorator(app, noted):
    class Module:
        def tidy(self):
            note("tidy")

        tidy.__module__, tidy.__qualname__ = "shop", "Module.tidy"
        tidy = app.call_deferred(app.start_with(named("start")) and app.periodic_task(tidy, 0, "x"))

    module = Module()
    app.add_object("module", module)

    with sandbox(app) as box:
        module.tidy()
        box.tick("x")
        box.drain()

    assert noted == ["tidy"] * 2


def test_what_needs_arguments_cannot_be_periodic(app):
    def takes(what):
        pass

    takes.__module__, takes.__qualname__ = "shop", "takes"
    with pytest.raises(adjourn.DeclarationError, match="without arguments"):
        app.periodic_task(takes, 0, "default")


def test_a_periodic_function_can_be_removed_and_a_method_of_one_module(monkeypatch, app, noted):
    class Module:
        def tidy(self):
            note("tidy", self.name)

        tidy.__module__, tidy.__qualname__ = "shop", "Module.tidy"
        tidy = app.periodic_task(tidy, 0, "default")

        def __init__(self, name):
            self.name = name

    one, two = Module("one"), Module("two")
    for each in (one, two):
        app.add_object(each.name, each)
    sweep = app.periodic_task(named("sweep"), 0, "default")
    monkeypatch.setattr(adjourn.viur, "app", app)

    removePeriodicTask(sweep)
    removePeriodicTask(one.tidy)

    with sandbox(app) as box:
        box.tick()
        box.drain()
    assert noted == [("tidy", "two")]
    with pytest.raises(adjourn.DeclarationError):
        removePeriodicTask(sweep)


# Startup tasks


def test_each_startup_task_is_a_task_of_its_own_and_one_that_fails_keeps_no_other(
    monkeypatch, app, noted
):
    def broken():
        raise RuntimeError

    broken.__module__, broken.__qualname__ = "shop", "broken"
    monkeypatch.setattr(adjourn.viur, "app", app)
    StartupTask(broken)
    warm = StartupTask(named("warm"))

    with sandbox(app) as box:
        app.run_startup_tasks(wait=True)
        runStartupTasks()
        outcomes = {box.deliver(each) for each in box.queue.due()}

    assert outcomes == {Outcome.FAILED, Outcome.DONE}
    assert noted == ["warm"]
    warm()
    assert noted == ["warm"] * 2


def test_a_deferred_startup_task_stays_deferred(app):
    task = app.start_with(app.call_deferred(named("warm")))

    with sandbox(app) as box:
        assert task().is_new
        app.run_startup_tasks(wait=True)
        assert len(box.queue.due()) == 2


# Callable tasks


def test_people_see_what_they_may_call(box):
    def keys(who):
        return [each["key"] for each in box.ask(who).content["tasks"]]

    assert keys(ANN) == ["clear-cache"]
    assert keys(BOB) == []
    assert box.ask(ANN).content["tasks"][0]["name"] == "Clear the cache"


def test_a_task_without_parameters_is_queued_and_runs(box, noted):
    reply = box.ask(ANN, "clear-cache")

    assert (reply.status, noted) == (202, [])
    box.drain()
    assert noted == [("cleared", (), {})]


@pytest.mark.parametrize(
    ("who", "key", "status"), [(BOB, "clear-cache", 403), (ANN, "nothing", 404)]
)
def test_who_may_not_or_asks_for_nothing_is_told_so(box, noted, who, key, status):
    assert box.ask(who, key).status == status
    assert (noted, box.queue.tasks) == ([], {})


class Fill(CallableTaskBase):
    def canCall(self):
        return True

    def execute(self, article: str, amount: int = 1, **kwargs):
        note("filled", article, amount)


def test_parameters_are_the_annotated_ones_of_execute(monkeypatch, app, noted):
    monkeypatch.setattr(adjourn.viur, "app", app)
    assert CallableTask(Fill) is Fill

    with sandbox(app) as box:
        (told,) = box.ask(ANN).content["tasks"]
        refused = box.ask(ANN, "Fill", {"amount": "much"})
        box.ask(ANN, "Fill", {"article": "nail", "amount": 5})
        box.drain()

    assert told["key"] == "Fill"
    assert list(told["parameters"]["properties"]) == ["article", "amount"]
    assert (refused.status, set(refused.content["fields"])) == (422, {"article", "amount"})
    assert noted == [("filled", "nail", 5)]


def test_a_class_that_is_no_subclass_but_has_what_is_needed_will_do(monkeypatch, app, noted):
    class Own:
        key = "own"

        def canCall(self):
            return self.user.email == ANN

        def execute(self):
            note("own")

    monkeypatch.setattr(adjourn.viur, "app", app)
    CallableTask(Own)

    with sandbox(app) as box:
        assert box.ask(BOB, "own").status == 403
        box.ask(ANN, "own")
        box.drain()
    assert noted == ["own"]


def test_nobody_may_unless_a_class_says_so():
    assert CallableTaskBase().canCall() is False


def test_a_skeleton_a_missing_method_and_an_unknown_type_are_refused(app):
    class Skeleton(Fill):
        def dataSkel(self):
            return object()

    class Bare:
        pass

    class Untyped(Fill):
        def execute(self, active: object):
            pass

    for wrong, text in ((Skeleton, "install viur-core"), (Bare, "canCall"), (Untyped, "no form")):
        with pytest.raises(adjourn.DeclarationError, match=text):
            app.offer_callable(wrong)


def test_what_has_no_annotation_arrives_as_it_was_given(app):
    got = []

    class Free(Fill):
        key = "free"

        def execute(self, what, many=3, *, days: int = 30, **more):
            got.append((what, many, days))

    app.offer_callable(Free)
    offer = app._declared.callable_tasks.get("free")

    assert offer.describe()["parameters"] == {
        "type": "object",
        "properties": {
            "days": {"type": "integer", "default": 30},
            "what": {},
            "many": {"default": 3},
        },
        "required": ["what"],
        "additionalProperties": False,
    }
    offer.task.function({"what": ["7", {"a": None}], "many": "4", "days": 2})
    assert got == [(["7", {"a": None}], "4", 2)]


# Iterations


def walk(box, cls, numbers, custom_data=None):
    box.queries.add("Product", *({"n": number} for number in numbers))
    handle = cls.startIterOnQuery(MemoryQuery("Product"), custom_data)
    box.drain()
    return handle.fetch()


def test_an_iteration_calls_viurs_hooks_and_keeps_what_they_change(box, noted):
    state = walk(box, shop.Reprice, range(1, 12), {"sum": 0})

    assert (state.status, noted) == (Status.FINISHED, [("finish", 11, 66)])


def test_an_error_is_judged_by_handle_error(box, noted):
    state = walk(box, shop.Reprice, [1, -1, 2], {"sum": 0})

    assert state.status is Status.FINISHED
    assert noted[0] == ("error", -1)
    assert noted[1][2] == 3


def test_an_iteration_that_is_stopped_keeps_its_place(box, noted):
    state = walk(box, shop.Reprice, [1, -100, 2], {"sum": 0})

    assert state.status is Status.STOPPED
    assert noted == [("error", -100)]


def definition(**changes):
    of = {"kind": "A", "filters": {}, "orders": [], "distinct": None}
    return SimpleNamespace(**{**of, "startCursor": None, "endCursor": None, **changes})


def several(*filters):
    return [definition(filters=each) for each in filters]


@pytest.mark.parametrize(
    "query",
    [
        SimpleNamespace(queries=None),
        SimpleNamespace(queries=[]),
        SimpleNamespace(queries=definition(), _customMultiQueryMerge=print),
        SimpleNamespace(queries=definition(), _fulltextQueryString="ink"),
        SimpleNamespace(queries=several({"a =": 1}, {"b =": 1})),
        SimpleNamespace(queries=several({"a =": 1}, {"a >": 1})),
        SimpleNamespace(queries=several({"a <": 1}, {"a >": 2})),
        SimpleNamespace(queries=several({"a =": 1}, {"a =": 2, "b =": 3})),
        SimpleNamespace(queries=definition(startCursor="a")),
    ],
)
def test_a_query_that_viur_would_work_on_itself_is_refused(box, query):
    with pytest.raises(adjourn.DeclarationError):
        shop.Reprice.startIterOnQuery(query)


def test_steps_go_to_the_queue_of_the_class(box):
    box.queries.add("Product", {"n": 1})

    shop.Reprice.startIterOnQuery(MemoryQuery("Product"), {"sum": 0})
    DeleteEntitiesIter.startIterOnQuery(MemoryQuery("Product"))

    assert [each.task.queue for each in box.queue.due()] == ["slow", "default"]


def test_a_step_that_is_delivered_twice_forks_nothing(box, noted):
    box.queries.add("Product", *({"n": number} for number in range(9)))
    shop.Reprice.startIterOnQuery(MemoryQuery("Product"), {"sum": 0})
    (step,) = box.queue.due()

    assert box.deliver(step) is Outcome.DONE
    assert box.deliver(step) is Outcome.DONE
    box.drain()

    assert noted == [("finish", 9, 36)]


def test_a_subclass_is_registered_by_being_one_and_only_where_every_process_finds_it():
    assert isinstance(shop.Reprice, MetaQueryIter)
    with pytest.raises(adjourn.DeclarationError, match="top of a module"):

        class Local(QueryIter):
            pass


def test_hooks_that_a_class_does_not_have_do_nothing(box):
    assert QueryIter.handleEntry({}, None) is None
    assert QueryIter.handleFinish(1, None) is None
    assert QueryIter.handleError({}, None, ValueError()) is True


def test_all_entities_of_a_query_can_be_deleted(box):
    state = walk(box, DeleteEntitiesIter, range(1200))

    assert (state.status, state.done) == (Status.FINISHED, 1200)
    assert box.queries._kinds["Product"] == {}


def test_a_subclass_says_which_entities_are_deleted(box):
    state = walk(box, shop.DeleteSome, range(6))

    assert (state.status, state.done) == (Status.FINISHED, 6)
    assert (shop.DeleteSome.in_bulk, shop.EmptyShop.in_bulk) == (False, True)
    assert [each["n"] for each in box.queries._kinds["Product"].values()] == [0, 2, 4]


# Endpoints


def post(box, url, body=b"", path="/", **headers):
    token = box.verifier.token(box.app.wiring().settings.service_account, url)
    return flask.Flask(__name__).test_request_context(
        path, method="POST", data=body, headers={"Authorization": f"Bearer {token}", **headers}
    )


def ask(box, path, who, method="GET", body=None):
    token = box.verifier.token(who, "people.example")
    return flask.Flask(__name__).test_request_context(
        path, method=method, json=body, headers={"Authorization": f"Bearer {token}"}
    )


def test_the_endpoints_answer_what_the_functions_answer(box, noted):
    handler, settings = TaskHandler(), box.app.wiring().settings
    shop.sendReceipt("a")
    (call,) = box.queue.due()
    with post(box, settings.deferred_url, call.task.body, "/_tasks/deferred") as context:
        assert handler.deferred(context.request).status_code == 204
    with post(box, settings.cron_url, path="/_tasks/cron") as context:
        assert handler.cron(context.request).status_code == 204
    with post(box, settings.cron_url, path="/_tasks/cron/nightly") as context:
        assert handler.cron(context.request, "nightly").status_code == 204
    with post(box, settings.cron_url, path="/_tasks/cron/gone") as context:
        assert handler.cron(context.request, "gone").status_code == 404

    assert noted == [("receipt", "a", False, "de")]
    assert len(box.queue.due()) == 1 + 3


def test_the_endpoint_of_iterations_carries_out_a_step(box, noted):
    box.queries.add("Product", {"n": 1})
    shop.Reprice.startIterOnQuery(MemoryQuery("Product"), {"sum": 0})
    (step,) = box.queue.due()

    with post(box, box.app.wiring().settings.queryiter_url, step.task.body) as context:
        assert TaskHandler().queryIter(context.request).status_code == 204


def test_the_endpoints_of_people_list_and_execute(box, noted):
    with ask(box, "/_tasks/list", ANN) as context:
        listed = TaskHandler().list(context.request)
    with ask(box, "/_tasks/execute/clear-cache", ANN, "POST", {}) as context:
        started = TaskHandler().execute(context.request, "clear-cache")
    with ask(box, "/_tasks/execute/clear-cache", BOB, "POST", {}) as context:
        refused = TaskHandler().execute(context.request, "clear-cache")

    assert [each["key"] for each in json.loads(listed.data)["tasks"]] == ["clear-cache"]
    assert (started.status_code, refused.status_code) == (202, 403)
    box.drain()
    assert noted == [("cleared", (), {})]


@pytest.mark.parametrize("endpoint", ["deferred", "queryIter", "cron"])
def test_the_headers_and_the_address_of_app_engine_open_no_endpoint(box, endpoint):
    headers = {
        "X-AppEngine-TaskName": "1",
        "X-AppEngine-Cron": "true",
        "X-AppEngine-User-IP": "0.1.0.2",
    }
    context = flask.Flask(__name__).test_request_context("/", method="POST", headers=headers)

    with context:
        assert getattr(TaskHandler(), endpoint)(context.request).status_code == 401


def test_a_bound_task_is_found_on_registered_modules_and_no_property_is_run(box):
    find = TaskHandler().findBoundTask

    task, item = find(shop.Module.cleanup)
    assert (item, task.name) == (shop.main_app.archive, "tests.viur_shop.Module.cleanup")
    assert find(shop.Module.cleanup, shop.main_app.vi)[1] is shop.main_app.vi.order
    assert find(shop.Module.cleanup, shop.main_app.vi, 4) is None
    assert find(shop.Module.cleanup, shop.main_app.archive)[1] is shop.main_app.archive
    assert find(shop.Module.cleanup, object()) is None
    assert find(shop.Archive.sync)[1] is shop.main_app.archive
    assert find(shop.sweep) is None
    assert find(print) is None


def test_the_threshold_of_the_warning_is_the_setting(box):
    assert TaskHandler("_tasks", "_tasks").retryCountWarningThreshold == 25


def test_what_is_deferred_is_declared_on_the_modules_application(box):
    assert CallDeferred(shop.sendReceipt) is shop.sendReceipt
    assert shop.app is adjourn.viur.app

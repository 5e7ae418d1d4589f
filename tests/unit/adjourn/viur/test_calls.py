"""Deferred calls in ViUR's way: functions, methods, options of a call, and limits of retries."""

import dataclasses
import datetime as dt
import importlib
import inspect
import types

import pytest

import adjourn
from adjourn.execution.delivery import Outcome
from adjourn.testing import sandbox
from adjourn.testing.sandbox import SETTINGS
from adjourn.viur import CallDeferred, ViurApp, callDeferred, noRetry, retry_n_times
from adjourn.viur.limits import Mail
from adjourn.viur.queues import in_source
from tests import viur_shop as shop
from tests.viur_notes import notes

MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def mails(monkeypatch):
    sent = []
    monkeypatch.setattr(shop.app, "_mailers", [])
    shop.app.on_mail(sent.append)
    return sent


def deferred(function, name="shop.function"):
    """Declare a function of a test in an application of its own."""
    function.__module__, _, function.__qualname__ = name.rpartition(".")
    app = ViurApp()
    return app, app.call_deferred(function)


def test_a_call_is_enqueued_and_leaves_a_handle(box, noted):
    handle = shop.sendReceipt("a", copy=True)

    assert (handle.is_new, handle.queue, noted) == (True, "default", [])
    assert box.drain() == [Outcome.DONE]
    assert noted == [("receipt", "a", True, "de")]


def test_the_older_name_does_the_same():
    assert callDeferred is CallDeferred


def test_a_call_takes_its_options_from_its_arguments(box):
    start = box.clock.now() + MINUTE

    counted = shop.sendReceipt("a", _queue="mail", _countdown=60)
    timed = shop.sendReceipt("b", _eta=start, _name="b", _queue="default")

    assert (counted.queue, counted.eta) == ("mail", start)
    assert (timed.queue, timed.eta, timed.name.rpartition("/")[2]) == ("default", start, "b")


def test_options_that_are_none_are_as_good_as_not_given(box, noted):
    shop.sendReceipt("a", _countdown=None, _eta=None, _name=None, _target_version=None)

    assert box.drain() == [Outcome.DONE]
    assert noted == [("receipt", "a", False, "de")]


def test_viurs_default_queue_is_the_applications():
    with sandbox(shop.app, dataclasses.replace(SETTINGS, queue="work")):
        assert shop.sendReceipt("a", _queue="default").queue == "work"


def test_a_name_that_is_taken_enqueues_nothing_and_is_no_error(box):
    assert shop.sendReceipt("a", _name="a").is_new
    assert not shop.sendReceipt("a", _name="a").is_new


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"_eta": dt.datetime(2030, 1, 1, tzinfo=dt.UTC), "_countdown": 5}, "not both"),
        ({"_name": "with space"}, "hyphens"),
        ({"_queue": "no_queue"}, "queue="),
        ({"_countdown": "soon"}, "seconds"),
    ],
)
def test_a_wrong_option_of_a_call_is_refused_with_the_fix(box, options, text):
    with pytest.raises(ValueError, match=text):
        shop.sendReceipt("a", **options)
    assert box.queue.due() == []


def test_a_version_has_no_effect_and_that_is_told(box, lines):
    shop.sendReceipt("a", _target_version="v1")

    assert box.drain() == [Outcome.DONE]
    assert "viur.target_version" in [line["event"] for line in lines()]


def test_an_underscored_argument_that_is_neither_option_nor_parameter_is_refused(box):
    with pytest.raises(TypeError, match=r"_count.*_countdown"):
        shop.sendReceipt("a", _count=5)


def test_a_parameter_with_an_underscore_is_the_functions_own(box, noted):
    shop.sendReceipt("a", _locale="en")
    shop.sendReceipt("b", _locale="fr", _countdown=0)

    box.drain()

    assert noted == [("receipt", "a", False, "en"), ("receipt", "b", False, "fr")]


def test_a_function_that_takes_any_keyword_may_have_underscored_ones():
    seen = []
    app, function = deferred(lambda **kwargs: seen.append(kwargs), "shop.anything")

    with sandbox(app) as box:
        function(_mine=1, _countdown=0)
        box.drain()

    assert seen == [{"_mine": 1}]


def test_call_deferred_false_runs_it_here_and_now(box, noted):
    assert shop.sendReceipt("a", _call_deferred=False) == "receipt a"
    assert (noted, box.queue.due()) == ([("receipt", "a", False, "de")], [])


def test_call_deferred_false_runs_a_method_on_its_object(box, noted):
    shop.main_app.order.sync("k", _call_deferred=False)

    assert (noted, box.queue.due()) == ([("sync", "order", "k")], [])


def test_options_hold_for_a_deferred_call_within_a_deferred_call(box, noted):
    shop.first(1)

    assert box.drain() == [Outcome.DONE]
    (waiting,) = box.queue.tasks.values()
    assert (waiting.task.queue, noted) == ("slow", [("first", 1)])
    box.clock.advance(MINUTE)
    assert box.drain() == [Outcome.DONE]
    assert noted == [("first", 1), ("second", 2)]


def test_a_method_runs_on_the_object_that_has_the_path_in_every_process(box, noted):
    shop.main_app.vi.order.sync("k")
    shop.main_app.ping("x")

    box.drain()

    assert noted == [("sync", "vi/order", "k"), ("ping", "x")]


def test_methods_of_one_name_in_a_module_are_tasks_of_their_own(box, noted):
    shop.main_app.order.sync("a")
    shop.main_app.archive.sync("b")

    box.drain()

    assert noted == [("sync", "order", "a"), ("archive", "archive", "b")]


def test_super_runs_what_is_overridden_within_the_same_call(box, noted):
    shop.main_app.order.rebuild(deep=True)

    assert box.drain() == [Outcome.DONE]
    assert noted == [("rebuild", "order", True), "and orders"]


def test_a_method_that_is_not_overridden_is_inherited(box, noted):
    shop.main_app.archive.rebuild()

    box.drain()

    assert noted == [("rebuild", "archive", False)]


def test_a_function_is_no_method_for_what_it_is_given_first_nor_for_what_that_is_called():
    seen = []

    def take(self, func=None):
        seen.append((self, func))

    app, take = deferred(take, "shop.take")
    with sandbox(app) as box:
        take(self="me", func="f")
        take("me")
        box.drain()

    assert seen == [("me", "f"), ("me", None)]


def test_an_object_that_no_process_could_find_is_refused_at_the_call(box):
    with pytest.raises(adjourn.EncodeError, match="add_object"):
        shop.Order("order", "nowhere").sync("k")


def test_objects_are_found_below_the_application_by_their_paths_and_no_property_is_run():
    app = ViurApp()
    tree = types.SimpleNamespace(
        deep=types.SimpleNamespace(module=shop.Module("a", "/elsewhere/")),
        nameless=shop.Module("b", None),
        again=None,
        number=7,
    )
    tree.again = tree

    app.add_main_app(tree)

    assert app._declared.objects.find("elsewhere") is tree.deep.module
    assert app._declared.objects.find("nameless") is tree.nameless
    assert app._declared.objects.path(tree) is None


def test_a_module_under_two_attributes_is_registered_under_the_first():
    app, module = ViurApp(), shop.Module("a", None)

    app.add_main_app(types.SimpleNamespace(first=module, second=module, third=[module]))

    assert app._declared.objects.path(module) == "first"


def test_two_modules_of_one_path_are_refused():
    tree = types.SimpleNamespace(a=shop.Module("a", "same"), b=shop.Module("b", "same"))

    with pytest.raises(adjourn.DeclarationError, match="same"):
        ViurApp().add_main_app(tree)


def test_a_call_is_retried_as_often_as_is_said_and_then_mailed(box, mails, noted):
    shop.importFeed("https://feed.example")

    outcomes = [box.drain()[-1] for _ in range(3)]

    assert outcomes == [Outcome.FAILED, Outcome.FAILED, Outcome.DEAD]
    assert len(noted) == 3
    (mail,) = mails
    assert isinstance(mail, Mail)
    assert (mail.recipients, mail.tpl) == (("ann@shop.example",), "failed")
    assert (mail.letter.task, mail.letter.attempts) == ("tests.viur_shop.importFeed", 3)
    assert "https://feed.example" in mail.letter.error


def test_trouble_of_the_platform_uses_up_no_retry_of_a_limit(box, mails):
    shop.importFeed("https://feed.example")
    (queued,) = box.queue.due()
    queued.attempt = queued.attempt._replace(retry_count=30)

    assert box.drain() == [Outcome.FAILED]
    assert mails == []


def test_a_mail_that_nobody_can_send_is_told(box, lines, monkeypatch):
    monkeypatch.setattr(shop.app, "_mailers", [])
    shop.importFeed("https://feed.example")

    for _ in range(3):
        box.drain()

    assert "viur.nobody_mails" in [line["event"] for line in lines()]


def test_a_mail_that_fails_undoes_nothing(box, monkeypatch, lines):
    monkeypatch.setattr(shop.app, "_mailers", [lambda mail: 1 / 0])
    shop.importFeed("https://feed.example")

    assert [box.drain()[-1] for _ in range(3)][-1] is Outcome.DEAD
    assert "hook.failed" in [line["event"] for line in lines()]


def test_one_address_is_a_list_of_one():
    @retry_n_times(1, "ann@shop.example")
    def function():
        pass

    assert function.__adjourn_viur_limit__.recipients == ("ann@shop.example",)


def test_outside_of_a_task_a_limited_function_is_as_it_was(mails):
    @retry_n_times(0, "ann@shop.example")
    def function():
        raise KeyError

    with pytest.raises(KeyError):
        function()
    assert mails == []


def test_what_must_not_be_called_twice_is_not_begun_again(box, noted):
    shop.charge(5)

    (queued,) = box.queue.due()
    assert [box.deliver(queued), box.deliver(queued)] == [Outcome.DEAD, Outcome.DONE]
    assert noted == [("charge", 5)]


@pytest.mark.parametrize("limit", [noRetry, retry_n_times(3)])
def test_a_limit_above_the_deferring_decorator_is_refused(limit):
    with pytest.raises(adjourn.DeclarationError, match="above"):
        limit(shop.sendReceipt)


def test_a_permanent_failure_is_a_dead_letter_at_once_with_its_error(box):
    shop.giveUp()

    assert box.drain() == [Outcome.DEAD]


def test_what_is_deferred_already_stays_as_it_is():
    assert CallDeferred(shop.sendReceipt) is shop.sendReceipt


def test_the_application_says_what_goes_along():
    app, who = deferred(lambda: notes.append(adjourn.current_task().user), "shop.who")
    app.configure(user=lambda: "ann")

    with sandbox(app) as box:
        who()
        box.drain()
        with pytest.raises(adjourn.DeclarationError, match="before"):
            app.configure()

    assert notes == ["ann"]


# Calls as ViUR takes them


def test_a_countdown_of_nothing_goes_with_a_time(box):
    start = box.clock.now() + MINUTE

    assert shop.sendReceipt("a", _countdown=0, _eta=start).eta == start


@pytest.mark.parametrize("countdown", [-1, -0.5, -MINUTE, 0, dt.timedelta()])
def test_a_countdown_that_is_not_positive_is_none(box, countdown):
    assert shop.sendReceipt("a", _countdown=countdown).eta is None
    assert box.drain() == [Outcome.DONE]


def test_a_time_without_a_zone_is_utc(box):
    naive = dt.datetime(2030, 1, 1, 12)  # noqa: DTZ001 - naive on purpose

    assert shop.sendReceipt("a", _eta=naive).eta == naive.replace(tzinfo=dt.UTC)


def test_a_name_that_only_viur_takes_is_mapped_and_stays_distinct(box):
    names = ["mail:7.1", "mail.7:1", "mail-7-1"]
    handles = [shop.sendReceipt("a", _name=name) for name in names]
    mapped = [handle.name.rpartition("/")[2] for handle in handles]

    assert mapped[0].startswith("mail-7-1-")
    assert mapped[2] == "mail-7-1"
    assert len(set(mapped)) == 3
    assert not shop.sendReceipt("a", _name=names[0]).is_new


def test_a_decorated_function_is_one_as_far_as_its_users_can_see():
    def send(order, *, copy=False):
        """Send it."""

    send.rights = "admin"
    _, task = deferred(send, "shop.mail.send")
    task.exposed = True

    assert (task.__name__, task.__qualname__, task.__module__) == ("send", "send", "shop.mail")
    assert (task.__doc__, task.__wrapped__) == ("Send it.", send)
    assert (task.exposed, task.rights) == (True, "admin")
    assert str(inspect.signature(task)) == "(order, *, copy=False)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.name = "other"


def test_a_decorated_method_is_one_with_the_attributes_of_its_function():
    method = shop.main_app.order.sync

    assert (method.__name__, method.__qualname__) == ("sync", "Order.sync")
    assert str(inspect.signature(method)) == "(key)"
    with pytest.raises(AttributeError):
        _ = method.exposed


def test_a_nested_function_is_called_where_it_is_and_the_last_one_counts():
    app = ViurApp()

    def make(said):
        @app.call_deferred
        def inner(word):
            notes.append((said, word))

        return inner

    make("first")
    inner = make("second")
    with sandbox(app) as box:
        inner("a")
        assert box.drain() == [Outcome.DONE]

    assert notes == [("second", "a")]


def test_a_method_is_called_on_its_first_argument(box, noted):
    shop.Order.sync(shop.main_app.order, "k")

    assert box.drain() == [Outcome.DONE]
    assert noted == [("sync", "order", "k")]


def test_a_copy_of_a_module_is_found_by_its_path(box, noted):
    shop.Order("order", "/vi/order/").sync("k")

    assert box.drain() == [Outcome.DONE]
    assert noted == [("sync", "vi/order", "k")]


def test_a_module_that_is_kept_in_a_list_is_found_by_the_attributes_of_its_path():
    app = ViurApp()

    class Provider:
        def __init__(self, path):
            self.modulePath = path

        def check(self):
            notes.append(self.modulePath)

        check.__module__, check.__qualname__ = "shop", "Provider.check"
        check = app.call_deferred(check)

    providers = [Provider("deep/er/in/the/shop"), Provider("lost")]
    level = types.SimpleNamespace(shop=providers[0])
    for name in ("the", "in", "er", "deep"):
        level = types.SimpleNamespace(**{name: level})
    app.add_main_app(level)

    with sandbox(app) as box:
        providers[0].check()
        with pytest.raises(adjourn.EncodeError, match="add_object"):
            providers[1].check()
        box.drain()
    assert notes == ["deep/er/in/the/shop"]


@pytest.mark.parametrize("is_above", [True, False])
def test_a_static_method_is_deferred_in_either_order(is_above):
    app = ViurApp()

    def note(word):
        notes.append(word)

    note.__module__, note.__qualname__ = "shop", "Order.note"
    if is_above:
        attribute = staticmethod(app.call_deferred(note))
    else:
        attribute = app.call_deferred(staticmethod(note))
    order = type("Order", (), {"note": attribute})

    with sandbox(app) as box:
        order.note("class")
        order().note("object")
        assert box.drain() == [Outcome.DONE] * 2
    assert notes == ["class", "object"]


# Queues that are named where a call is made

SOURCE = """
send(7, _queue="mail")
order.sync(key, _queue="slow")
send(7, _queue=None)
send(7, _queue=queue)
send(7, _queue="")
"""


def test_queues_are_found_in_the_source_with_the_places_where_they_are_not_known():
    found = list(in_source(SOURCE, "shop.py"))

    assert [(each.place, each.queue) for each in found] == [
        ("shop.py:2", "mail"),
        ("shop.py:3", "slow"),
        ("shop.py:5", None),
        ("shop.py:6", None),
    ]
    assert list(in_source("def (", "broken.py")) == []


def test_the_queues_of_an_application_are_those_of_its_calls_too(tmp_path, monkeypatch, lines):
    (tmp_path / "queued_shop").mkdir()
    (tmp_path / "queued_shop" / "__init__.py").write_text("")
    (tmp_path / "queued_shop" / "mails.py").write_text(
        "def send(task, queue):\n    task(1, _queue='mail')\n    task(1, _queue=queue)\n"
    )
    (tmp_path / "queued_shop" / "main.py").write_text(
        "from adjourn.viur import ViurApp\nfrom queued_shop import mails\n"
        "app = ViurApp()\n@app.call_deferred\ndef send(): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    app = importlib.import_module("queued_shop.main").app

    assert app.queues("default") == {"default", "mail"}
    assert any("mails.py:3" in line["message"] for line in lines())

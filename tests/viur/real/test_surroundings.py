"""What stands around a call: forms of skeletons, environments, queues of the configuration."""

import pytest
from viur.core import current, db
from viur.core.bones import NumericBone, SelectBone, StringBone
from viur.core.config import conf
from viur.core.skeleton import BaseSkeleton

import adjourn
import adjourn.viur as ours
from adjourn.callable_tasks.forms import InvalidParametersError
from adjourn.testing import sandbox
from adjourn.viur import CallableTaskBase, CustomEnvironmentHandler, ViurApp
from adjourn.viur.calls import queues_of_configuration

ran = []


class Fill(CallableTaskBase):
    key = "fill"

    def canCall(self):
        return True

    def dataSkel(self):
        skel = BaseSkeleton().clone()
        skel.kind = SelectBone(descr="Kind", values={"box": "Boxes"}, required=True)
        skel.amount = NumericBone(descr="How many", min=0, max=9)
        skel.names = StringBone(multiple=True)
        return skel

    def execute(self, **values):
        ran.append(values)


@pytest.fixture
def offer():
    app = ViurApp()
    app.offer_callable(Fill)
    ran.clear()
    return app._declared.callable_tasks.get("fill")


def test_the_bones_of_a_skeleton_are_the_form(offer):
    assert offer.describe()["parameters"] == {
        "type": "object",
        "properties": {
            "kind": {"enum": ["box"], "description": "Kind"},
            "amount": {"type": "number", "description": "How many"},
            "names": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["kind"],
        "additionalProperties": False,
    }


def test_the_task_gets_what_viur_makes_of_the_values(offer):
    offer.task.function({"kind": "box", "amount": "7", "names": ["a", "b"]})

    assert ran == [{"kind": "box", "amount": 7, "names": ["a", "b"]}]


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, {"kind"}),
        ({"kind": "bag"}, {"kind"}),
        ({"kind": "box", "amount": 50}, {"amount"}),
        ({"kind": "box", "other": 1}, {"other"}),
        ([], {""}),
    ],
)
def test_what_viur_does_not_take_is_told_by_the_bone(offer, given, wrong):
    with pytest.raises(InvalidParametersError) as caught:
        offer.form.read(given)

    assert set(caught.value.errors) == wrong


class Handler(CustomEnvironmentHandler):
    """ViUR's form: restoring returns nothing."""

    def __init__(self):
        self.tenant = "north"
        self.restored = []

    def serialize(self):
        return {"tenant": self.tenant}

    def restore(self, obj):
        self.restored.append(obj)


@pytest.mark.parametrize("is_configured", [True, False])
def test_an_environment_handler_in_viurs_form_is_taken_also_from_its_configuration(
    monkeypatch, is_configured
):
    app, handler, seen = ViurApp(), Handler(), []

    def work():
        seen.append(list(handler.restored))

    work.__module__, work.__qualname__ = "shop", "work"
    task = app.call_deferred(work)
    if is_configured:
        app.configure(environment=handler)
    else:
        monkeypatch.setattr(conf, "tasks_custom_environment_handler", handler)

    with sandbox(app) as box:
        task()
        handler.tenant = "south"
        box.drain()
    assert seen == [[{"tenant": "north"}]]


def test_the_queues_of_the_configuration_are_those_of_calls_that_name_none(monkeypatch):
    app = ViurApp()

    def send():
        pass

    send.__module__, send.__qualname__ = "shop.mail", "send"
    task = app.call_deferred(send)
    monkeypatch.setattr(
        conf, "tasks_default_queues", {"send.shop.mail": "mail", "__default__": "default"}
    )

    with sandbox(app):
        assert task().queue == "mail"
        assert task(_queue="other").queue == "other"
    assert queues_of_configuration() == {"mail"}
    assert app.queues("default") >= {"default", "mail"}


def test_a_method_is_known_to_the_configuration_by_its_path(monkeypatch):
    app = ViurApp()

    class Order:
        modulePath = "vi/order"

        def sync(self):
            pass

        sync.__module__, sync.__qualname__ = "shop", "Order.sync"
        sync = app.call_deferred(sync)

    order = Order()
    app.add_object("vi/order", order)
    monkeypatch.setattr(conf, "tasks_default_queues", {"vi/order/sync": "slow"})

    with sandbox(app):
        assert order.sync().queue == "slow"


def test_a_form_of_a_skeleton_takes_no_more_than_its_bones(offer):
    assert ours.CallableTaskBase().dataSkel() is None
    assert offer.form.read({"kind": "box"})["kind"] == "box"


def test_user_and_language_go_along_as_identifiers_and_the_language_is_set_again():
    app, seen = ViurApp(), []

    def work():
        task = adjourn.current_task()
        seen.append((task.user, task.language, current.language.get()))

    work.__module__, work.__qualname__ = "shop", "work"
    task = app.call_deferred(work)
    user = {"key": db.Key("user", "ann"), "name": "Ann", "access": ["root"]}
    tokens = [
        (current.user, current.user.set(user)),
        (current.language, current.language.set("de")),
    ]

    with sandbox(app) as box:
        task()
        (queued,) = box.queue.due()
        for variable, token in tokens:
            variable.reset(token)
        box.drain()
    assert seen == [(str(db.Key("user", "ann")), "de", "de")]
    assert current.language.get() != "de"
    assert b"Ann" not in queued.task.body
    assert b"root" not in queued.task.body

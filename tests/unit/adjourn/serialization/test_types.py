"""Classes that are neither dataclasses nor enums travel after an `Extension` says how."""

import datetime as dt
import json

import pytest

import adjourn
from adjourn import DeclarationError, EncodeError, Extension
from adjourn.execution.delivery import Outcome
from adjourn.testing import sandbox


class Money:
    def __init__(self, cents):
        self.cents = cents

    def __eq__(self, other):
        return isinstance(other, Money) and self.cents == other.cents

    __hash__ = None


class Coin(Money):
    pass


MONEY = Extension(
    tag="shop.Money", type_name=Money, state=int, encode=lambda it: it.cents, decode=Money
)


@pytest.mark.parametrize("type_name", [Money, f"{__name__}.Money"], ids=["class", "name"])
def test_an_object_of_any_class_arrives_as_it_was(app, ran, type_name):
    app.add_extension(MONEY._replace(type_name=type_name))

    @app.deferred(name="pay")
    def pay(price):
        ran.append(price)

    with sandbox(app) as box:
        pay({"price": [Money(500)]})
        (queued,) = box.queue.tasks.values()
        body = json.loads(queued.task.body)
        assert box.drain() == [Outcome.DONE]

    assert body["args"] == [{"price": [{"$:shop.Money": 500}]}]
    assert ran == [{"price": [Money(500)]}]


def test_a_subclass_is_another_class(app):
    app.add_extension(MONEY)

    @app.deferred(name="pay")
    def pay(price):
        pass

    with sandbox(app), pytest.raises(EncodeError, match="decoded as a plain Money, so convert"):
        pay(Coin(500))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tag": ""}, "tag=''"),
        ({"tag": "a$b"}, "tag='a$b'"),
        ({"tag": 5}, "tag=5"),
        ({"type_name": "Money"}, "type_name='Money'"),
        ({"type_name": 5}, "type_name=5"),
        ({"state": "str"}, "state='str'"),
        ({"encode": 5}, "encode=5"),
        ({"decode": None}, "decode=None"),
    ],
    ids=range(8),
)
def test_a_wrong_one_is_refused(app, change, message):
    with pytest.raises(DeclarationError) as caught:
        app.add_extension(MONEY._replace(**change))

    assert str(caught.value).startswith(f"Extension({message}): write adjourn.Extension(")


def test_a_type_or_tag_is_taken_once(app):
    app.add_extension(MONEY)

    for again in (MONEY, MONEY._replace(tag="other"), MONEY._replace(type_name="shop.Coin")):
        with pytest.raises(DeclarationError, match="is taken; choose another"):
            app.add_extension(again)
    with pytest.raises(DeclarationError, match="is taken; choose another"):
        app.add_extension(MONEY._replace(tag="date", type_name=dt.date))
    assert adjourn.Extension is Extension

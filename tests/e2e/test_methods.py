"""Deferred methods, called here and run in the deferred function."""

import datetime as dt

import pytest
from google.cloud import datastore

from tests.e2e.application import Module, Parcel, Shop, shop
from tests.e2e.conftest import Ear

pytestmark = pytest.mark.usefixtures("environment")


def test_an_override_runs_on_the_object_of_the_other_process_and_its_super_within_it(
    ear: Ear,
) -> None:
    handle = shop.sync(datastore.Client().key("Order", "a"))

    assert handle.is_new
    assert ear.hear() == "Module.sync on modules/shop with a"
    assert ear.hear() == "Shop.sync on modules/shop with a"


@pytest.mark.parametrize("cls", [Module, Shop])
def test_a_class_method_runs_on_the_class_on_which_it_was_called(
    ear: Ear, cls: type[Module]
) -> None:
    cls.build(7)

    assert ear.hear() == f"{cls.__name__}.build with 7"


def test_a_static_method_runs(ear: Ear) -> None:
    Shop.add(2, b=3)

    assert ear.hear() == "the sum is 5"


def test_a_method_of_a_value_runs_on_an_equal_one(ear: Ear) -> None:
    Parcel(weight=5, sent=dt.date(2026, 3, 1)).weigh.options(delay=0).defer("kg")

    assert ear.hear() == "5 kg of 2026-03-01"

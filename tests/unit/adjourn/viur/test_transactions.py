"""Transactions of a db module that adjourn cannot look into."""

import sys
from types import SimpleNamespace

import pytest

import adjourn
from adjourn.testing.sandbox import SETTINGS
from adjourn.viur.transactions import ViurTransactions


class Others:
    """An adapter that finds no transaction of its own."""

    def current(self):
        return None


@pytest.mark.parametrize("name", ["is_in_transaction", "IsInTransaction"])
def test_a_call_in_a_transaction_that_cannot_be_guarded_is_refused_with_the_line_to_add(
    monkeypatch, name
):
    open_now = [True]
    db = SimpleNamespace(**{name: lambda: open_now[0]}, __name__="shop.engine")
    monkeypatch.setitem(sys.modules, "viur.core.db", db)
    guard = ViurTransactions(Others(), SETTINGS)

    with pytest.raises(adjourn.DeclarationError, match=r"app\.configure\(datastore="):
        guard.current()
    open_now[0] = False
    assert guard.current() is None


def test_without_viur_there_is_none():
    assert ViurTransactions(Others(), SETTINGS).current() is None

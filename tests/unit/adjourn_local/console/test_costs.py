import datetime as dt

import adjourn
from adjourn.ports import RecordKey
from adjourn.testing import fake
from adjourn_local.console.costs import counted, counting, current, spend

KEY = RecordKey("Kind", "1")


def test_reads_and_writes_are_counted_for_the_request_that_makes_them():
    app = adjourn.App()
    with fake(app):
        store = counted(app.wiring().adapters).store
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    with counting() as costs:
        store.put(KEY, {"at": at})
        store.get([KEY, KEY])
        assert list(store.query("Kind", by="at"))
        store.transact(lambda transaction: transaction.get([KEY]))

    assert (costs.reads, costs.writes) == (4, 1)


def test_each_request_has_costs_of_its_own():
    with counting() as outer:
        spend(tasks=1)
        with counting() as inner:
            spend(tasks=2)
        assert current() is outer

    assert (outer.tasks, inner.tasks) == (1, 2)
    assert current().tasks == 0

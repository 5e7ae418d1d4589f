"""Annotations need not be evaluated: what they name may be there for type checkers alone."""

import dataclasses
import datetime as dt
import sys
from typing import TYPE_CHECKING

import pytest

from adjourn import App, CallableTask
from adjourn.serialization.codec import Codec
from adjourn.testing import sandbox

if TYPE_CHECKING:
    from tests.unit import Nowhere

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="before Python 3.14 they are evaluated where they stand"
)


def test_a_function_is_called():
    app = App()
    seen = []

    @app.deferred(name="note")
    def note(what: Nowhere, *more: Nowhere) -> Nowhere:
        seen.append((what, more))

    with sandbox(app) as box:
        note.defer(1, 2)
        box.drain()

    assert seen == [(1, (2,))]


def test_a_periodic_function_is_declared():
    app = App()

    @app.periodic(interval=dt.timedelta(hours=1), name="sweep")
    def sweep() -> Nowhere:
        pass

    assert app.cron_names()


def test_a_dataclass_is_registered():
    codec = Codec()

    @dataclasses.dataclass
    class Order:
        key: Nowhere

    codec.register(Order, "order")

    assert codec.loads(codec.dumps(Order(1))) == Order(1)


def test_a_callable_task_is_started():
    app = App()
    seen = []

    @dataclasses.dataclass
    class Given:
        count: int

    @app.callable_task
    class Sweep(CallableTask):
        Parameters = Given

        def __init__(self, note: Nowhere = None):
            self.note = note

        def can_call(self, _user: Nowhere) -> Nowhere:
            return True

        def execute(self, count: Nowhere) -> Nowhere:
            seen.append(count)

    with sandbox(app) as box:
        assert box.ask("ann@example.com", "Sweep", {"count": 2}).status == 202
        box.drain()

    assert seen == [2]

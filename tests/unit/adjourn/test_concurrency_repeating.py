"""Work is repeated in a thread while a context is open."""

import threading
from contextvars import ContextVar

import pytest

from adjourn.concurrency import repeating

name = ContextVar("name", default="")


def test_work_is_repeated_until_the_context_is_left():
    seen, is_enough = [], threading.Event()

    def work():
        seen.append(name.get())
        if len(seen) == 3:
            is_enough.set()

    name.set("caller")
    with repeating(0.001, work):
        assert is_enough.wait(60)
    count = len(seen)

    assert set(seen) == {"caller"}
    assert not any(thread.name == "adjourn-beat" for thread in threading.enumerate())
    assert len(seen) == count


def test_it_ends_with_an_exception_too():
    with pytest.raises(ValueError, match="broken"), repeating(3600, int):
        raise ValueError("broken")

    assert not any(thread.name == "adjourn-beat" for thread in threading.enumerate())

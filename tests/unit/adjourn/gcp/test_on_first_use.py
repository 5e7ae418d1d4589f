"""What is made on first use is made once, whoever uses it first."""

import copy
import threading

import pytest

from adjourn.gcp.on_first_use import on_first_use


class Counter:
    made = 0

    def __init__(self):
        type(self).made += 1
        self.number = 0

    def count(self):
        self.number += 1
        return self.number


@pytest.fixture
def kind():
    return type("Kind", (Counter,), {})


def test_nothing_is_made_before_it_is_used(kind):
    lazy = on_first_use(kind)
    copy.copy(lazy)
    assert kind.made == 0

    assert [lazy.count(), lazy.count()] == [1, 2]
    assert kind.made == 1


def test_threads_that_use_it_first_together_share_it(kind):
    reached = threading.Barrier(4)

    def make():
        return kind()

    lazy = on_first_use(make)
    found = []

    def use():
        reached.wait(10)
        found.append(lazy.count())

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == [1, 2, 3, 4]
    assert kind.made == 1


def test_an_adapter_that_cannot_be_made_now_is_made_later(kind):
    errors = [OSError("not now")]

    def make():
        if errors:
            raise errors.pop()
        return kind()

    lazy = on_first_use(make)
    with pytest.raises(OSError, match="not now"):
        lazy.count()

    assert lazy.count() == 1


def test_what_it_has_not_is_an_attribute_error(kind):
    with pytest.raises(AttributeError):
        _ = on_first_use(kind).absent

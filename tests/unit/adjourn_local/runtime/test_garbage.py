"""The search for garbage."""

import gc
import weakref

import pytest

from adjourn_local.runtime.garbage import search_rarely

pytestmark = pytest.mark.usefixtures("rare")


class Node:
    pass


@pytest.fixture
def rare():
    before = gc.get_threshold()
    search_rarely()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def searches(make):
    """Return how often all objects were looked through while something was made."""
    before = gc.get_stats()[0]["collections"]
    make()
    return gc.get_stats()[0]["collections"] - before


def test_what_exists_is_left_out_of_the_search():
    assert gc.get_freeze_count() > 1000


def test_a_commits_objects_cause_no_search():
    assert searches(lambda: [[] for _ in range(9000)]) <= 1


def test_objects_that_only_refer_to_each_other_are_still_found():
    first, second = Node(), Node()
    first.other, second.other = second, first
    gone = weakref.ref(first)
    del first, second

    made = searches(lambda: [[] for _ in range(50_000)])

    assert made > 0
    assert gone() is None

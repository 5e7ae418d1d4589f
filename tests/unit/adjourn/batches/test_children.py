"""The children of a shard: each end counts once, in whatever order they come."""

from hypothesis import given, settings
from hypothesis import strategies as st

from adjourn.batches.children import Child, Children, Counts
from adjourn.batches.place import Kind, State

KEYS = st.binary(min_size=16, max_size=16)
# Few bytes, so that a key is often found across two others.
CLOSE = st.lists(
    st.lists(st.sampled_from([0, 1]), min_size=16, max_size=16).map(bytes), unique=True, max_size=8
)
ENDS = [State.DONE, State.FAILED, State.CANCELLED]


def added(keys):
    return Children().with_added(Child(key, Kind.CALL) for key in keys)


@settings(max_examples=50)
@given(CLOSE, st.lists(st.tuples(st.integers(0, 20), st.sampled_from(ENDS))))
def test_the_first_end_of_each_child_counts(keys, ends):
    children, expected = added(keys), {}
    for number, state in ends:
        if number < len(keys):
            children = children.with_end(keys[number], state)
            expected.setdefault(keys[number], state)

    assert {each.key: each.state for each in children.each()} == {
        key: expected.get(key, State.OPEN) for key in keys
    }
    states = list(expected.values())
    assert children.counts == Counts(*(states.count(each) for each in ENDS))
    assert children.is_over == (len(expected) == len(keys))


@settings(max_examples=50)
@given(CLOSE, KEYS)
def test_a_child_that_is_not_registered_has_no_end(keys, other):
    if other in keys:
        return
    children = added(keys)

    assert children.state_of(other) is None
    assert children.with_end(other, State.DONE) is children
    assert children.reopened(other) is children


@settings(max_examples=50)
@given(CLOSE)
def test_children_are_registered_once(keys):
    children = added(keys)

    assert children.with_added(Child(key, Kind.RUN) for key in keys) == children
    assert children.size == len(keys)


def test_a_shard_counts_for_its_children():
    key, counts = bytes(16), Counts(5, 2, 1)
    children = Children().with_added([Child(key, Kind.SHARD)])
    ended = children.with_end(key, State.DONE, counts)

    assert ended.counts == counts
    assert ended.reopened(key, counts) == children
    assert children.reopened(key) is children

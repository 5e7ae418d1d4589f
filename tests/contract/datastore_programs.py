"""Hypothesis strategies for sequences of Datastore calls, to be made of any server."""

import dataclasses

from hypothesis import strategies as st

from tests.contract.datastore_fields import (
    POSITIVE_FILTERS,
    PROPERTIES,
    entities,
    has_cursors,
    keys,
    mutations,
    queries,
    repeats,
)


@dataclasses.dataclass(frozen=True)
class Call:
    """One call: the method of Google's client and the fields of its request."""

    method: str
    request: dict


@dataclasses.dataclass(frozen=True)
class Pages:
    """A query read by its cursors, a few results at a time; then backwards to a middle one."""

    request: dict
    sizes: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Conditional:
    """A mutation that is meant for the version or update time that is stored, or one beside it."""

    mutation: dict
    condition: str
    offset: int


@dataclasses.dataclass(frozen=True)
class Transaction:
    """Reads in a transaction, then mutations and a commit, or (None) a rollback."""

    options: dict
    reads: tuple[Call, ...]
    mutations: tuple[dict, ...] | None


def _transactional(found):
    return Call(
        "commit",
        {"mode": "TRANSACTIONAL", "single_use_transaction": {"read_write": {}}, "mutations": found},
    )


def _separate(found):
    return Call("commit", {"mode": "NON_TRANSACTIONAL", "mutations": found})


def commits():
    """Return commits; outside of a transaction it is open what a refused mutation leaves undone."""
    sure = st.one_of(
        entities().map(lambda entity: {"upsert": entity}), keys().map(lambda key: {"delete": key})
    )
    return st.one_of(
        st.lists(mutations(), min_size=1, max_size=6).map(_transactional),
        st.lists(sure, min_size=1, max_size=6).map(_separate),
        mutations().map(lambda mutation: _separate([mutation])),
    )


def lookups():
    def request(found, mask):
        return {"keys": found} | ({"property_mask": {"paths": mask}} if mask is not None else {})

    masks = st.none() | st.lists(st.sampled_from([*PROPERTIES, "q.x", "__key__"]), max_size=2)
    return st.builds(request, st.lists(keys(), min_size=1, max_size=4), masks).map(
        lambda request: Call("lookup", request)
    )


@st.composite
def run_queries(draw):
    query = draw(queries())
    if draw(st.booleans()) and not repeats(query):
        query["limit"] = draw(st.integers(0, 5))
    if draw(st.integers(0, 3)) == 0 and not repeats(query):
        query["offset"] = draw(st.integers(0, 3))
    space = {"namespace_id": "n"} if draw(st.integers(0, 9)) == 0 else {}
    return Call("run_query", {"query": query, "partition_id": space})


def pages():
    return st.builds(
        Pages,
        queries()
        .filter(lambda query: has_cursors(query) and not repeats(query))
        .map(lambda query: {"query": query}),
        st.tuples(*[st.integers(1, 3)] * 2),
    )


@st.composite
def aggregations(draw):
    names = st.sampled_from(["count", "up_to", "sum", "avg"])
    operators = {
        "count": {"count": {}},
        "up_to": {"count": {"up_to": draw(st.integers(0, 3))}},
        "sum": {"sum": {"property": {"name": "q"}}},
        "avg": {"avg": {"property": {"name": "q"}}},
    }
    query = draw(queries(["S"], POSITIVE_FILTERS)) | {"kind": [{"name": "S"}]}
    if draw(st.integers(0, 3)) == 0:
        query["limit"] = draw(st.integers(0, 5))
    found = [operators[name] for name in draw(st.lists(names, min_size=1, max_size=3))]
    return Call(
        "run_aggregation_query",
        {"aggregation_query": {"nested_query": query, "aggregations": found}},
    )


@st.composite
def transactions(draw):
    options = draw(st.sampled_from([{"read_write": {}}, {"read_write": {}}, {"read_only": {}}]))
    reads = draw(st.lists(st.one_of(lookups(), run_queries()), min_size=1, max_size=3))
    writes = None
    if "read_write" in options and draw(st.booleans()):
        writes = tuple(draw(st.lists(mutations(), max_size=4)))
    return Transaction(options, tuple(reads), writes)


def steps():
    return st.one_of(
        commits(),
        commits(),
        lookups(),
        run_queries(),
        run_queries(),
        run_queries(),
        pages(),
        aggregations(),
        transactions(),
        st.builds(
            Conditional,
            mutations(),
            st.sampled_from(["base_version", "update_time"]),
            st.integers(-1, 1),
        ),
    )


def fillings():
    """Return a strategy of commits that give later steps something to find."""
    return st.lists(entities(), min_size=6, max_size=14).map(
        lambda found: _transactional([{"upsert": entity} for entity in found])
    )


def programs():
    return st.builds(
        lambda fill, rest: [fill, *rest], fillings(), st.lists(steps(), min_size=3, max_size=8)
    )

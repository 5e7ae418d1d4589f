"""Hypothesis strategies for keys, values, mutations and queries: fields of Google's messages.

Kind S holds single values, M arrays and embedded entities too. What Google's emulator is known to
get wrong (the list in test_datastore_emulator.py) is not generated.
"""

from hypothesis import strategies as st

KINDS = ["S", "S", "M"]
PROPERTIES = ["p", "q", "r"]
IDENTIFIERS = [
    {"id": 1},
    {"id": 2},
    {"id": 3},
    {"id": 10},
    {"name": "1"},
    {"name": "a"},
    {"name": "é"},
]
PARENTS = [
    [],
    [],
    [],
    [{"kind": "S", "id": 1}],
    [{"kind": "S", "id": 1}, {"kind": "M", "name": "a"}],
]
NAMESPACES = ["", "", "", "n"]
PROJECT = "PROJECT"


def keys(namespaces=NAMESPACES):
    """Return keys, with the project that PROJECT stands for, as Google's client makes them."""
    return st.builds(
        lambda kind, parent, identifier, namespace: {
            "partition_id": {"project_id": PROJECT, "namespace_id": namespace},
            "path": [*parent, {"kind": kind, **identifier}],
        },
        st.sampled_from(KINDS),
        st.sampled_from(PARENTS),
        st.sampled_from(IDENTIFIERS),
        st.sampled_from(namespaces),
    )


OWN_KEYS = keys([""])


def _some(name, *found):
    return st.sampled_from([{name: one} for one in found])


SCALARS = st.one_of(
    _some("integer_value", 0, 1, 2, 3, -1, 1 << 40, -(1 << 63), (1 << 63) - 1),
    _some("integer_value", 0, 1, 2),
    _some("double_value", 0.0, -0.0, 0.5, 1.0, 2.0, -1.5, float("inf"), float("-inf")),
    _some("double_value", float("nan")),
    _some("null_value", 0),
    _some("boolean_value", *[False, True]),
    _some("string_value", "", "a", "b", "ab", "é", "\0", "a\0b", "￿", "😀"),
    _some("blob_value", b"", b"ab", b"\xff\0", b"\0"),
    _some(
        "timestamp_value",
        {"seconds": 0, "nanos": 2000},
        {"seconds": 1 << 31, "nanos": 123456000},
        {"seconds": -1, "nanos": 999999000},
    ),
    _some(
        "geo_point_value",
        {"latitude": 0, "longitude": 0},
        {"latitude": 1, "longitude": -2},
        {"latitude": -90, "longitude": 180},
    ),
    OWN_KEYS.map(lambda key: {"key_value": key}),
)
NUMBERS = st.one_of(
    _some("integer_value", 0, 1, -1, (1 << 63) - 1), _some("double_value", 0.5, 2.0)
)


@st.composite
def values(draw, kind):
    value = dict(draw(SCALARS))
    shape = draw(st.integers(0, 9)) if kind == "M" else 9
    if shape < 3:
        items = draw(st.lists(SCALARS, max_size=3))
        return {"array_value": {"values": items}}
    if shape < 5:
        inner = draw(st.dictionaries(st.sampled_from(["x", "y"]), SCALARS, max_size=2))
        return {"entity_value": {"properties": inner}}
    if draw(st.integers(0, 9)) == 0:
        value["exclude_from_indexes"] = True
    return value


@st.composite
def entities(draw):
    found = draw(keys())
    kind = found["path"][-1]["kind"]
    names = draw(st.sets(st.sampled_from(PROPERTIES), min_size=1))
    return {"key": found, "properties": {name: draw(values(kind)) for name in sorted(names)}}


def transforms():
    given = {
        "increment": NUMBERS,
        "maximum": NUMBERS,
        "minimum": NUMBERS,
        "append_missing_elements": st.lists(SCALARS, max_size=2).map(lambda v: {"values": v}),
        "remove_all_from_array": st.lists(SCALARS, max_size=2).map(lambda v: {"values": v}),
    }
    return st.sampled_from(sorted(given)).flatmap(
        lambda name: st.builds(
            lambda value, prop: {"property": prop, name: value},
            given[name],
            st.sampled_from([*PROPERTIES, "t"]),
        )
    )


@st.composite
def mutations(draw):
    operation = draw(st.sampled_from(["upsert", "upsert", "upsert", "insert", "update", "delete"]))
    if operation == "delete":
        return {"delete": draw(keys())}
    mutation = {operation: draw(entities())}
    extra = draw(st.integers(0, 9))
    if extra == 0:
        mutation["property_mask"] = {
            "paths": draw(st.lists(st.sampled_from(PROPERTIES), max_size=2))
        }
    elif extra == 1:
        mutation["property_transforms"] = draw(st.lists(transforms(), min_size=1, max_size=3))
    return mutation


def compare(name, op, value):
    return {"property_filter": {"property": {"name": name}, "op": op, "value": value}}


def _leaves(*, negative=True):
    ordered = [
        "EQUAL",
        "EQUAL",
        "LESS_THAN",
        "LESS_THAN_OR_EQUAL",
        "GREATER_THAN",
        "GREATER_THAN_OR_EQUAL",
    ]
    lists = st.lists(SCALARS, min_size=1, max_size=3).map(lambda v: {"array_value": {"values": v}})
    paths = st.sampled_from([*PROPERTIES, *PROPERTIES, "q.x"])
    own = OWN_KEYS.map(lambda key: {"key_value": key})
    positive = [
        st.builds(compare, paths, st.sampled_from(ordered), SCALARS),
        st.builds(compare, paths, st.sampled_from(ordered), SCALARS),
        st.builds(compare, paths, st.just("IN"), lists),
        st.builds(compare, st.just("__key__"), st.sampled_from(ordered), own),
    ]
    if not negative:
        return st.one_of(positive)
    return st.one_of(
        *positive,
        st.builds(compare, paths, st.just("NOT_EQUAL"), SCALARS),
        st.builds(compare, paths, st.just("NOT_IN"), lists),
        st.builds(compare, st.just("__key__"), st.just("NOT_EQUAL"), own),
    )


def _composed(op, found):
    return {"composite_filter": {"op": op, "filters": found}}


def _filters(leaves):
    composites = st.sampled_from(["AND", "AND", "OR"])
    return st.recursive(
        leaves,
        lambda inner: st.builds(_composed, composites, st.lists(inner, min_size=1, max_size=3)),
        max_leaves=4,
    )


FILTERS = _filters(_leaves())
# The emulator does not refuse what the service refuses of these where it aggregates.
POSITIVE_FILTERS = _filters(_leaves(negative=False))
ORDERS = st.lists(
    st.builds(
        lambda name, direction: {"property": {"name": name}, "direction": direction},
        st.sampled_from([*PROPERTIES, "__key__", "q.x"]),
        st.sampled_from(["ASCENDING", "DESCENDING"]),
    ),
    max_size=3,
)


def _named(found):
    return [{"property": {"name": name}} for name in found]


def repeats(query):
    """Return whether the emulator gives an entity with arrays once for each index entry."""
    projected = {one["property"]["name"] for one in query.get("projection", ())} - {"__key__"}
    return query.get("kind") != [{"name": "S"}] and not projected


def _comparisons(found):
    if "property_filter" in found:
        comparison = found["property_filter"]
        return [(comparison["property"]["name"], comparison["op"])]
    filters = found.get("composite_filter", {}).get("filters", ())
    return [one for part in filters for one in _comparisons(part)]


def _sorts_by_compared(query):
    """Return whether an array property with an equality is sorted by: wrongly, there."""
    comparisons = _comparisons(query.get("filter", {}))
    equal = {name for name, op in comparisons if op in {"EQUAL", "IN"}}
    others = {name for name, op in comparisons if op not in {"EQUAL", "IN"}}
    sorting = [*query.get("order", ()), *query.get("projection", ())]
    return equal & (others | {one["property"]["name"] for one in sorting})


@st.composite
def _projections(draw):
    shape = draw(st.integers(0, 9))
    if shape == 0:
        return {"projection": _named(["__key__"])}
    if shape > 3:
        return {}
    names = st.sampled_from([*PROPERTIES, "q.x"])
    found = {"projection": _named(draw(st.lists(names, max_size=2)))}
    if draw(st.booleans()):
        distinct = draw(st.lists(st.sampled_from(PROPERTIES), max_size=2))
        found["distinct_on"] = [{"name": name} for name in distinct]
    return found


@st.composite
def queries(draw, kinds=KINDS, filters=FILTERS):
    """Return the fields of a Query; the server may refuse it, and both must."""
    kind = draw(st.sampled_from([*kinds * 6, None]))
    query = {"kind": [{"name": kind}]} if kind else {}
    if draw(st.integers(0, 9)) < 7:
        query["filter"] = draw(filters)
    if draw(st.integers(0, 9)) == 0:
        # Not within an OR, where the emulator ignores or fails on it.
        ancestor = compare("__key__", "HAS_ANCESTOR", {"key_value": draw(OWN_KEYS)})
        query["filter"] = _composed("AND", [ancestor, *filter(None, [query.get("filter")])])
    if draw(st.booleans()):
        query["order"] = draw(ORDERS)
    if kind:
        # The emulator projects also where no kind is named, and no index could serve.
        query |= draw(_projections())
    if kind == "M" and _sorts_by_compared(query):
        query["kind"] = [{"name": "S"}]
    return query


def has_cursors(query):
    """Return whether the emulator accepts its own cursors: not if it sorts by more than the key."""
    unequal = {name for name, op in _comparisons(query.get("filter", {})) if op != "EQUAL"}
    ordered = {one["property"]["name"] for one in query.get("order", ())}
    projected = {one["property"]["name"] for one in query.get("projection", ())}
    return "__key__" not in ordered | unequal or not (ordered | unequal | projected) - {"__key__"}

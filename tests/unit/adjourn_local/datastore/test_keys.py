"""Datastore's encodings: bytes must sort as the service sorts values and keys."""

import math

from google.cloud.datastore_v1 import types
from hypothesis import given
from hypothesis import strategies as st

from adjourn_local.datastore import index_values, keys, masks
from adjourn_local.datastore.keys import Partition

Key = types.Key.pb()
Value = types.Value.pb()

# Few letters, so that prefixes, equal values and the escaped zero byte come up often.
_texts = st.text("ab\0\x01\x02é\U0001f600\uffff", max_size=4)
_names = _texts.filter(bool)
_integers = st.one_of(st.integers(-3, 3), st.integers(-(1 << 63), (1 << 63) - 1))
# Of the many NaNs only one is indexed: to a query they are all the same.
_doubles = st.one_of(
    st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan]), st.floats(allow_nan=False)
)
_elements = st.tuples(_names, st.one_of(_integers, _names))
_paths = st.lists(_elements, min_size=1, max_size=3)
_key_values = st.tuples(st.tuples(_texts, _texts, _texts), _paths)

_TYPES = ["null", "integer", "boolean", "text", "double", "point", "key"]
_values = st.one_of(
    st.just(("null", None)),
    st.tuples(st.just("integer"), _integers),
    st.tuples(st.just("boolean"), st.booleans()),
    st.tuples(st.just("text"), _texts.map(str.encode)),
    st.tuples(st.just("double"), _doubles),
    st.tuples(st.just("point"), st.tuples(st.floats(-90, 90), st.floats(-180, 180))),
    st.tuples(st.just("key"), _key_values),
)


def _fill_path(path, elements):
    for kind, identifier in elements:
        if isinstance(identifier, int):
            path.add(kind=kind, id=identifier)
        else:
            path.add(kind=kind, name=identifier)


def _key_message(item):
    (project, database, namespace), elements = item
    key = Key()
    keys.set_partition(key, Partition(project, database, namespace))
    _fill_path(key.path, elements)
    return key


def _message(tagged):
    tag, item = tagged
    value = Value()
    if tag == "null":
        value.null_value = 0
    elif tag == "integer":
        value.integer_value = item
    elif tag == "boolean":
        value.boolean_value = item
    elif tag == "text":
        value.string_value = item.decode()
    elif tag == "double":
        value.double_value = item
    elif tag == "point":
        value.geo_point_value.latitude, value.geo_point_value.longitude = item
    else:
        value.key_value.CopyFrom(_key_message(item))
    return value


def _path_order(elements):
    """Return what sorts as a path does: ids before names, text by its UTF-8 bytes."""
    return [
        (kind.encode(), 0, identifier, b"")
        if isinstance(identifier, int)
        else (kind.encode(), 1, 0, identifier.encode())
        for kind, identifier in elements
    ]


def _double_order(number):
    """Return what sorts as a double does: NaN last, minus zero before zero."""
    if math.isnan(number):
        return (1, 0.0, 0.0)
    return (0, number, math.copysign(1.0, number) if number == 0 else 0.0)


def _value_order(tagged):
    tag, item = tagged
    place = _TYPES.index(tag)
    if tag == "double":
        return (place, _double_order(item))
    if tag == "point":
        return (place, tuple(_double_order(number) for number in item))
    if tag == "key":
        return (place, ([part.encode() for part in item[0]], _path_order(item[1])))
    return (place, item if item is not None else 0)


@given(_values, _values)
def test_encoded_values_sort_as_the_values_do(left, right):
    encoded = index_values.encode(_message(left)), index_values.encode(_message(right))

    assert (encoded[0] < encoded[1]) == (_value_order(left) < _value_order(right))
    assert (encoded[0] == encoded[1]) == (_value_order(left) == _value_order(right))


@given(_values, _values)
def test_inverted_values_sort_the_other_way_round_whatever_follows(left, right):
    encoded = index_values.encode(_message(left)), index_values.encode(_message(right))

    if encoded[0] < encoded[1]:
        assert index_values.invert(encoded[0]) + b"\xff" > index_values.invert(encoded[1]) + b"\0"
        assert encoded[0] + b"\xff" < encoded[1] + b"\0"


@given(st.lists(_values, max_size=3))
def test_every_value_ends_where_it_was_written_to_end(items):
    encoded = [index_values.encode(_message(item)) for item in items]
    data = b"".join(encoded) + b"A\0\x01"

    at, found = 0, []
    for _ in items:
        end = index_values.end(data, at)
        found.append(data[at:end])
        at = end

    assert found == encoded


@given(_values)
def test_a_value_survives_encoding(tagged):
    message = _message(tagged)

    decoded = index_values.decode(index_values.encode(message))
    decoded.ClearField("meaning")

    assert decoded.SerializeToString() == message.SerializeToString()


@given(_integers.filter(lambda n: abs(n) < 1 << 50))
def test_a_timestamp_is_indexed_as_its_microseconds(number):
    moment, integer = Value(), Value(integer_value=number)
    moment.timestamp_value.seconds, rest = divmod(number, 1_000_000)
    moment.timestamp_value.nanos = rest * 1000 + 999

    assert index_values.encode(moment) == index_values.encode(integer)


def test_a_blob_and_a_string_of_the_same_bytes_are_one_index_value():
    assert index_values.encode(Value(blob_value=b"x")) == index_values.encode(
        Value(string_value="x")
    )


def test_a_blob_that_is_no_text_stays_a_blob_in_a_projection():
    decoded = index_values.decode(index_values.encode(Value(blob_value=b"\xff\0")))

    assert decoded.blob_value == b"\xff\0"


@given(_paths, _paths)
def test_encoded_paths_sort_as_keys_do_and_ancestors_are_prefixes(left, right):
    paths = Key().path, Key().path
    _fill_path(paths[0], left)
    _fill_path(paths[1], right)
    encoded = keys.encode_path(paths[0]), keys.encode_path(paths[1])

    assert (encoded[0] < encoded[1]) == (_path_order(left) < _path_order(right))
    is_ancestor = _path_order(right)[: len(left)] == _path_order(left)
    assert encoded[1].startswith(encoded[0]) == is_ancestor


@given(_paths)
def test_a_path_survives_encoding_and_names_its_ancestors(elements):
    key, decoded = Key(), Key()
    _fill_path(key.path, elements)
    encoded = keys.encode_path(key.path)

    keys.decode_path(encoded, decoded.path)

    assert decoded == key
    prefixes = []
    for size in range(1, len(elements) + 1):
        ancestor = Key()
        _fill_path(ancestor.path, elements[:size])
        prefixes.append(keys.encode_path(ancestor.path))
    assert keys.ancestor_paths(encoded) == prefixes


@given(st.lists(_names, min_size=1, max_size=3))
def test_a_property_path_survives_escaping(names):
    text = ".".join(name.replace("\\", "\\\\").replace(".", "\\.") for name in names)

    assert masks.parse_path(text) == tuple(names)


def test_an_escaped_dot_belongs_to_the_name():
    assert masks.parse_path(r"a\.b.c\\") == ("a.b", "c\\")

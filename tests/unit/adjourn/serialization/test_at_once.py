"""What is read or written at once is what a look at each value makes of it."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adjourn.errors import DecodeError
from adjourn.serialization import at_once
from adjourn.serialization.at_once import DoubtfulError, is_plain, plain_json
from adjourn.serialization.codec import MAX_DEPTH, Codec, from_json, to_json
from adjourn.serialization.envelope import Envelope
from tests.unit.adjourn.serialization.test_codec import CODEC, NAMES, VALUES, shape

SPACE = st.sampled_from(["", "", "", " ", "\n", "\t\r"])
# What could be taken for JSON around it, or hide what is wrong in it.
TRAPS = ["", ":", '":', '"', "\\", '\\":', " :", "[", "]", "{}", '"[', "$", "\ud800", "é", "a"]
SCALARS = st.sampled_from(["0", "-0", "1.5", "1e400", "9" * 310, "true", "null", "NaN", "[", "]x"])
KEYS = st.sampled_from(["a", "b", "$", "$tuple", "$set", "$int", "$:line", "$nothing", *TRAPS])


def text(value: str) -> st.SearchStrategy[str]:
    """Return the JSON of a text, with and without escapes."""
    return st.booleans().map(lambda escaped: json.dumps(value, ensure_ascii=escaped))


TEXTS = st.sampled_from(TRAPS).flatmap(text)


@st.composite
def objects(draw, inner):
    members = draw(st.lists(st.tuples(KEYS.flatmap(text), SPACE, SPACE, inner), max_size=3))
    return f"{{{','.join(f'{k}{before}:{after}{v}' for k, before, after, v in members)}}}"


BODIES = st.recursive(
    SCALARS | TEXTS,
    lambda inner: (
        objects(inner) | st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
    ),
    max_leaves=8,
)


def read(body):
    return at_once.read(body, CODEC._decode_content, int)


def result(call, body):
    try:
        return shape(call(body))
    except (DecodeError, DoubtfulError) as error:
        return type(error)


@given(BODIES)
@example('{"a":1,"a":2}')
@example('{"a":{"b":1,"b":1},"c":"\\":"}')
@example('{"a" :1,"a" :1,"c":"\\":\\":"}')
@example('{"\\u0024tuple":[1]}')
@example('{"a":{"$tuple":[]},"$tuple":[]}')
def test_what_is_read_at_once_is_what_a_closer_look_finds(text):
    body = text.encode("utf-8", "surrogatepass")

    found = result(read, body)

    assert found in {DoubtfulError, result(lambda body: CODEC.decode(from_json(body)), body)}


@given(VALUES)
def test_what_is_written_at_once_is_what_a_closer_look_writes(value):
    written = plain_json(value, to_json) if is_plain(value) else None

    assert written in {None, to_json(CODEC.encode(value))}


@given(VALUES, NAMES)
def test_large_values_come_back(value, name):
    large = [value, {name: value}, "a" * 1000, *range(40)]

    body = CODEC.dumps(large)

    assert body == to_json(CODEC.encode(large))
    assert shape(CODEC.loads(body)) == shape(large)


ARTICLES = [{"id": n, "name": "Straße", "tags": ["a", "b"], "price": 1.5} for n in range(100)]
ODD = {
    "tuple": (1, 2),
    "text": "\ud83d",
    "number": 1 << 1024,
    "nan": float("nan"),
    "names": {"$tuple": [1]},
    "numbers": {1: 2},
    "flag": True,
}


@pytest.mark.parametrize("odd", ODD)
def test_one_odd_value_among_many_plain_ones_comes_back(odd):
    value = {"articles": [*ARTICLES, ODD[odd]]}

    assert shape(CODEC.loads(CODEC.dumps(value))) == shape(value)


def test_deep_values_come_back():
    value = {"deep": [json.loads("[" * 50 + "]" * 50)] * 100}

    assert CODEC.loads(CODEC.dumps(value)) == value


SMALL = 500


class Looking(Codec):
    """Refuses to look at a single value."""

    def encode(self, value, path="value"):
        if isinstance(value, list | dict) and len(repr(value)) > SMALL:
            raise AssertionError(f"{path} is looked at")
        return super().encode(value, path)

    def decode(self, tree):
        if len(repr(tree)) > SMALL:
            raise AssertionError("what was read is looked at")
        return super().decode(tree)


def test_plain_values_are_not_looked_at_one_by_one():
    looking, envelope = Looking(), Envelope("a", "task", ENQUEUED, kwargs={"rows": ARTICLES})
    value = {"data": {"articles": ARTICLES}}

    assert looking.loads(looking.dumps(value)) == value
    assert Envelope.decode(envelope.encode(looking), looking) == envelope


def test_types_that_json_lacks_are_decoded_at_once():
    rows = [{"at": ENQUEUED, "id": n, "url": "https://example.com/"} for n in range(100)]

    assert read(CODEC.dumps(rows)) == rows


ENQUEUED = CODEC.loads(b'{"$datetime":"2026-01-02T00:00:00+00:00"}')


@pytest.mark.parametrize(
    "body",
    [
        '{"a":1,"b":{"c":1,"c":1}}',
        '{"a":1,"a" :1,"b":"\\":"}',
        '["]",' * 150 + "[" * (MAX_DEPTH - 100) + ",".join(['"["'] * 150),
        "[" * (MAX_DEPTH + 1) + '"' + "]" * (MAX_DEPTH + 1) + '"' + "]" * (MAX_DEPTH + 1),
        "[" * 1000 + "]" * 1000,
        '{"$nothing":1}',
        '{"$tuple":[1],"b":2}',
        '{"b":2,"$tuple":[1]}',
        '{"$tuple":{}}',
        "[NaN]",
        "[1e5,]",
        '"\t"',
        "[1] 2",
        "[" + "9" * 5000 + "]",
    ],
    ids=range(14),
)
def test_what_is_wrong_is_not_read_at_once(body):
    assert result(read, body.encode()) is DoubtfulError


def test_a_version_is_read_as_it_stands():
    head = '"id":"a","task":"t","enqueued_at":{"$datetime":"2026-01-02T00:00:00+00:00"}'
    padding = f'"kwargs":{{"text":"{"x" * 2000}"}}'

    for version in ('{"$int":"0x1"}', "1.0", "true"):
        with pytest.raises(DecodeError, match="has version"):
            Envelope.decode(f'{{"v":{version},{head},{padding}}}'.encode(), CODEC)


def test_unknown_fields_of_a_large_body_are_not_decoded():
    envelope = Envelope("a", "task", ENQUEUED, kwargs={"rows": ARTICLES})
    body = envelope.encode(CODEC)[:-1] + b',"newer":{"$newer":1}}'

    decoded = Envelope.decode(body, CODEC)

    assert decoded == envelope._replace(newer=b'{"newer":{"$newer":1}}')
    assert decoded.encode(CODEC) == body


def test_a_list_that_holds_itself_is_refused_soon():
    value: list[object] = []
    value += [value] * 40

    assert not is_plain(value)

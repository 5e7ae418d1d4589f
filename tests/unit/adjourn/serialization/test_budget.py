import datetime as dt
import itertools
import json
import sys
import time
import zlib
from dataclasses import dataclass

import pytest
from google.cloud.datastore import Key

from adjourn.errors import DecodeError, EncodeError
from adjourn.gcp.datastore_values import DATASTORE_VALUES
from adjourn.serialization.budget import OF_PAYLOAD, OF_TASK, check_hashes
from adjourn.serialization.codec import Codec, from_json
from adjourn.serialization.envelope import Envelope

HEAD = b'{"v":1,"id":"a","task":"t","enqueued_at":{"$datetime":"2026-01-01T00:00:00+00:00"},"args":'
PRIME = (1 << 61) - 1  # by which Python's hashes of numbers are reduced
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def body(args):
    whole = HEAD + args + b',"kwargs":{}}'
    return min(whole, zlib.compress(whole), key=len)


def call(*args):
    return Envelope(id="a", task="t", enqueued_at=NOW, args=args)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (b"[" + b"[]," * 20_000_000 + b"[]]", "has more than 12,582,912 bytes"),
        (b"[" + b"1," * 400_000 + b"1]", "400,000 values"),
        (b"[" + b'{"a":1},' * 400_000 + b"1]", "400,000 values"),
        (b'["' + b"a" * (12 << 20) + b'"]', "has more than 12,582,912 bytes"),
    ],
    ids=["lists", "numbers", "objects", "text"],
)
def test_a_small_body_that_holds_too_much_is_refused(args, text):
    hostile = body(args)
    assert len(hostile) < 100_000

    with pytest.raises(DecodeError, match=text):
        Envelope.decode(hostile, Codec())


def test_marks_inside_of_texts_are_no_values():
    text = ',[{"\\' * 500_000

    assert Envelope.decode(call(text).encode(Codec()), Codec()).args == (text,)


@pytest.mark.parametrize("end", [b"", b"\\", b'"'])
def test_texts_that_do_not_end_are_counted_in_one_pass(end):
    hostile = zlib.compress(HEAD + b'["' + b'\\",' * 4_000_000 + end)
    began = time.process_time()

    with pytest.raises(DecodeError):
        Envelope.decode(hostile, Codec())

    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "args",
    [
        b'[{"$set":[' + b",".join(b"%d" % (k * PRIME) for k in range(1, 5_000)) + b"]}]",
        b'[{"$frozenset":[' + b",".join(b"%d" % (k * PRIME) for k in range(1, 5_000)) + b"]}]",
        b'[{"$dict":[' + b",".join(b"[%d,1]" % (k * PRIME) for k in range(1, 5_000)) + b"]}]",
    ],
    ids=["set", "frozenset", "dict"],
)
def test_members_that_were_chosen_to_collide_are_refused(args):
    with pytest.raises(DecodeError, match="ValueError"):
        Envelope.decode(body(args), Codec())


def test_hashes_that_are_equal_by_chance_are_no_matter():
    check_hashes([k * PRIME for k in range(1, 30)])
    check_hashes(range(200_000))
    # Python has one hash for -1 and -2, and so for all of these.
    check_hashes(list(itertools.product((-1, -2), repeat=5)))
    for dimensions in range(1, 6):
        check_hashes(list(itertools.product(range(-2, 3), repeat=dimensions)))
        check_hashes([Order(each) for each in itertools.product((-1, -2, 3), repeat=2)])
    numbers = set(range(100_000))

    assert Envelope.decode(call(numbers).encode(Codec()), Codec()).args == (numbers,)


@dataclass(frozen=True)
class Order:
    number: object


@pytest.mark.parametrize(
    "alike",
    [
        {k * PRIME for k in range(1, 40)},
        frozenset((7, k * PRIME) for k in range(1, 40)),
        {k * PRIME: 1 for k in range(1, 40)},
        {Order(k * PRIME) for k in range(1, 6)},
        {Key("Order", 1 + k * PRIME, project="p") for k in range(5)},
    ],
    ids=["set", "frozenset", "dict", "dataclass", "key"],
)
def test_what_would_be_refused_for_its_hashes_is_refused_where_it_is_made(alike):
    codec = Codec(DATASTORE_VALUES)
    codec.register(Order, "order")

    with pytest.raises(EncodeError, match="have the same hash, and would be refused where"):
        codec.encode(alike)


def test_a_number_may_have_20_000_bits():
    largest = (1 << 20_000) - 1

    for number in (largest, -largest):
        assert Codec().decode(Codec().encode(number)) == number
    for number in (largest + 1, -largest - 1):
        with pytest.raises(EncodeError, match="an int may have 20,000 bits"):
            Codec().encode(number)
        with pytest.raises(DecodeError):
            Codec().decode({"$int": hex(number)})


@pytest.mark.parametrize("limit", [0, 5_000])
def test_the_digits_of_a_number_are_limited_where_python_does_not(limit):
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(limit)
    try:
        assert from_json(b"9" * 4300) == 10**4300 - 1
        with pytest.raises(DecodeError, match="more than 4,300 digits"):
            from_json(b"[" + b"9" * 4301 + b"]")
    finally:
        sys.set_int_max_str_digits(before)


@pytest.mark.parametrize("count", [399_980, 400_020])
@pytest.mark.parametrize("filling", [b'"', b"\\", b",[{$", b"x"])
def test_values_are_counted_exactly_whatever_the_texts_between_them(count, filling):
    text = json.dumps((filling * 3).decode()).encode()
    values = b",".join([b"1", text] * (count // 2 - 3))
    padding = json.dumps(',[{"$' * 20_000).encode()  # or the marks would not be looked at

    assert OF_TASK.holds(b"[" + padding + b"," + values + b"]") is (count < 400_000)


def test_markers_count_as_values_and_dollars_in_texts_do_not():
    marker, text = b'{"$d":1}', b'"x $ \\"$\\""'
    padding = json.dumps(',[{"$' * 100_000).encode()

    def holds(item, count):
        return OF_TASK.holds(b"[" + padding + b"," + b",".join([item] * count) + b"]")

    assert (holds(marker, 133_000), holds(marker, 134_000)) == (True, False)
    assert (holds(text, 399_000), holds(text, 401_000)) == (True, False)


def test_a_call_that_no_task_may_hold_is_told_from_one_that_fits():
    many = list(range(400_001))

    assert call([1, 2]).encode_within(Codec())[1]
    encoded, is_small = call(many).encode_within(Codec())
    assert not is_small
    assert Envelope.decode(encoded, Codec(), OF_PAYLOAD).args == (many,)


def test_a_call_that_nothing_may_hold_is_refused_where_it_is_made():
    with pytest.raises(EncodeError, match=r"has more than 4,000,000 values; store the data"):
        call([0] * 4_000_000).encode(Codec())


def test_the_limits_of_a_task_are_within_those_of_a_payload():
    assert OF_TASK.size < OF_PAYLOAD.size
    assert OF_TASK.values < OF_PAYLOAD.values

import datetime as dt
import subprocess
import sys
import time
import zlib

import pytest

from adjourn.errors import DecodeError, EncodeError
from adjourn.serialization.budget import OF_PAYLOAD, OF_TASK, check_hashes
from adjourn.serialization.codec import Codec
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
    check_hashes([k * PRIME for k in range(1, 100)])
    check_hashes(range(200_000))
    numbers = set(range(100_000))

    assert Envelope.decode(call(numbers).encode(Codec()), Codec()).args == (numbers,)


def test_a_call_that_no_task_may_hold_is_told_from_one_that_fits():
    many = list(range(400_001))

    assert call([1, 2]).encode_within(Codec())[1]
    encoded, is_small = call(many).encode_within(Codec())
    assert not is_small
    assert Envelope.decode(encoded, Codec(), OF_PAYLOAD).args == (many,)


def test_a_call_that_nothing_may_hold_is_refused_where_it_is_made():
    with pytest.raises(EncodeError, match=r"has more than 4,000,000 values; store the data"):
        call([0] * 4_000_000).encode(Codec())


WORST = f"""
import resource, sys, zlib
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
body = zlib.compress({HEAD!r} + sys.stdin.buffer.read() + b',"kwargs":{{}}}}')
before = resource.getrusage(resource.RUSAGE_SELF)
Envelope.decode(body, Codec())
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_maxrss - before.ru_maxrss, after.ru_utime - before.ru_utime)
"""


@pytest.mark.parametrize(
    "args",
    [
        b"[" + b",".join([b"[]"] * 199_000) + b"]",
        b"[" + b",".join([b'{"a":1}'] * 199_000) + b"]",
        b"[" + b",".join([b'{"$set":[]}'] * 133_000) + b"]",
        b"[" + b",".join([b'{"$decimal":"1E+9999"}'] * 199_000) + b"]",
        b'["' + "\N{GRINNING FACE}".encode() + b"a" * 12_000_000 + b'"]',
    ],
    ids=["lists", "objects", "sets", "decimals", "wide text"],
)
def test_the_worst_bodies_take_two_seconds_and_150_megabytes_at_most(args):
    done = subprocess.run(
        [sys.executable, "-c", WORST], input=args, capture_output=True, check=True, timeout=60
    )
    kilobytes, seconds = map(float, done.stdout.split())

    assert kilobytes / (1024 if sys.platform == "linux" else 1 << 20) <= 150
    assert seconds <= 2


def test_the_limits_of_a_task_are_within_those_of_a_payload():
    assert OF_TASK.size < OF_PAYLOAD.size
    assert OF_TASK.values < OF_PAYLOAD.values

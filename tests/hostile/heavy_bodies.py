"""Bodies that cost as much as they can, and what each of them costs.

    python -m bench.bodies

A body comes from a caller who is let in: at most a megabyte on its way, compressed or not. Each is
decoded by a process of its own.
"""

import json
import os
import resource
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from adjourn.errors import DecodeError
from adjourn.requests.gate import LONGEST_BODY
from adjourn.serialization.envelope import Envelope
from adjourn.serialization.verbatim import VERBATIM

# What a task may hold is a little more than this, and each kind of body has its own overhead.
_INFLATED = 12_400_000
_VALUES = 399_000
_PRIME = (1 << 61) - 1  # Python's numbers have the same hash if they differ by it
MOST_SECONDS = 10

Decode = Callable[[bytes], object]
Make = Callable[[], bytes]
Pattern = Callable[[int], str]

_NOW = '{"$datetime":"2026-01-01T00:00:00+00:00"}'
SET, FROZENSET, DICT, OBJECT = (
    '{{"$set":[{}]}}',
    '{{"$frozenset":[{}]}}',
    '{{"$dict":[{}]}}',
    "{{{}}}",
)


def envelope(args: str) -> bytes:
    """Return an envelope with arguments that are JSON already."""
    head = f'"v":1,"id":"a","task":"plain","enqueued_at":{_NOW}'
    return f'{{{head},"args":{args},"kwargs":{{}}}}'.encode()


def of(item: str, count: int, around: str = "[{}]") -> bytes:
    """Return an envelope whose one argument holds an item so many times."""
    return envelope(f"[{around.format(','.join([item] * count))}]")


def filled(item: str, weight: int) -> Make:
    """Return what makes an envelope with as many items as a task may hold, compressed.

    Args:
        item: JSON.
        weight: Values in it.
    """
    weight += item.count('"$')
    count = min(_INFLATED // (len(item) + 1), _VALUES // weight)
    return lambda: zlib.compress(of(item, count))


def numbered(pattern: Pattern, around: str, count: int) -> Make:
    """Return what makes an envelope with different items, as many as the limits allow.

    Args:
        pattern: Returns the JSON of an item.
        around: JSON around all of them.
        count: The most items.
    """

    def make() -> bytes:
        items, size = [], 0
        for n in range(count):
            items.append(pattern(n))
            size += len(items[-1]) + 1
            if size > _INFLATED:
                break
        return zlib.compress(envelope(f"[{around.format(','.join(items[:-1]))}]"))

    return make


def text(before: str, unit: str, after: str) -> Make:
    """Return what makes an envelope with one long argument."""
    count = (_INFLATED - len(before) - len(after) - 200) // len(unit)
    return lambda: zlib.compress(envelope(f"[{before}{unit * count}{after}]"))


def colliding(n: int) -> str:
    """Return a number whose hash all others have."""
    return str(5 + n * _PRIME)


def alike(of_each: int) -> Pattern:
    """Return a pattern of numbers of which so many have the same hash."""
    return lambda n: str(1 + n // of_each + n % of_each * _PRIME)


def order(of_each: int) -> Pattern:
    """Return a pattern of instances of a dataclass, likewise."""
    number = alike(of_each)
    return lambda n: f'{{"$:order":{{"number":{number(n)},"items":1}}}}'


def key(of_each: int) -> Pattern:
    """Return a pattern of keys of entities, likewise."""
    number = alike(of_each)
    return lambda n: f'{{"$key":["p",null,null,"a",{number(n)}]}}'


def pair(digits: int) -> str:
    """Return a set of a number of so many hexadecimal digits and of a decimal that has its hash."""
    number = int("f" * digits, 16)
    return SET.format(f'{{"$int":"{hex(number)}"}},{{"$decimal":"{number % _PRIME}"}}')


# Items, with the number of their values.
ITEMS = {
    "lists": ("[]", 2),
    "objects": ("{}", 2),
    "objects of one": ('{"a":1}', 2),
    "tuples": ('{"$tuple":[]}', 3),
    "sets": ('{"$set":[]}', 3),
    "sets of one": ('{"$set":[1]}', 3),
    "frozensets": ('{"$frozenset":[]}', 3),
    "dicts": ('{"$dict":[]}', 3),
    "dicts of one": ('{"$dict":[[1,1]]}', 5),
    "decimals": ('{"$decimal":"1"}', 2),
    "large decimals": ('{"$decimal":"1E+999999"}', 2),
    "uuids": ('{"$uuid":"12345678-1234-5678-1234-567812345678"}', 2),
    "dates": ('{"$date":"2026-01-01"}', 2),
    "times": (_NOW, 2),
    "times in a zone": (
        '{"$datetime":{"at":"2026-01-01T00:00:00","tzinfo":{"$zone":"Europe/Berlin"},"fold":1}}',
        5,
    ),
    "timedeltas": ('{"$timedelta":[1,2,3]}', 5),
    "zones": ('{"$zone":"Europe/Berlin"}', 2),
    "floats": ("1.5", 1),
    "numbers": ("1", 1),
    "numbers of 300 digits": ("9" * 300, 1),
    "numbers of 4,300 digits": ("9" * 4300, 1),
    "numbers in hexadecimal": ('{"$int":"0x' + "f" * 300 + '"}', 2),
    "texts": ('"ab"', 1),
    "escapes": ('"\\u00e9\\u00e9"', 1),
    "orders": ('{"$:order":{"number":1,"items":[]}}', 5),
    "members of an enum": ('{"$:colour":"RED"}', 2),
    "points": ('{"$point":[1.5,2.5]}', 4),
    "moments": ('{"$moment":{"at":' + _NOW + ',"nanosecond":0}}', 5),
    "keys": ('{"$key":["p",null,null,"a",5]}', 7),
    "keys of long paths": ('{"$key":["p",null,null' + ',"a",5' * 50 + "]}", 105),
    "entities": (
        '{"$entity":{"key":{"$key":["p",null,null,"a",5]},"exclude":[],"properties":{"a":1},"meanings":{}}}',
        18,
    ),
    "tuples 90 deep": ('{"$tuple":[' * 90 + "]}" * 90, 181),
}

BODIES: Mapping[str, Make] = {
    "64 MB of lists": lambda: zlib.compress(of("[]", 22_000_000)),
    "64 MB of one text": lambda: zlib.compress(envelope('["' + "x" * (64 << 20) + '"]')),
    "200 MB of zeros": lambda: zlib.compress(bytes(200 << 20)),
    "a bomb in a bomb": lambda: zlib.compress(zlib.compress(bytes(64 << 20))),
    "no zlib after all": lambda: b"\x78" + os.urandom(LONGEST_BODY - 1),
    "a megabyte of lists": lambda: of("[]", 130_000),
    **{name: filled(*item) for name, item in ITEMS.items()},
    "a text": text('"', "x", '"'),
    "a text with a wide character": text('"', "x", '\N{GRINNING FACE}"'),
    "a text of escapes": text('"', "\\n", '"'),
    "a decimal of many digits": text('{"$decimal":"', "9", '"}'),
    "a float of many digits": text("1.", "9", ""),
    "a number of many digits": text("", "9", ""),
    "a long number in hexadecimal": text('{"$int":"0x', "f", '"}'),
    "a long number beside a decimal of its hash": lambda: zlib.compress(
        envelope(f"[{pair(6_000_000)}]")
    ),
    "long numbers beside decimals of their hashes": lambda: zlib.compress(of(pair(60_000), 200)),
    "numbers beside decimals of their hashes": lambda: zlib.compress(of(pair(5_000), 2_400)),
    "small texts beyond the limit": lambda: zlib.compress(of('""', 4_100_000)),
    "texts beyond the limit": lambda: zlib.compress(of('"ab,c"', 1_700_000)),
    "sets of 4 keys with one hash": numbered(
        lambda n: SET.format(",".join(key(4)(4 * n + k) for k in range(4))), "[{}]", 10_900
    ),
    "members of a set with one hash": numbered(colliding, SET, 80_000),
    "members of a frozenset with one hash": numbered(colliding, FROZENSET, 80_000),
    "keys of a dict with one hash": numbered(lambda n: f"[{colliding(n)},1]", DICT, 70_000),
    "members of which 100 have one hash": numbered(alike(100), SET, 320_000),
    "members of which 15 have one hash": numbered(alike(15), SET, 320_000),
    "orders of which 100 have one hash": numbered(order(100), SET, 66_000),
    "orders of which 2 have one hash": numbered(order(2), SET, 66_000),
    "sets of 100 orders with one hash": numbered(
        lambda _: SET.format(",".join(map(order(100), range(100)))), "[{}]", 650
    ),
    "different keys in a set": numbered(key(1), SET, 49_000),
    "keys of which 3 have one hash": numbered(key(3), SET, 49_000),
    "keys of which 100 have one hash": numbered(key(100), SET, 49_000),
    "long keys with one hash": numbered(
        lambda n: '{"$key":["p",null,null' + ',"a",5' * 100 + f',"a",{colliding(n)}]}}', SET, 1_900
    ),
    "long tuples with one hash": numbered(
        lambda n: '{"$tuple":[' + "7," * 3900 + colliding(n) + "]}", SET, 100
    ),
    "long tuples of long numbers with one hash": numbered(
        lambda n: '{"$tuple":[' + f"{9**300}," * 400 + colliding(n) + "]}", SET, 100
    ),
    "names of an object": numbered(lambda n: f'"{n:x}":1', OBJECT, 370_000),
    "names of the envelope": lambda: zlib.compress(
        b'{"v":1,' + b",".join(b'"%x":[]' % n for n in range(190_000)) + b"}"
    ),
    "lists 100,000 deep": lambda: envelope("[" * 100_000 + "]" * 100_000),
    "lists 300,000 deep": lambda: envelope("[" * 300_000 + "]" * 300_000),
    "a deep version": lambda: b'{"v":' + b"[" * 900 + b"]" * 900 + b"}",
    "a long version": lambda: b'{"v":' + b"9" * 4000 + b"}",
}


def decoders() -> Mapping[str, Decode]:
    """Return what decodes a body: what a function does, and what reads dead letters does."""
    from tests.hostile.application import app  # noqa: PLC0415 - not for those who only make bodies

    codec = app._declared.codec
    return {
        "call": lambda body: Envelope.decode(body, codec),
        "verbatim": lambda body: Envelope.decode(body, VERBATIM),
    }


class Cost(NamedTuple):
    """What it took to decode a body.

    Attributes:
        seconds: CPU time.
        mb: The most memory at a time, beside what was there before.
        outcome: "decoded", or why it was refused.
    """

    seconds: float
    mb: float
    outcome: str


def measured(body: bytes, decode: Decode) -> Cost:
    """Decode a body in a process of its own, which has ten seconds for it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
            os.write(writer, json.dumps(_cost(body, decode)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        found = told.read()
    os.waitpid(pid, 0)
    return Cost(*json.loads(found)) if found else Cost(MOST_SECONDS, 0, "it did not end")


def _cost(body: bytes, decode: Decode) -> Cost:
    before = _resident_mb()
    began = time.process_time()
    try:
        decode(body)
        outcome = "decoded"
    except DecodeError as error:
        outcome = f"{error}"
    except BaseException as error:  # noqa: BLE001 - it is told
        outcome = f"FAULT: {error!r}"
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Cost(seconds, max(peak - before, 0.0), outcome[:70])


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def main(*names: str) -> None:
    """Write what some bodies cost as JSON, by the way in which they are decoded."""
    found = {}
    for name in names:
        body = BODIES[name]()
        found[name] = {way: measured(body, decode) for way, decode in decoders().items()}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Each Python at hand decodes the same bodies to the same values, and refuses the same ones."""

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import adjourn

DAYS = ["2026-01-02", "20260102", "2026-W01", "2026-W01-1", "2026W011", "2026-W53-7", "0001-W01-1"]
TIMES = ["01", "01:02", "0102", "24:00", "24:00:00", "01:02:03:04", "01:02:03.", "01:02:03.1234567"]
TIMES += ["01:02:03,4", "T01:02", "1:02", "23:59:60", "01:02:03.123456", "01:02:03"]
OFFSETS = ["", "Z", "z", "+00:00", "-00:00", "+01", "+0100", "+01:60", "+24:00", "+01:00:00.000001"]
CLOCKS = list(map("".join, itertools.product(TIMES, OFFSETS)))
BASE64 = [
    "YQ==",
    "YR==",
    "YQ",
    "YWJj",
    "YWJj=",
    "YWJj==",
    "YQ==YQ==",
    "=YQ=",
    "YQ==\n",
    "YWI=",
    "YWJ=",
]
TEXTS = {
    "date": DAYS,
    "time": CLOCKS,
    "datetime": [*DAYS, *("2026-12-31" + s + clock for s in "T " for clock in CLOCKS)],
    "bytes": BASE64,
    "str": BASE64,
    "int": ["0x1", "1", "0x_1", " 0x1", "\u0663", "0x" + "f" * 300],
    "float": ["nan", "inf", "-inf", "1e400", "1_0", "Infinity"],
    "decimal": ["1.20", "1_0", " 1", "\u0663", "sNaN1", "NaN01", "1E+5", "1e5", "1e999999999999"],
    "uuid": ["0" * 32, "0_" * 16, "{" + "0" * 32 + "}", "00000000-0000-0000-0000-00000000000a"],
}
TREES = [{f"${tag}": text} for tag, texts in TEXTS.items() for text in texts]
TREES += [
    {f"$:{name}": bits}
    for name in ("Strict", "Conform", "Eject", "Keep", "Ints")
    for bits in (*range(-9, 10), 1 << 40)
]

DECODE = """
import enum, json, sys
if sys.version_info < (3, 11):
    sys.exit("too old")
from adjourn.errors import DecodeError
from adjourn.serialization.codec import Codec
A = {"A": 1, "D": 8}
codec = Codec()
for flag in (
    enum.Flag("Strict", A),
    enum.Flag("Conform", A, boundary=enum.CONFORM),
    enum.Flag("Eject", A, boundary=enum.EJECT),
    enum.Flag("Keep", A, boundary=enum.KEEP),
    enum.IntFlag("Ints", A),
):
    codec.register(flag, flag.__name__)
def form(tree):
    try:
        return repr(codec.dumps(codec.loads(json.dumps(tree).encode())))
    except DecodeError:
        return "refused"
print(json.dumps([sys.version, [form(tree) for tree in json.load(sys.stdin)]]))
"""


def decoded(python):
    """Return the version of a Python and what it makes of the bodies; None if it is not usable."""
    done = subprocess.run(
        [python, "-c", DECODE],
        input=json.dumps(TREES),
        env={**os.environ, "PYTHONPATH": str(Path(adjourn.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return json.loads(done.stdout) if done.returncode == 0 else None


def test_each_python_decodes_the_same():
    version, ours = decoded(sys.executable)
    names = re.compile(r"python3(\.1[1-9])?")
    places = [path for folder in os.get_exec_path() for path in Path(folder).glob("python3*")]
    found = (decoded(path) for path in places if names.fullmatch(path.name))
    others = {found[0]: found[1] for found in found if found and found[0] != version}

    for other, theirs in others.items():
        differences = [each for each in zip(TREES, ours, theirs, strict=True) if each[1] != each[2]]
        assert not differences, f"{version} and {other}"
    if not others:
        pytest.skip("there is no other Python here")

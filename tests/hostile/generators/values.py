"""Random values of every kind: texts, numbers, JSON by its grammar, and what is nearly JSON."""

import json
import string
from random import Random
from typing import Any

PRIME = (1 << 61) - 1
TEXTS = (
    "",
    "a",
    "$",
    "$:order",
    "$set",
    "__proto__",
    "__class__",
    "__init__",
    "\x00",
    "\n",
    "\r\n\r\n",
    "\ud800",
    "\N{GRINNING FACE}",
    "\u202e",
    "null",
    "NaN",
    "-0",
    "1e999",
    "9" * 30,
    "../../etc/passwd",
    "os.system",
    "builtins.eval",
    "subprocess.Popen",
    "tests.hostile.application.never",
    "tests.hostile.application:app",
    "plain",
    "once",
    "fails",
    "restock",
    "Reprice",
    "tests.hostile.application.Reprice",
    "{{7*7}}",
    "${jndi:ldap://127.0.0.1/a}",
    "' OR 1=1 --",
    "<script>",
    "%s%s%n",
    "__reduce__",
    "a" * 500,
    "a" * 501,
    "\u00e9" * 600,
    "2026-01-01T00:00:00+00:00",
    "0001-01-01T00:00:00-23:59",
    "9999-12-31T23:59:59.999999+23:59",
    "Europe/Berlin",
    "/etc/localtime",
)
NUMBERS: tuple[Any, ...] = (
    0,
    -1,
    1,
    2,
    0.5,
    -0.0,
    1e308,
    5e-324,
    2**31,
    2**53,
    2**63 - 1,
    2**63,
    -(2**63),
    2**64,
    10**30,
    -(10**300),
    PRIME,
    True,
    False,
    None,
)
MARKERS = (
    "int",
    "float",
    "str",
    "bytes",
    "tuple",
    "set",
    "frozenset",
    "dict",
    "date",
    "time",
    "datetime",
    "timedelta",
    "timezone",
    "zone",
    "decimal",
    "uuid",
    "key",
    "entity",
    "point",
    "moment",
    ":order",
    ":colour",
    ":tests.hostile.application.never",
    "",
)


def text(random: Random) -> str:
    if random.random() < 0.7:
        return random.choice(TEXTS)
    letters = string.printable + "\x00\x7f\u00e9\u4e2d\U0001f600"
    return "".join(random.choices(letters, k=random.randrange(40)))


def scalar(random: Random) -> Any:
    return text(random) if random.random() < 0.5 else random.choice(NUMBERS)


def tree(random: Random, depth: int = 0) -> Any:
    """Return a value of JSON; some of it looks as the codec writes it."""
    chance = random.random() + depth * 0.12
    if chance > 0.75:
        return scalar(random)
    if chance > 0.5:
        return [tree(random, depth + 1) for _ in range(random.randrange(5))]
    if chance > 0.3:
        return {text(random): tree(random, depth + 1) for _ in range(random.randrange(4))}
    return {f"${random.choice(MARKERS)}": content(random, depth)}


def content(random: Random, depth: int) -> Any:
    """Return what may stand behind a marker."""
    choices = (
        lambda: tree(random, depth + 1),
        lambda: scalar(random),
        lambda: [scalar(random) for _ in range(random.randrange(8))],
        lambda: [[scalar(random), scalar(random)] for _ in range(random.randrange(4))],
        lambda: {"at": text(random), "tzinfo": scalar(random), "fold": random.choice((0, 1, 2))},
        lambda: {"number": scalar(random), "items": scalar(random)},
        lambda: ["p", None, None, text(random), scalar(random)],
        lambda: {"key": None, "exclude": [], "properties": {text(random): 1}, "meanings": {}},
        lambda: [random.randrange(9) * PRIME for _ in range(random.randrange(200))],
    )
    return random.choice(choices)()


def json_text(random: Random) -> bytes:
    """Return JSON, or what is nearly JSON."""
    whole = json.dumps(tree(random), ensure_ascii=random.random() < 0.5)
    data = whole.encode("utf-8", "surrogatepass")
    return damaged(random, data) if random.random() < 0.3 else data


def damaged(random: Random, data: bytes) -> bytes:
    """Return bytes of which some are changed, left out, doubled or put in."""
    changed = bytearray(data)
    for _ in range(random.randrange(1, 4)):
        place = random.randrange(len(changed) + 1)
        what = random.randrange(5)
        if what == 0 and changed:
            changed[place % len(changed)] = random.randrange(256)
        elif what == 1:
            del changed[place : place + random.randrange(1, 9)]
        elif what == 2:
            changed[place:place] = changed[place : place + random.randrange(1, 30)]
        elif what == 3:
            changed[place:place] = random.randbytes(random.randrange(1, 9))
        else:
            del changed[place:]
    return bytes(changed)

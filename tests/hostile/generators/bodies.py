"""Bodies: by the grammar of JSON, and good envelopes and steps of which something is changed."""

import json
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

from adjourn.ports.sealer import ENCRYPTED, SEALED, SIGNED
from tests.hostile.generators import values

NOW = {"$datetime": "2026-01-01T00:00:00+00:00"}
FIELDS = (
    "v",
    "id",
    "task",
    "enqueued_at",
    "args",
    "kwargs",
    "queue",
    "eta",
    "expires_at",
    "timeout",
    "max_retries",
    "min_backoff",
    "max_backoff",
    "once",
    "no_retry",
    "marker",
    "context",
    "resumed",
    "attempts",
    "executions",
    "unique",
    "stowed",
    "starts_at",
    "hops_at",
    "waiting_since",
)
STEP_FIELDS = ("v", "run", "shard", "step", "phase", "marker", "id", "task")


def grammar(random: Random) -> bytes:
    """Return what the grammar of JSON allows, or nearly."""
    return packed(random, values.json_text(random))


def noise(random: Random) -> bytes:
    return packed(random, random.randbytes(random.randrange(300)))


def envelope(random: Random) -> bytes:
    """Return a good call, of which some fields are changed, left out or added."""
    call: dict[str, Any] = {
        "v": 1,
        "id": f"hostile-{random.randrange(50)}",
        "task": random.choice(("plain", "once", "fails", "plain", values.text(random))),
        "enqueued_at": NOW,
        "args": [],
        "kwargs": {},
    }
    for _ in range(random.randrange(4)):
        name = random.choice(FIELDS)
        call[name] = plausible(random, name) if random.random() < 0.5 else values.tree(random)
    for _ in range(random.choice((0, 0, 0, 1))):
        call.pop(random.choice(FIELDS), None)
    return _written(random, call)


def step(random: Random) -> bytes:
    """Return a step of an iteration, of which some fields are changed."""
    told: dict[str, Any] = {"v": 1, "run": values.text(random), "step": random.randrange(3)}
    for _ in range(random.randrange(4)):
        told[random.choice(STEP_FIELDS)] = values.scalar(random)
    return _written(random, told)


def of_viur(random: Random) -> bytes:
    """Return what ViUR wrote for a call, or nearly."""
    command = random.choice(("rel", "unb", values.text(random)))
    call = [values.text(random), [values.tree(random)], {}, values.tree(random)]
    return _written(random, [command, call[: random.randrange(5)]])


def parameters(random: Random) -> bytes:
    """Return parameters of a callable task."""
    given = {"article": values.scalar(random), "amount": values.scalar(random)}
    if random.random() < 0.3:
        given[values.text(random)] = values.tree(random)
    return _written(random, given, packs=False)


def plausible(random: Random, name: str) -> Any:
    """Return a value that a field may have, or nearly."""
    moment = {"$datetime": random.choice(values.TEXTS[-5:-2])}
    span = {"$timedelta": [random.choice((0, 1, -1, 99999, 10**9)), 0, 0]}
    found: dict[str, Callable[[], Any]] = {
        "v": lambda: random.choice((0, 1, 2, 3, -1, 1.0, True)),
        "args": lambda: [values.tree(random) for _ in range(random.randrange(4))],
        "kwargs": lambda: {"amount": values.tree(random)},
        "once": lambda: True,
        "no_retry": lambda: True,
        "context": lambda: {"user": values.text(random), "traceparent": values.text(random)},
        "queue": lambda: random.choice(("default", "nowhere", "a" * 100, values.text(random))),
        "marker": lambda: random.choice(("m-1", "__m__", "a" * 500)),
        "unique": lambda: random.choice(("u-1", "__u__", "a" * 500)),
        "id": lambda: random.choice(("a", "__a__", "a" * 500, "a" * 501, "\u00e9")),
        "stowed": lambda: {
            "pieces": random.choice((0, 1, 34, 35, 10**9, -1)),
            "size": random.choice((0, 1, 10**12)),
            "sha256": random.choice(("", "0" * 64, "x")),
            "until": random.choice((0, 2**40, 2**62, 2**63)),
            "under": values.text(random),
        },
    }
    if name in {"resumed", "attempts", "executions", "max_retries"}:
        return random.choice((0, 1, 5, 2**31, 2**63 - 1, 2**63, -1))
    if name in found:
        return found[name]()
    return span if name in {"timeout", "min_backoff", "max_backoff"} else moment


def packed(random: Random, data: bytes) -> bytes:
    """Return bytes as they are, or compressed, or nearly."""
    chance = random.random()
    if chance < 0.05:
        return SEALED + random.choice((SIGNED, ENCRYPTED, b"x")) + random.randbytes(40) + data
    if chance < 0.6:
        return data
    squeezed = zlib.compress(data, random.randrange(10))
    return squeezed if chance < 0.9 else values.damaged(random, squeezed)


def _written(random: Random, tree: Any, *, packs: bool = True) -> bytes:
    data = json.dumps(tree).encode()
    if random.random() < 0.15:
        data = values.damaged(random, data)
    return packed(random, data) if packs else data

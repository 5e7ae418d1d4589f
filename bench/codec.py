"""The codec against plain json, which checks nothing and keeps fewer types.

    python bench/codec.py

The best of several rounds counts, as noise only adds.
"""

import datetime as dt
import json
import timeit
from collections.abc import Callable
from decimal import Decimal
from functools import partial

from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope

ROUNDS = 7
SECONDS = 0.1

CODEC = Codec()

ARTICLE = {"id": 4711, "name": "Straßenlaterne", "price": 19.9, "tags": ["a", "b"], "stock": None}
PLAIN = {
    "a typical call": {
        "order": 12345,
        "mail": "ann@example.com",
        "lines": [ARTICLE],
        "again": False,
    },
    "100 KB of objects": [ARTICLE | {"id": number} for number in range(1280)],
    "100 KB of numbers": list(range(10_000, 27_000)),
    "100 KB of text": ["Lorem ipsum " * 850] * 10,
}
TYPED = {
    "a typical call, typed": {
        "since": dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        "amount": Decimal("19.90"),
        "sizes": (1, 2, 3),
        "seen": {"a", "b"},
    },
    "100 KB, typed": [
        {"at": dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "amount": Decimal("19.90"), "pair": (n, n)}
        for n in range(820)
    ],
}
ENVELOPE = Envelope(
    id="0b5d6a1c9f3e4b7a",
    task="shop.send_receipt",
    args=(12345,),
    kwargs={"again": False},
    enqueued_at=dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
)


def to_json(value: object) -> bytes:
    """Encode as the codec does, but for its markers and checks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def microseconds(call: Callable[[], object]) -> float:
    """Return how long one call takes."""
    timer = timeit.Timer(call)
    count = max(1, int(SECONDS / timer.timeit(1)))
    return min(timer.repeat(ROUNDS, count)) / count * 1e6


def show(name: str, body: bytes, codec: tuple[float, float], plain: tuple[float, float]) -> None:
    """Print one line of the table, with how many times as long the codec takes."""
    times = "  ".join(
        f"{ours:9.1f} {theirs:9.1f} {ours / theirs:5.1f}x" if theirs else f"{ours:9.1f} {'':16}"
        for ours, theirs in zip(codec, plain, strict=True)
    )
    print(f"{name:22} {len(body):8,}  {times}")


def main() -> None:
    """Print the table."""
    columns = f"{'encode':>9} {'json':>9} {'':6}  {'decode':>9} {'json':>9}"
    print(f"{'microseconds':22} {'bytes':>8}  {columns}")
    for name, value in (PLAIN | TYPED).items():
        body = CODEC.dumps(value)
        ours = partial(CODEC.dumps, value), partial(CODEC.loads, body)
        plain = (0.0, 0.0)
        if name in PLAIN:
            plain = (
                microseconds(partial(to_json, value)),
                microseconds(partial(json.loads, body)),
            )
        show(name, body, (microseconds(ours[0]), microseconds(ours[1])), plain)
    body = ENVELOPE.encode(CODEC)
    encode, decode = partial(ENVELOPE.encode, CODEC), partial(Envelope.decode, body, CODEC)
    show("a small envelope", body, (microseconds(encode), microseconds(decode)), (0.0, 0.0))


if __name__ == "__main__":
    main()

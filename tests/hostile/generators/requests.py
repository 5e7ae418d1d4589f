"""Whole requests by classes of hostility, as bytes on a connection; the same for the same seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from tests.hostile.generators import bodies, heads, tokens, values

Headers = list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Target:
    """A function, and what an attacker knows of it.

    Attributes:
        name: Its short name.
        port: Where it listens.
        good: A token of its caller.
        others: Tokens of real accounts that open something else.
        person: A token of somebody who may start callable tasks; empty at other functions.
    """

    name: str
    port: int
    good: str
    others: Sequence[str]
    person: str = ""


@dataclass(frozen=True, kw_only=True)
class Attack:
    """What one request is made of.

    Attributes:
        random: The source of chance.
        target: Whom it is sent to.
        has_token: Whether it has a token that opens.
    """

    random: Random
    target: Target
    has_token: bool

    def credentials(self) -> Headers:
        if self.has_token:
            return [("Authorization", f"Bearer {self.target.good}")]
        if self.random.random() < 0.4:
            return []
        others = list(self.target.others)
        return list(tokens.forged(self.random, self.target.good, others).items())

    def body(self) -> bytes:
        """Return a body that might be one for this function."""
        return self.random.choice((bodies.envelope, bodies.step, bodies.grammar))(self.random)


def of_tokens(attack: Attack) -> bytes:
    """Return a request that is good but for its token, which is none or forged."""
    path = attack.random.choice(("/", "/hourly", "/list", "/execute/restock"))
    method = "GET" if path == "/list" else "POST"
    return whole(method, path, attack.credentials(), attack.body())


def of_headers(attack: Attack) -> bytes:
    more = heads.headers(attack.random)
    attack.random.shuffle(more)
    return whole("POST", "/", [*attack.credentials(), *more], attack.body())


def of_paths(attack: Attack) -> bytes:
    method = attack.random.choice(("GET", "POST"))
    return whole(method, heads.path(attack.random), attack.credentials(), attack.body())


def of_methods(attack: Attack) -> bytes:
    path = heads.path(attack.random) if attack.random.random() < 0.3 else "/"
    return whole(heads.method(attack.random), path, attack.credentials(), attack.body())


def of_grammar(attack: Attack) -> bytes:
    return whole("POST", "/", attack.credentials(), bodies.grammar(attack.random))


def of_noise(attack: Attack) -> bytes:
    return whole("POST", "/", attack.credentials(), bodies.noise(attack.random))


def of_envelopes(attack: Attack) -> bytes:
    kinds = [bodies.envelope, bodies.envelope, bodies.step, bodies.of_viur]
    if attack.target.name == "queryiter":
        kinds = [bodies.step, bodies.step, bodies.envelope]
    random, path = attack.random, "/hourly" if attack.target.name == "cron" else "/"
    counts = [
        (f"X-CloudTasks-Task{name}Count", str(random.choice((0, 0, 1, 18, 19, 20, 99))))
        for name in ("Retry", "Execution")
    ]
    names = [("X-CloudTasks-QueueName", "default"), ("X-CloudTasks-TaskName", values.text(random))]
    told = [*counts, *((name, _latin(text)) for name, text in names)]
    return whole("POST", path, [*attack.credentials(), *told], random.choice(kinds)(random))


def of_people(attack: Attack) -> bytes:
    """Return a request of a person, who may do it if there is a token."""
    random = attack.random
    key = random.choice(("restock", "restock", "nothing", values.text(random)))
    who = [("Authorization", f"Bearer {attack.target.person or attack.target.good}")]
    kind = random.choice(("application/json", "application/json", *heads.VALUES[21:26]))
    said = [*(who if attack.has_token else attack.credentials()), ("Content-Type", kind)]
    path = random.choice((f"/execute/{_latin(key)}", "/list"))
    method = random.choice(("POST", "GET", heads.method(random)))
    return whole(method, path, said, bodies.parameters(random))


def of_framing(attack: Attack) -> bytes:
    """Return a request whose body is not where its head says."""
    random, body = attack.random, attack.body()
    size = len(body)
    said = "".join(f"{name}: {value}\r\n" for name, value in attack.credentials())
    top = f"POST / HTTP/1.1\r\nHost: x\r\n{said}".encode("latin-1", "replace")
    length = random.choice(
        (size, size - 1, size + 1, size + 9999, 10**9, 2**63, 2**64, -1, 0, "x", "1 1", "+1", "0x1")
    )
    counted = b"Content-Length: %b\r\n" % str(length).encode()
    chunked = b"Transfer-Encoding: chunked\r\n"
    coding = random.choice((b"chunked, chunked", b"gzip", b"identity", b"x", b"chunked;q=1", b""))
    coded = b"Transfer-Encoding: %b\r\n" % coding
    shape = random.choice(_SHAPES)
    return shape(random, top, body, counted, chunked, coded)


def _chunks(random: Random, body: bytes) -> bytes:
    """Return a body in chunks, or nearly."""
    size = random.choice((b"%x", b"%X", b"0%x", b"%x;a=b", b"%x ; a", b"-%x", b"0x%x", b"%x\t"))
    end = random.choice(
        (b"0\r\n\r\n", b"0\r\n", b"", b"0\r\nX: y\r\n\r\n", b"0\n\n", b"00\r\n\r\n")
    )
    middle = len(body) // 2
    parts = [part for part in (body[:middle], body[middle:]) if part]
    joined = b"".join(size % len(part) + b"\r\n" + part + b"\r\n" for part in parts)
    return values.damaged(random, joined + end) if random.random() < 0.2 else joined + end


Shape = Callable[[Random, bytes, bytes, bytes, bytes, bytes], bytes]
_SHAPES: tuple[Shape, ...] = (
    lambda _, top, body, counted, *__: top + counted + b"\r\n" + body,
    lambda _, top, body, counted, *__: top + counted + counted + b"\r\n" + body,
    lambda _, top, body, *__: top + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + body,
    lambda random, top, body, _, chunked, __: top + chunked + b"\r\n" + _chunks(random, body),
    lambda random, top, body, counted, chunked, _: (
        top + counted + chunked + b"\r\n" + _chunks(random, body)
    ),
    lambda random, top, body, _, __, coded: top + coded + b"\r\n" + _chunks(random, body),
    lambda _, top, body, *__: top + b"\r\n" + body,
    lambda _, top, body, counted, *__: (top + counted + b"\r\n" + body).replace(b"\r\n", b"\n"),
    lambda _, top, body, counted, *__: (top + counted + b"\r\n" + body) * 3,
    lambda random, top, body, counted, *_: values.damaged(random, top + counted + b"\r\n" + body),
    lambda _, top, body, counted, *__: (
        top.replace(b"HTTP/1.1", b"HTTP/1.0") + counted + b"\r\n" + body
    ),
    lambda _, top, __, counted, *___: top.replace(b"HTTP/1.1", b"HTTP/9.9") + counted + b"\r\n",
    lambda _, top, body, counted, *__: top.replace(b" HTTP/1.1", b"") + counted + b"\r\n" + body,
    lambda *_: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(30),
    lambda *_: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    lambda _, top, *__: b"\r\n\r\n\r\n" + top + b"\r\n",
    lambda _, top, body, counted, *__: top + b" folded: x\r\n" + counted + b"\r\n" + body,
    lambda _, top, body, counted, *__: top + b"Expect: 100-continue\r\n" + counted + b"\r\n" + body,
    lambda random, *_: random.randbytes(random.randrange(1, 400)),
    lambda _, top, *__: top,
)


def whole(method: str, path: str, headers: Headers, body: bytes) -> bytes:
    """Return a request with a body of the announced length."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    top = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
    )
    return top.encode("latin-1", "replace") + body


def _latin(text: str) -> str:
    found = text.encode("utf-8", "replace").decode("latin-1")
    return "".join(each for each in found if each not in "\r\n\x00 ")[:600]


KINDS: dict[str, Callable[[Attack], bytes]] = {
    "tokens": of_tokens,
    "headers": of_headers,
    "paths": of_paths,
    "methods": of_methods,
    "framing": of_framing,
    "grammar": of_grammar,
    "noise": of_noise,
    "envelopes": of_envelopes,
    "people": of_people,
}

"""Tokens that must not open anything."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from random import Random
from typing import Any

from tests.hostile.generators import values

REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"


def forged(random: Random, good: str, others: list[str]) -> dict[str, str]:
    """Return headers with what looks like a token.

    Args:
        random: The source of chance.
        good: A token that would open it.
        others: Tokens of real accounts that open something else.
    """
    while _is_same(token := random.choice(_FORGERIES)(random, good, others), good):
        pass
    scheme = random.choice(("Bearer", "bearer", "BEARER ", "Basic", "", "Bearer,", "Digest"))
    name = random.choice(("Authorization", "Authorization", "X-Serverless-Authorization"))
    if random.random() < 0.7:
        scheme = "Bearer"
    headers = {name: f"{scheme} {token}"}
    if random.random() < 0.1:  # two at a time, of which one would do
        headers |= {
            "Authorization": f"Bearer {good}",
            "X-Serverless-Authorization": f"Bearer {random.choice((good, token))}",
        }
    return headers


def _is_same(token: str, good: str) -> bool:
    """Whether a token is the good one; the last letter of its signature has bits to spare."""
    return token[:-1] == good[:-1]


def _changed_claims(random: Random, good: str, _: list[str]) -> str:
    header, claims, signature = good.split(".")
    told = _read(claims)
    name = random.choice(("aud", "email", "email_verified", "exp", "iat", "iss", "sub", "hd"))
    told[name] = values.tree(random)
    if told == _read(claims):
        told["nonce"] = 1
    return f"{header}.{_part(told)}.{signature}"


def _changed_header(random: Random, good: str, _: list[str]) -> str:
    header, claims, signature = good.split(".")
    told = _read(header)
    name = random.choice(("alg", "kid", "typ", "crit", "jwk", "x5u", "b64"))
    told[name] = random.choice(("none", "HS256", "RS512", "ES256", values.tree(random)))
    return f"{_part(told)}.{claims}.{random.choice((signature, '', 'AAAA', REMOVED))}"


def _mac(_: Random, good: str, __: list[str]) -> str:
    header, claims, _signature = good.split(".")
    told = _part({**_read(header), "alg": "HS256"})
    mac = hmac.new(b"secret", f"{told}.{claims}".encode(), hashlib.sha256).digest()
    return f"{told}.{claims}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def _damaged(random: Random, good: str, _: list[str]) -> str:
    return _printable(values.damaged(random, good.encode()).decode("latin-1"))


def _cut(random: Random, good: str, _: list[str]) -> str:
    return good[: random.randrange(len(good) - 1)]


def _unsigned(random: Random, good: str, _: list[str]) -> str:
    return f"{good.rpartition('.')[0]}.{random.choice((REMOVED, '', 'A', REMOVED.lower()))}"


def _other(random: Random, _: str, others: list[str]) -> str:
    return random.choice(others)


def _noise(random: Random, _: str, __: list[str]) -> str:
    parts = (values.json_text(random) for _ in range(random.randrange(5)))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def _text(random: Random, _: str, __: list[str]) -> str:
    return _printable(values.text(random))


_FORGERIES = (
    _changed_claims,
    _changed_header,
    _mac,
    _damaged,
    _cut,
    _unsigned,
    _other,
    _noise,
    _text,
)


def _read(part: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return told


def _part(told: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")


def _printable(text: str) -> str:
    return "".join(each for each in text if " " < each < "\x7f")

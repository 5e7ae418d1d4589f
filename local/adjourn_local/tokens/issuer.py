"""Sign identity tokens as Google does, and publish the keys that verify them.

The functions verify every caller on a laptop as in the cloud; only the URL of the keys differs. So
the issuer makes real signatures and publishes what www.googleapis.com and accounts.google.com
publish.
"""

import asyncio
import base64
import datetime as dt
import hashlib
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from adjourn_local.timing.clocks import StackClock

ISSUER = "https://accounts.google.com"
CERTS_PATH = "/oauth2/v1/certs"
JWKS_PATH = "/oauth2/v3/certs"
DISCOVERY_PATH = "/.well-known/openid-configuration"

_LIFETIME = dt.timedelta(hours=1)
_KEPT_TOKENS = 1024
# A token that a retired key signed is valid for an hour, and the clocks of verifiers differ.
_PUBLISHED_AFTER_ROTATION = dt.timedelta(hours=2)
_CERTIFICATE_LIFETIME = dt.timedelta(days=3650)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    id: str
    private: rsa.RSAPrivateKey
    certificate: str
    jwk: Mapping[str, str]
    retired_at: dt.datetime | None = None


class TokenIssuer:
    """Issues identity tokens for any account, as Google's token service does for real ones.

    Each attempt needs a token, and signing one takes a quarter of a millisecond or more, so threads
    do it beside the event loop that all servers share. Tokens hold times in whole seconds and their
    signatures are deterministic, so all tokens of one second for the same account and audience are
    equal and are signed once.

    Use it on the thread of the servers' event loop only.
    """

    def __init__(self, clock: StackClock, *, max_age: dt.timedelta = dt.timedelta(hours=1)) -> None:
        """Generate the first key.

        Args:
            clock: Gives the times in the tokens.
            max_age: How long verifiers may cache the published keys.
        """
        self._clock = clock
        self._max_age = max_age
        self._keys = [_new_key(clock.now())]
        self._signers = ThreadPoolExecutor(os.cpu_count(), "adjourn-sign")
        self._signed = lru_cache(_KEPT_TOKENS)(self._begin)

    def mint(self, email: str, audience: str) -> str:
        """Return an identity token of the account `email` for `audience`."""
        return self._signed(email, audience, int(self._clock.now().timestamp())).result()

    async def token(self, email: str, audience: str) -> str:
        """Return what `mint` returns, without holding up the event loop."""
        signed = self._signed(email, audience, int(self._clock.now().timestamp()))
        return signed.result() if signed.done() else await asyncio.wrap_future(signed)

    def rotate(self) -> None:
        """Sign with a new key from now on; tokens that older keys signed can still be verified."""
        now = self._clock.now()
        *older, current = self._published()
        self._keys = [*older, replace(current, retired_at=now), _new_key(now)]
        self._signed.cache_clear()

    def routes(self) -> list[web.RouteDef]:
        """Return the endpoints of the keys (certificates and JWKS) and the discovery document."""
        return [
            web.get(CERTS_PATH, self._document(self._certificates)),
            web.get(JWKS_PATH, self._document(self._jwks)),
            web.get(DISCOVERY_PATH, self._document(_discovery)),
        ]

    def _begin(self, email: str, audience: str, second: int) -> Future[str]:
        return self._signers.submit(_sign, self._keys[-1], _claims(email, audience, second))

    def _published(self) -> list[_Key]:
        oldest = self._clock.now() - _PUBLISHED_AFTER_ROTATION
        return [k for k in self._keys if k.retired_at is None or k.retired_at > oldest]

    def _certificates(self, _: web.Request) -> object:
        return {key.id: key.certificate for key in self._published()}

    def _jwks(self, _: web.Request) -> object:
        return {"keys": [key.jwk for key in self._published()]}

    def _document(
        self, document: Callable[[web.Request], object]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        seconds = int(self._max_age.total_seconds())
        headers = {"Cache-Control": f"public, max-age={seconds}, must-revalidate, no-transform"}

        async def serve(request: web.Request) -> web.StreamResponse:
            return web.json_response(document(request), headers=headers)

        return serve


def _discovery(request: web.Request) -> object:
    return {
        "issuer": ISSUER,
        "jwks_uri": str(request.url.origin().with_path(JWKS_PATH)),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "email"],
        "claims_supported": ["aud", "azp", "email", "email_verified", "exp", "iat", "iss", "sub"],
    }


def _claims(email: str, audience: str, issued: int) -> Mapping[str, object]:
    subject = _subject(email)
    domain = email.partition("@")[2]
    # "hd" is the organisation of an account; service accounts and Gmail accounts have none.
    is_member = not domain.endswith(("gserviceaccount.com", "gmail.com"))
    return {
        **({"hd": domain} if is_member else {}),
        "aud": audience,
        "azp": subject,
        "email": email,
        "email_verified": True,
        "exp": issued + int(_LIFETIME.total_seconds()),
        "iat": issued,
        "iss": ISSUER,
        "sub": subject,
    }


def _subject(email: str) -> str:
    """Return the account's id: 21 digits as Google's, always the same for an account."""
    digest = int.from_bytes(hashlib.sha256(email.encode()).digest())
    return str(10**20 + digest % 10**20)


def _sign(key: _Key, claims: Mapping[str, object]) -> str:
    header = {"alg": "RS256", "kid": key.id, "typ": "JWT"}
    signed = f"{_base64(_json(header))}.{_base64(_json(claims))}"
    signature = key.private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{_base64(signature)}"


def _new_key(now: dt.datetime) -> _Key:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = private.public_key()
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    key_id = hashlib.sha256(der).hexdigest()[:40]
    numbers = public.public_numbers()
    return _Key(
        id=key_id,
        private=private,
        certificate=_certificate(private, now),
        jwk={
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "kid": key_id,
            "n": _base64(numbers.n.to_bytes(256)),
            "e": _base64(numbers.e.to_bytes(3)),
        },
    )


def _certificate(private: rsa.RSAPrivateKey, now: dt.datetime) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "adjourn laptop stack")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + _CERTIFICATE_LIFETIME)
        .sign(private, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

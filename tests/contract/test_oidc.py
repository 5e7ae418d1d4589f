"""The verifier against the issuer over real sockets, and against everything forged or broken."""

import base64
import concurrent.futures
import datetime as dt
import hashlib
import hmac
import json
import pathlib
import subprocess
import sys
import threading

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

import adjourn
from adjourn.errors import (
    ConfigurationError,
    ForbiddenError,
    KeysUnavailableError,
    UnauthenticatedError,
)
from adjourn.gcp import oidc
from adjourn.gcp.limited_fetch import fetched
from adjourn.gcp.oidc import OidcVerifier
from adjourn.requests.auth import CallerPolicy, bearer_token
from adjourn_local.timing.clocks import ManualClock
from adjourn_local.tokens.issuer import CERTS_PATH, TokenIssuer
from tests.support import serving_http, serving_others

EMAIL = "deferred@p.iam.gserviceaccount.com"
AUDIENCE = "http://127.0.0.1:8080/"
MINUTE = 60
HOUR = 3600


class CountedFetch:
    """The real fetch, counted, and unplugged on demand."""

    def __init__(self):
        self.count = 0
        self.is_unplugged = False

    def __call__(self, url):
        self.count += 1
        if self.is_unplugged:
            raise ConnectionRefusedError(111, "Connection refused")
        return fetched(url, 5)


@pytest.fixture
def clock():
    return ManualClock(dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC))


@pytest.fixture
def issuer(clock):
    return TokenIssuer(clock)


@pytest.fixture
def keys_url(loop, issuer):
    with serving_http(loop, issuer.routes()) as url:
        yield url + CERTS_PATH


@pytest.fixture
def fetch():
    return CountedFetch()


@pytest.fixture
def verifier(keys_url, clock, fetch):
    return OidcVerifier(keys_url, now=clock.now, fetch=fetch)


@pytest.fixture
def token(issuer):
    return issuer.mint(EMAIL, AUDIENCE)


@pytest.fixture(scope="module")
def stranger():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def encoded(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(part):
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def signed(header, claims, key):
    text = f"{encoded(header)}.{encoded(claims)}"
    return f"{text}.{encoded(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def header_and_claims(token):
    header, claims, _ = token.split(".")
    return decoded(header), decoded(claims)


def test_the_issuers_token_passes_from_header_to_caller(verifier, token, clock):
    policy = CallerPolicy(audiences=frozenset({AUDIENCE}), emails=frozenset({EMAIL}))

    claims = verifier.verify(bearer_token([f"Bearer {token}"]))

    assert policy.check(claims, clock.now()) == EMAIL


def test_google_certificates_url_is_the_default():
    assert OidcVerifier()._keys._url == "https://www.googleapis.com/oauth2/v1/certs"


def test_an_expired_token_still_has_a_good_signature_and_is_left_to_the_policy(
    verifier, token, clock
):
    policy = CallerPolicy(audiences=frozenset({AUDIENCE}), emails=frozenset({EMAIL}))

    clock.advance(HOUR + 10)

    with pytest.raises(UnauthenticatedError, match="expired"):
        policy.check(verifier.verify(token), clock.now())


def test_a_token_of_another_account_is_verified_and_then_forbidden(verifier, issuer, clock):
    policy = CallerPolicy(audiences=frozenset({AUDIENCE}), emails=frozenset({EMAIL}))

    claims = verifier.verify(issuer.mint("mallory@evil.example", AUDIENCE))

    with pytest.raises(ForbiddenError, match="caller not on the list"):
        policy.check(claims, clock.now())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"alg": "none"}, "wrong algorithm"),
        ({"alg": "None"}, "wrong algorithm"),
        ({"alg": "HS256"}, "wrong algorithm"),
        ({"alg": "RS512"}, "wrong algorithm"),
        ({"alg": "PS256"}, "wrong algorithm"),
        ({"alg": "ES256"}, "wrong algorithm"),
        ({"alg": "rs256"}, "wrong algorithm"),
        ({"alg": ["RS256"]}, "wrong algorithm"),
        ({"alg": None}, "wrong algorithm"),
        ({"crit": ["exp"]}, "critical header"),
        ({"crit": []}, "critical header"),
        ({"kid": None}, "key id missing"),
        ({"kid": ""}, "key id missing"),
        ({"kid": 7}, "key id missing"),
        ({"kid": ["a"]}, "key id missing"),
        ({"kid": "../../etc/passwd"}, "unknown key"),
        ({"x5u": "http://evil.example", "jwk": {}}, "bad signature"),
    ],
)
def test_a_header_that_google_would_not_send_is_refused(verifier, token, changes, reason):
    header, claims = header_and_claims(token)
    _, _, signature = token.split(".")

    with pytest.raises(UnauthenticatedError, match=f"^{reason}$"):
        verifier.verify(f"{encoded({**header, **changes})}.{encoded(claims)}.{signature}")


def test_an_unsigned_token_is_refused(verifier, token):
    header, claims = header_and_claims(token)

    with pytest.raises(UnauthenticatedError, match="wrong algorithm"):
        verifier.verify(f"{encoded({**header, 'alg': 'none'})}.{encoded(claims)}.")
    with pytest.raises(UnauthenticatedError, match="bad signature"):
        verifier.verify(f"{encoded(header)}.{encoded(claims)}.")


def test_a_removed_signature_counts_only_where_the_platform_checks(
    verifier, keys_url, token, fetch
):
    trusting = OidcVerifier(keys_url, fetch=fetch, platform_checks=True)
    removed = token.rpartition(".")[0] + ".SIGNATURE_REMOVED_BY_GOOGLE"

    assert trusting.verify(removed)["email"] == EMAIL
    assert fetch.count == 0
    with pytest.raises(UnauthenticatedError, match="signature removed"):
        verifier.verify(removed)
    for other in (removed[:-1] + "F", removed.lower(), removed + "A", removed + ".AAAA"):
        with pytest.raises(UnauthenticatedError):
            trusting.verify(other)


def test_the_public_key_is_not_taken_for_a_shared_secret(verifier, token, keys_url):
    header, claims = header_and_claims(token)
    pem = json.loads(fetched(keys_url, 5)[2])[header["kid"]].encode()
    public = x509.load_pem_x509_certificate(pem).public_key()
    spki = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    for secret in (pem, spki):
        for alg in ("HS256", "RS256"):
            text = f"{encoded({**header, 'alg': alg})}.{encoded(claims)}"
            mac = hmac.new(secret, text.encode(), hashlib.sha256).digest()
            with pytest.raises(UnauthenticatedError):
                verifier.verify(f"{text}.{encoded(mac)}")


def test_a_token_signed_with_another_key_under_a_known_id_is_refused(verifier, token, stranger):
    with pytest.raises(UnauthenticatedError, match="bad signature"):
        verifier.verify(signed(*header_and_claims(token), stranger))


def test_a_token_signed_with_another_issuers_key_is_refused(verifier, clock):
    foreign = TokenIssuer(clock).mint(EMAIL, AUDIENCE)

    with pytest.raises(UnauthenticatedError, match="unknown key"):
        verifier.verify(foreign)


def test_changed_claims_are_refused(verifier, token):
    header, claims, signature = token.split(".")
    changed = encoded({**decoded(claims), "email": "mallory@evil.example"})

    with pytest.raises(UnauthenticatedError, match="bad signature"):
        verifier.verify(f"{header}.{changed}.{signature}")


def test_every_truncation_is_refused(verifier, token):
    for length in range(0, len(token), 7):
        with pytest.raises(UnauthenticatedError):
            verifier.verify(token[:length])


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "....",
        "\N{SNOWMAN}.b.c",
        "\ud800.b.c",
        f"{encoded(b'[]')}.e30.AAAA",
        f"{encoded(b'5')}.e30.AAAA",
        f"{encoded(b'{')}.e30.AAAA",
        f"{encoded(bytes([0xFF, 0xFE]))}.e30.AAAA",
        f"{encoded(b'[' * 5000)}.e30.AAAA",
        "e30.e30." + "A" * 9000,
    ],
)
def test_what_is_no_token_is_refused(verifier, fetch, text):
    with pytest.raises(UnauthenticatedError):
        verifier.verify(text)
    assert fetch.count == 0


@pytest.mark.parametrize("change", ["{0}\n", " {0}", "{0}=", "{0}%", "{0}.", "{0}+"])
def test_a_token_has_one_spelling(verifier, token, change):
    with pytest.raises(UnauthenticatedError, match="malformed token"):
        verifier.verify(change.format(token))


@pytest.mark.parametrize("payload", [b"[]", b"null", b'"x"', b"{", b"[" * 5000])
def test_a_signed_payload_that_is_no_object_is_refused(verifier, issuer, token, payload):
    header, _ = header_and_claims(token)

    with pytest.raises(UnauthenticatedError, match="malformed token"):
        verifier.verify(signed(header, payload, issuer._keys[-1].private))


def test_keys_are_fetched_when_the_first_token_comes_and_then_kept(verifier, token, fetch, clock):
    assert fetch.count == 0

    for _ in range(3):
        verifier.verify(token)
        clock.advance(19 * MINUTE)

    assert fetch.count == 1


def test_keys_are_fetched_again_after_their_max_age(loop, clock, fetch):
    issuer = TokenIssuer(clock, max_age=dt.timedelta(minutes=10))
    with serving_http(loop, issuer.routes()) as url:
        verifier = OidcVerifier(url + CERTS_PATH, now=clock.now, fetch=fetch)
        verifier.verify(issuer.mint(EMAIL, AUDIENCE))
        clock.advance(10 * MINUTE - 1)
        verifier.verify(issuer.mint(EMAIL, AUDIENCE))
        assert fetch.count == 1

        clock.advance(1)
        verifier.verify(issuer.mint(EMAIL, AUDIENCE))
        assert fetch.count == 2


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, HOUR),
        ({"Cache-Control": "no-store"}, HOUR),
        ({"Cache-Control": "public, max-age=7200"}, 2 * HOUR),
        ({"cache-control": 'MAX-AGE="7200", must-revalidate'}, 2 * HOUR),
        ({"Cache-Control": "max-age=7200", "Age": "1200"}, 100 * MINUTE),
        ({"Cache-Control": "max-age=7200", "Age": "soon"}, 2 * HOUR),
        ({"Cache-Control": "s-max-age=7200"}, HOUR),
        ({"Cache-Control": "max-age=0"}, 5 * MINUTE),
        ({"Cache-Control": "max-age=60", "Age": "90"}, 5 * MINUTE),
        ({"Cache-Control": "max-age=999999999"}, 24 * HOUR),
        ({"Cache-Control": "max-age=soon"}, HOUR),
    ],
)
def test_keys_are_kept_within_reason(issuer, clock, token, headers, seconds):
    body = json.dumps(issuer._certificates(None)).encode()
    fetched = []
    verifier = OidcVerifier(
        now=clock.now, fetch=lambda url: fetched.append(url) or (200, headers, body)
    )

    verifier.verify(token)
    clock.advance(seconds - 1)
    verifier.verify(token)
    assert len(fetched) == 1

    clock.advance(1)
    verifier.verify(token)
    assert len(fetched) == 2


def test_a_rotated_key_is_fetched_at_once_and_older_tokens_stay_good(
    verifier, issuer, token, fetch, clock
):
    verifier.verify(token)
    clock.advance(31)
    issuer.rotate()

    new = issuer.mint(EMAIL, AUDIENCE)

    assert verifier.verify(new)["email"] == EMAIL
    assert verifier.verify(token)["email"] == EMAIL
    assert fetch.count == 2


def test_the_signature_of_a_token_that_comes_again_is_not_checked_again(verifier, token):
    claims = verifier.verify(token)
    verifier._keys.current.verifiers.clear()

    assert verifier.verify(token) == claims


def test_a_token_that_was_good_is_refused_when_its_key_has_been_withdrawn(
    verifier, issuer, token, clock
):
    verifier.verify(token)
    issuer.rotate()
    clock.advance(3 * HOUR)

    with pytest.raises(UnauthenticatedError, match="unknown key"):
        verifier.verify(token)


def test_a_token_that_was_good_vouches_for_no_other(verifier, token, stranger):
    verifier.verify(token)

    with pytest.raises(UnauthenticatedError, match="bad signature"):
        verifier.verify(signed(*header_and_claims(token), stranger))


def test_no_more_tokens_are_remembered_than_a_few_hundred(verifier, issuer, monkeypatch):
    monkeypatch.setattr(oidc, "_MAX_PROVEN", 3)

    for n in range(10):
        token = issuer.mint(EMAIL, f"{AUDIENCE}{n}")
        assert verifier.verify(token) == verifier.verify(token)
        assert len(verifier._keys.current.proven) <= 3


def test_unknown_keys_cannot_make_us_fetch_more_than_once_in_half_a_minute(
    verifier, token, stranger, fetch, clock
):
    header, claims = header_and_claims(token)
    verifier.verify(token)
    clock.advance(31)

    for n in range(20):
        with pytest.raises(UnauthenticatedError, match="unknown key"):
            verifier.verify(signed({**header, "kid": f"made-up-{n}"}, claims, stranger))
    assert fetch.count == 2

    clock.advance(30)
    with pytest.raises(UnauthenticatedError, match="unknown key"):
        verifier.verify(signed({**header, "kid": "made-up"}, claims, stranger))
    assert fetch.count == 3


def test_stale_keys_serve_for_a_while_when_no_newer_can_be_had(
    verifier, token, fetch, clock, caplog
):
    verifier.verify(token)
    fetch.is_unplugged = True

    clock.advance(HOUR)
    for _ in range(5):
        assert verifier.verify(token)
    assert fetch.count == 2
    assert "Connection refused" in caplog.text

    clock.advance(6 * HOUR - 1)
    assert verifier.verify(token)

    clock.advance(1)
    with pytest.raises(KeysUnavailableError):
        verifier.verify(token)


def test_an_unknown_key_is_no_verdict_while_keys_cannot_be_fetched(
    verifier, issuer, token, fetch, clock
):
    verifier.verify(token)
    clock.advance(31)
    issuer.rotate()
    new = issuer.mint(EMAIL, AUDIENCE)

    fetch.is_unplugged = True
    for _ in range(3):
        with pytest.raises(KeysUnavailableError):
            verifier.verify(new)
    assert verifier.verify(token)
    assert fetch.count == 2

    fetch.is_unplugged = False
    clock.advance(30)
    assert verifier.verify(new)


def test_without_any_keys_the_next_attempt_follows_soon(verifier, token, fetch, clock):
    fetch.is_unplugged = True
    for _ in range(3):
        with pytest.raises(KeysUnavailableError):
            verifier.verify(token)
    assert fetch.count == 1

    fetch.is_unplugged = False
    clock.advance(1)
    assert verifier.verify(token)


def test_keys_of_a_future_that_the_clock_took_back_are_fetched_again(verifier, token, fetch, clock):
    verifier.verify(token)

    clock.advance(-HOUR)

    assert verifier.verify(token)
    assert fetch.count == 2


def answering(status=200, text="{}", headers=None):
    async def answer(_):
        return web.Response(status=status, text=text, headers=headers)

    return [web.get("/certs", answer)]


@pytest.mark.parametrize(
    "routes",
    [
        answering(status=500),
        answering(status=404),
        answering(status=302, headers={"Location": "/elsewhere"}),
        answering(text="{}"),
        answering(text="[]"),
        answering(text="not json"),
        answering(text='{"a": 5}'),
        answering(text='{"a": "no certificate"}'),
    ],
)
def test_an_answer_without_keys_is_trouble_and_not_a_verdict(loop, clock, token, routes):
    with (
        serving_others(loop, routes) as url,
        pytest.raises(KeysUnavailableError),
    ):
        OidcVerifier(f"{url}/certs", now=clock.now).verify(token)


def test_a_keys_endpoint_that_is_not_there_is_trouble_and_not_a_verdict(loop, clock, token):
    with serving_http(loop, []) as url:
        pass

    with pytest.raises(KeysUnavailableError):
        OidcVerifier(f"{url}/certs", now=clock.now).verify(token)


def test_an_answer_that_is_not_http_is_trouble_and_not_a_verdict(loop, clock, token):
    async def start():
        import asyncio  # noqa: PLC0415 - only this test speaks raw TCP

        async def hang_up(reader, writer):
            await reader.readline()
            writer.write(b"220 smtp.example ready\r\n")
            writer.close()

        return await asyncio.start_server(hang_up, "127.0.0.1", 0)

    server = loop.run(start())
    port = server.sockets[0].getsockname()[1]
    try:
        with pytest.raises(KeysUnavailableError):
            OidcVerifier(f"http://127.0.0.1:{port}/certs", now=clock.now).verify(token)
    finally:
        loop.call(server.close)


def test_a_proxy_setting_does_not_lead_loopback_keys_astray(monkeypatch, keys_url, clock, token):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert OidcVerifier(keys_url, now=clock.now).verify(token)


@pytest.mark.parametrize(
    "url",
    [
        "http://www.googleapis.com/oauth2/v1/certs",
        "http://127.0.0.1.evil.example/",
        "file:///k",
        "",
    ],
)
def test_keys_never_travel_in_the_clear(url):
    with pytest.raises(ConfigurationError):
        OidcVerifier(url)


def test_threads_share_one_fetch(keys_url, clock, token):
    gate = threading.Barrier(16)
    asked = []

    def fetch(url):
        asked.append(url)
        return fetched(url, 5)

    def verify():
        gate.wait(10)
        return verifier.verify(token)["email"]

    verifier = OidcVerifier(keys_url, now=clock.now, fetch=fetch)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        results = [pool.submit(verify) for _ in range(16)]

        assert {r.result(10) for r in results} == {EMAIL}
    assert len(asked) == 1


def test_known_keys_serve_while_another_thread_waits_for_newer_ones(keys_url, clock, token):
    answers = [fetched(keys_url, 5)]
    began, go_on = threading.Event(), threading.Event()

    def fetch(url):
        if answers:
            return answers.pop()
        began.set()
        go_on.wait(10)
        return fetched(url, 5)

    verifier = OidcVerifier(keys_url, now=clock.now, fetch=fetch)
    verifier.verify(token)
    clock.advance(HOUR)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        slow = pool.submit(verifier.verify, token)
        assert began.wait(10)

        assert verifier.verify(token)["email"] == EMAIL
        go_on.set()
        assert slow.result(10)["email"] == EMAIL


def test_importing_the_verifier_imports_nothing_of_google():
    code = "import sys, adjourn.gcp.oidc; print({'google.auth', 'grpc'} & sys.modules.keys())"

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=pathlib.Path(adjourn.__file__).parents[1],
    )

    assert done.stdout.strip() == "set()"

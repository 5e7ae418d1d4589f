"""The token issuer over a real socket, judged by Google's own library."""

import asyncio
import datetime as dt
import json
import threading
import urllib.request

import google.auth.jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.auth import _helpers

from adjourn_local.timing.clocks import ManualClock
from adjourn_local.tokens import issuer as issuing
from adjourn_local.tokens.issuer import CERTS_PATH, DISCOVERY_PATH, JWKS_PATH, TokenIssuer
from tests.support import serving_http

EMAIL = "deferred@p.iam.gserviceaccount.com"
AUDIENCE = "http://127.0.0.1:8080/"


@pytest.fixture
def clock():
    return ManualClock(dt.datetime.now(dt.UTC))


@pytest.fixture
def issuer(clock):
    return TokenIssuer(clock)


@pytest.fixture
def url(loop, issuer):
    with serving_http(loop, issuer.routes()) as url:
        yield url


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer), answer.headers


def test_google_library_accepts_a_token_with_the_published_certificates(url, issuer):
    certs, _ = get(url + CERTS_PATH)

    claims = google.auth.jwt.decode(issuer.mint(EMAIL, AUDIENCE), certs=certs, audience=AUDIENCE)

    assert claims["email"] == EMAIL


def test_a_token_looks_like_those_of_google(issuer, clock):
    token = issuer.mint(EMAIL, AUDIENCE)

    header = google.auth.jwt.decode_header(token)
    claims = google.auth.jwt.decode(token, verify=False)
    now = int(clock.now().timestamp())
    assert header.keys() == {"alg", "kid", "typ"}
    assert (header["alg"], header["typ"]) == ("RS256", "JWT")
    assert claims.pop("sub") == claims.pop("azp")
    assert claims == {
        "aud": AUDIENCE,
        "email": EMAIL,
        "email_verified": True,
        "iss": "https://accounts.google.com",
        "iat": now,
        "exp": now + 3600,
    }


def test_the_subject_is_a_number_that_belongs_to_the_account(issuer):
    def subject(email):
        return google.auth.jwt.decode(issuer.mint(email, AUDIENCE), verify=False)["sub"]

    assert subject(EMAIL).isdecimal()
    assert len(subject(EMAIL)) == 21
    assert subject(EMAIL) == subject(EMAIL) != subject("cron@p.iam.gserviceaccount.com")


def test_answers_say_for_how_long_they_may_be_kept(loop, clock):
    issuer = TokenIssuer(clock, max_age=dt.timedelta(seconds=90))

    with serving_http(loop, issuer.routes()) as url:
        for path in (CERTS_PATH, JWKS_PATH, DISCOVERY_PATH):
            _, headers = get(url + path)

            assert "max-age=90" in headers["Cache-Control"]
            assert headers["Content-Type"].startswith("application/json")


def test_the_json_web_key_verifies_what_the_issuer_signs(url, issuer):
    discovery, _ = get(url + DISCOVERY_PATH)
    keys, _ = get(discovery["jwks_uri"])
    token = issuer.mint(EMAIL, AUDIENCE)

    header = google.auth.jwt.decode_header(token)
    (key,) = (k for k in keys["keys"] if k["kid"] == header["kid"])
    n, e = (int.from_bytes(_helpers.padded_urlsafe_b64decode(key[part])) for part in "ne")
    signed, _, signature = token.rpartition(".")

    assert discovery["issuer"] == "https://accounts.google.com"
    assert (key["kty"], key["alg"], key["use"]) == ("RSA", "RS256", "sig")
    rsa.RSAPublicNumbers(e, n).public_key().verify(
        _helpers.padded_urlsafe_b64decode(signature),
        signed.encode(),
        padding.PKCS1v15(),
        hashes.SHA256(),
    )


def test_a_rotation_changes_the_key_and_leaves_older_tokens_valid(url, issuer):
    old = issuer.mint(EMAIL, AUDIENCE)

    issuer.rotate()

    new = issuer.mint(EMAIL, AUDIENCE)
    certs, _ = get(url + CERTS_PATH)
    jwks, _ = get(url + JWKS_PATH)
    assert google.auth.jwt.decode_header(old)["kid"] != google.auth.jwt.decode_header(new)["kid"]
    for token in (old, new):
        assert google.auth.jwt.decode(token, certs=certs, audience=AUDIENCE)
    assert {k["kid"] for k in jwks["keys"]} == set(certs)


def test_a_retired_key_is_withdrawn_once_its_tokens_have_expired(url, issuer, clock):
    kid = google.auth.jwt.decode_header(issuer.mint(EMAIL, AUDIENCE))["kid"]
    issuer.rotate()

    clock.advance(3600)
    assert kid in get(url + CERTS_PATH)[0]

    clock.advance(3600)
    assert kid not in get(url + CERTS_PATH)[0]


def test_the_key_in_use_is_never_withdrawn(url, issuer, clock):
    clock.advance(90 * 24 * 3600)

    kid = google.auth.jwt.decode_header(issuer.mint(EMAIL, AUDIENCE))["kid"]

    assert kid in get(url + CERTS_PATH)[0]


def test_every_second_has_a_token_of_its_own(issuer, clock):
    first = issuer.mint(EMAIL, AUDIENCE)

    assert issuer.mint(EMAIL, AUDIENCE) is first  # signed once
    assert issuer.mint(EMAIL, AUDIENCE + "other") != first
    assert issuer.mint("other@shop.example", AUDIENCE) != first

    clock.advance(1)
    second = issuer.mint(EMAIL, AUDIENCE)
    times = [google.auth.jwt.decode(each, verify=False)["iat"] for each in (first, second)]
    assert times[1] == times[0] + 1


def test_a_token_that_is_signed_again_is_the_same(issuer):
    first = issuer.mint(EMAIL, AUDIENCE)

    issuer._signed.cache_clear()

    assert issuer.mint(EMAIL, AUDIENCE) == first


def test_a_clock_that_went_back_does_not_keep_a_token_of_the_future(issuer, clock):
    future = issuer.mint(EMAIL, AUDIENCE)

    clock.advance(-600)

    claims = google.auth.jwt.decode(issuer.mint(EMAIL, AUDIENCE), verify=False)
    assert claims["iat"] < google.auth.jwt.decode(future, verify=False)["iat"]


def test_tokens_that_are_kept_are_bounded(issuer):
    for n in range(1100):
        issuer.mint(EMAIL, f"{AUDIENCE}?n={n}")

    assert issuer._signed.cache_info().currsize <= 1024


def test_tokens_for_attempts_are_signed_beside_the_event_loop_and_once(loop, issuer, monkeypatch):
    threads = []

    def signed(*arguments):
        threads.append(threading.current_thread())
        return sign(*arguments)

    sign = issuing._sign
    monkeypatch.setattr(issuing, "_sign", signed)

    async def several():
        tokens = await asyncio.gather(*(issuer.token(EMAIL, AUDIENCE) for _ in range(20)))
        return threading.current_thread(), tokens

    of_loop, tokens = loop.run(several())

    assert {*tokens} == {issuer.mint(EMAIL, AUDIENCE)}
    assert len(threads) == 1
    assert threads[0] is not of_loop

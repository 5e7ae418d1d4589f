"""What the core asks of whoever verifies tokens, of the twin and of the adapter alike."""

import pytest

from adjourn.errors import UnauthenticatedError
from adjourn.gcp.oidc import OidcVerifier
from adjourn.requests.auth import CallerPolicy
from adjourn.testing import FakeClock, MemoryVerifier
from adjourn_local.timing.clocks import MachineClock
from adjourn_local.tokens.issuer import CERTS_PATH, TokenIssuer
from tests.support import serving_http

EMAIL, AUDIENCE = "tasks@shop.example", "https://deferred.example"


class TokenVerifierContract:
    """Subclasses give a `subject` that trusts what `mint` made at the time of `clock`."""

    def test_the_claims_satisfy_the_policy_that_names_them(self, subject, mint, clock):
        policy = CallerPolicy(audiences=frozenset({AUDIENCE}), emails=frozenset({EMAIL}))

        claims = subject.verify(mint(EMAIL, AUDIENCE))

        assert policy.check(claims, clock.now()) == EMAIL

    def test_tokens_say_what_was_asked_for(self, subject, mint):
        claims = subject.verify(mint("other@shop.example", "https://cron.example"))

        assert claims["email"] == "other@shop.example"
        assert claims["aud"] == "https://cron.example"
        assert claims["exp"] - claims["iat"] == 3600

    def test_a_changed_token_is_refused(self, subject, mint):
        head, payload, signature = mint(EMAIL, AUDIENCE).split(".")
        _, foreign, _ = mint("mallory@evil.example", AUDIENCE).split(".")

        with pytest.raises(UnauthenticatedError):
            subject.verify(f"{head}.{foreign}.{signature}")
        with pytest.raises(UnauthenticatedError):
            subject.verify(f"{head}.{payload}.AAAA")

    @pytest.mark.parametrize("token", ["", "x", "a.b.c"])
    def test_what_is_not_a_token_is_refused(self, subject, token):
        with pytest.raises(UnauthenticatedError):
            subject.verify(token)


class TestMemoryVerifier(TokenVerifierContract):
    @pytest.fixture
    def clock(self):
        return FakeClock()

    @pytest.fixture
    def subject(self, clock):
        return MemoryVerifier(clock)

    @pytest.fixture
    def mint(self, subject):
        return subject.token


@pytest.fixture(scope="module")
def issuer():
    return TokenIssuer(MachineClock())


@pytest.fixture(scope="module")
def keys_url(loop, issuer):
    with serving_http(loop, issuer.routes()) as url:
        yield url + CERTS_PATH


class TestOidcVerifier(TokenVerifierContract):
    @pytest.fixture
    def clock(self):
        return MachineClock()

    @pytest.fixture
    def subject(self, keys_url):
        return OidcVerifier(keys_url)

    @pytest.fixture
    def mint(self, issuer):
        return issuer.mint

"""Who may call: claims against a policy, and the one header that carries a token."""

import datetime as dt

import pytest

from adjourn.errors import ConfigurationError, ForbiddenError, UnauthenticatedError
from adjourn.requests.auth import CallerPolicy, app_engine_cron, app_engine_task, bearer_token

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
ISSUED = NOW.timestamp()
EMAIL = "tasks@p.iam.gserviceaccount.com"
AUDIENCE = "https://deferred-abc.a.run.app"
CLAIMS = {
    "iss": "https://accounts.google.com",
    "aud": AUDIENCE,
    "sub": "112233445566778899001",
    "email": EMAIL,
    "email_verified": True,
    "iat": ISSUED,
    "exp": ISSUED + 3600,
}
MISSING = object()


@pytest.fixture
def policy():
    return CallerPolicy(
        audiences=frozenset({AUDIENCE, "https://old.example"}),
        emails=frozenset({EMAIL, "cron@p.iam.gserviceaccount.com"}),
    )


def claims(**changes):
    return {k: v for k, v in {**CLAIMS, **changes}.items() if v is not MISSING}


def test_a_caller_on_the_list_is_named(policy):
    assert policy.check(CLAIMS, NOW) == EMAIL


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "accounts.google.com"},
        {"aud": "https://old.example"},
        {"email": "cron@p.iam.gserviceaccount.com"},
        {"iat": ISSUED + 10},
        {"iat": ISSUED - 3600 - 9, "exp": ISSUED - 9},
        {"exp": ISSUED + 0.5},
        {"nbf": ISSUED - 60},
        {"nbf": ISSUED + 10},
        {"azp": 5, "hd": ["anything"]},
    ],
)
def test_every_accepted_variation(policy, changes):
    assert policy.check(claims(**changes), NOW)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://accounts.google.com.evil.example"}, "wrong issuer"),
        ({"iss": "http://accounts.google.com"}, "wrong issuer"),
        ({"iss": MISSING}, "wrong issuer"),
        ({"iss": ["https://accounts.google.com"]}, "wrong issuer"),
        ({"aud": AUDIENCE[:-1]}, "wrong audience"),
        ({"aud": AUDIENCE + "/"}, "wrong audience"),
        ({"aud": "x" + AUDIENCE}, "wrong audience"),
        ({"aud": [AUDIENCE]}, "wrong audience"),
        ({"aud": ""}, "wrong audience"),
        ({"aud": None}, "wrong audience"),
        ({"aud": MISSING}, "wrong audience"),
        ({"exp": ISSUED - 10}, "expired"),
        ({"exp": 0}, "expired"),
        ({"exp": -1e300}, "expired"),
        ({"exp": MISSING}, "expiry missing"),
        ({"exp": None}, "expiry missing"),
        ({"exp": str(int(ISSUED) + 3600)}, "exp is not a number"),
        ({"exp": float("nan")}, "exp is not a number"),
        ({"exp": float("inf")}, "exp is not a number"),
        ({"exp": True}, "exp is not a number"),
        ({"exp": [ISSUED + 3600]}, "exp is not a number"),
        ({"iat": ISSUED + 10.5}, "not yet valid"),
        ({"iat": 10**400}, "not yet valid"),
        ({"iat": MISSING}, "issue time missing"),
        ({"iat": float("nan")}, "iat is not a number"),
        ({"iat": False}, "iat is not a number"),
        ({"nbf": ISSUED + 11}, "not yet valid"),
        ({"nbf": "0"}, "nbf is not a number"),
    ],
)
def test_claims_that_identify_nobody_to_us_are_unauthenticated(policy, changes, reason):
    with pytest.raises(UnauthenticatedError, match=f"^{reason}$"):
        policy.check(claims(**changes), NOW)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"email": "other@p.iam.gserviceaccount.com"}, "caller not on the list"),
        ({"email": EMAIL.upper()}, "caller not on the list"),
        ({"email": EMAIL + ".evil.example"}, "caller not on the list"),
        ({"email": MISSING}, "email missing"),
        ({"email": ""}, "email missing"),
        ({"email": [EMAIL]}, "email missing"),
        ({"email_verified": False}, "email not verified"),
        ({"email_verified": MISSING}, "email not verified"),
        ({"email_verified": "true"}, "email not verified"),
        ({"email_verified": 1}, "email not verified"),
    ],
)
def test_a_verified_stranger_is_forbidden(policy, changes, reason):
    with pytest.raises(ForbiddenError, match=f"^{reason}$"):
        policy.check(claims(**changes), NOW)


def test_an_expired_token_of_a_stranger_is_unauthenticated_rather_than_forbidden(policy):
    with pytest.raises(UnauthenticatedError):
        policy.check(claims(email="other@example.com", exp=ISSUED - 60), NOW)


@pytest.mark.parametrize(
    "wrong",
    [
        {"audiences": frozenset()},
        {"emails": frozenset()},
        {"emails": frozenset({""})},
    ],
)
def test_a_policy_that_cannot_work_is_refused(wrong):
    right = {"audiences": frozenset({AUDIENCE}), "emails": frozenset({EMAIL})}

    with pytest.raises(ConfigurationError):
        CallerPolicy(**{**right, **wrong})


@pytest.mark.parametrize(
    "header",
    ["Bearer aa.b-_.cc", "bearer aa.b-_.cc", "BEARER   aa.b-_.cc", " Bearer aa.b-_.cc\t"],
)
def test_the_token_is_taken_from_the_header(header):
    assert bearer_token([header]) == "aa.b-_.cc"


def test_a_token_whose_signature_the_platform_removed_is_still_a_token():
    assert bearer_token(["Bearer aa.bb.SIGNATURE_REMOVED_BY_GOOGLE"])


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([], "token missing"),
        (["Bearer a.b.c", "Bearer a.b.c"], "several Authorization headers"),
        (["Bearer a.b.c", "Basic eDp5"], "several Authorization headers"),
        (["Bearer a.b.c,Bearer a.b.c"], "malformed token"),
        (["Bearer a.b.c, Bearer a.b.c"], "malformed token"),
        ([""], "wrong scheme"),
        (["Basic eDp5"], "wrong scheme"),
        (["a.b.c"], "wrong scheme"),
        (["Bearera.b.c"], "wrong scheme"),
        (["Bearer\ta.b.c"], "wrong scheme"),
        (["Bearer"], "token missing"),
        (["Bearer "], "token missing"),
        (["Bearer a.b"], "malformed token"),
        (["Bearer a.b.c.d"], "malformed token"),
        (["Bearer a.b."], "malformed token"),
        (["Bearer a..c"], "malformed token"),
        (["Bearer a.b.c="], "malformed token"),
        (["Bearer a.b.c\n"], "malformed token"),
        (["Bearer a.b.c d"], "malformed token"),
        (["Bearer a.b.ü"], "malformed token"),
        (["Bearer a.b.\N{FULLWIDTH LATIN SMALL LETTER A}"], "malformed token"),
        (["Bearer a.b.\N{ARABIC-INDIC DIGIT ONE}"], "malformed token"),
        (["Bearer a.b." + "c" * 8192], "token too large"),
    ],
)
def test_anything_else_carries_no_token(headers, reason):
    with pytest.raises(UnauthenticatedError, match=f"^{reason}$"):
        bearer_token(headers)


def test_who_calls_on_app_engine_is_named():
    assert app_engine_task("0.1.0.2", "mail") == "mail"
    assert app_engine_cron("0.1.0.2", is_cron=True) == "__cron"
    assert app_engine_cron("0.1.0.1", is_cron=True) == "__cron"


@pytest.mark.parametrize(
    ("address", "queue"),
    [
        ("0.1.0.1", "mail"),
        ("198.51.100.7", "mail"),
        ("", "mail"),
        ("0.1.0.2", ""),
        ("0.1.0.2", "__cron"),
    ],
)
def test_nobody_else_is_a_task_queue_of_app_engine(address, queue):
    with pytest.raises(UnauthenticatedError):
        app_engine_task(address, queue)


@pytest.mark.parametrize(
    ("address", "is_cron"), [("0.1.0.2", False), ("10.0.0.1", True), ("", True), ("0.1.0.12", True)]
)
def test_nobody_else_is_the_cron_service_of_app_engine(address, is_cron):
    with pytest.raises(UnauthenticatedError):
        app_engine_cron(address, is_cron=is_cron)

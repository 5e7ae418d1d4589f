"""Who may call, put to the deployed function: each forged or broken request, and each platform."""

import base64
import datetime as dt
import hashlib
import hmac
import json
from dataclasses import dataclass, replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from adjourn.errors import ConfigurationError
from adjourn.gcp import google_adapters
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn.settings import Platform
from adjourn.testing import SETTINGS
from adjourn_local.tokens.issuer import CERTS_PATH, TokenIssuer
from tests.contract.test_oidc import encoded, header_and_claims, signed
from tests.support import serving_http
from tests.unit import shop
from tests.unit.adjourn.test_settings import ENVIRONMENT

ACCOUNT = ENVIRONMENT["ADJOURN_SERVICE_ACCOUNT"]
URL = ENVIRONMENT["ADJOURN_DEFERRED_URL"]
CRON_URL = ENVIRONMENT["ADJOURN_CRON_URL"]
REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"
TASK = "tests.unit.shop.send_receipt"
ON_CLOUD_RUN = {"ADJOURN_PLATFORM": "cloud-run-iam", "K_SERVICE": "deferred"}
ON_APP_ENGINE = {"ADJOURN_PLATFORM": "app-engine", "GAE_ENV": "standard"}
FROM_A_QUEUE = {"X-AppEngine-User-IP": "0.1.0.2", "X-AppEngine-QueueName": "mail"}
FROM_CRON = {
    "X-AppEngine-User-IP": "0.1.0.2",
    "X-AppEngine-Cron": "true",
    "X-AppEngine-QueueName": "__cron",
}


@dataclass(frozen=True, kw_only=True)
class Forger:
    """Knows what an attacker knows and, to forge single claims, the issuer's key as well."""

    issuer: TokenIssuer
    stranger: rsa.RSAPrivateKey

    @property
    def key(self):
        return self.issuer._keys[-1].private

    @property
    def token(self):
        return self.issuer.mint(ACCOUNT, URL)

    @property
    def parts(self):
        return self.token.split(".")

    def claiming(self, **claims):
        """Sign a good token with other claims; None takes one away."""
        header, good = header_and_claims(self.token)
        changed = {k: v for k, v in {**good, **claims}.items() if v is not None}
        return signed(header, changed, self.key)

    def at(self, **seconds):
        """Sign a good token with times so many seconds from now."""
        now = header_and_claims(self.token)[1]["iat"]
        return self.claiming(**{name: now + away for name, away in seconds.items()})

    def headed(self, key=None, **header):
        """Sign a good token's claims under another header; None takes a field away."""
        good, claims = header_and_claims(self.token)
        changed = {k: v for k, v in {**good, **header}.items() if v is not None}
        return signed(changed, claims, key or self.key)

    def unsigned(self, signature="", **header):
        good, claims = header_and_claims(self.token)
        return f"{encoded({**good, **header})}.{encoded(claims)}.{signature}"

    def mac(self, *, der=False):
        """Sign with the public key as if it were a shared secret."""
        pem = self.issuer._keys[-1].certificate.encode()
        public = x509.load_pem_x509_certificate(pem).public_key()
        kind = serialization.PublicFormat.SubjectPublicKeyInfo
        encoding = serialization.Encoding.DER if der else serialization.Encoding.PEM
        text = self.unsigned(alg="HS256").rstrip(".")
        secret = public.public_bytes(encoding, kind)
        return f"{text}.{encoded(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"

    def altered(self, **claims):
        """Change the claims behind a good signature."""
        header, _, signature = self.parts
        changed = {**header_and_claims(self.token)[1], **claims}
        return f"{header}.{encoded(changed)}.{signature}"

    def removed(self, **claims):
        """Change claims and say that Cloud Run has checked them."""
        return self.claiming(**claims).rpartition(".")[0] + f".{REMOVED}"


@pytest.fixture(scope="module")
def forger(issuer):
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Forger(issuer=issuer, stranger=stranger)


def call(clock, task=TASK, **changes):
    fields = {"id": "7f3a", "task": task, "args": ("s3cret",), "enqueued_at": clock.now()}
    return Envelope(**fields | changes).encode(Codec())


def bearer(token):
    return [("Authorization", f"Bearer {token}")]


def answered(answer):
    return answer.status_code, answer.text


UNAUTHENTICATED = (401, "unauthenticated\n")
FORBIDDEN = (403, "forbidden\n")

# What no platform accepts: whose signature, header or claims are wrong.
FORGED = {
    "alg none": ("malformed token", lambda f: f.unsigned(alg="none")),
    "alg none, signed": ("wrong algorithm", lambda f: f.headed(alg="none")),
    "alg None": ("wrong algorithm", lambda f: f.unsigned("AAAA", alg="None")),
    "alg missing": ("wrong algorithm", lambda f: f.headed(alg=None)),
    "alg HS256 by the public key": ("wrong algorithm", lambda f: f.mac()),
    "alg HS256 by its bytes": ("wrong algorithm", lambda f: f.mac(der=True)),
    "alg RS512": ("wrong algorithm", lambda f: f.headed(alg="RS512")),
    "crit": ("critical header", lambda f: f.headed(crit=["exp"])),
    "kid unknown": ("unknown key", lambda f: f.headed(kid="made-up", key=f.stranger)),
    "kid of a path": ("unknown key", lambda f: f.headed(kid="../../dev/null")),
    "kid missing": ("key id missing", lambda f: f.headed(kid=None)),
    "kid no text": ("key id missing", lambda f: f.headed(kid=["a"])),
    "key of a stranger": ("bad signature", lambda f: f.headed(key=f.stranger)),
    "key in the token": (
        "bad signature",
        lambda f: f.headed(key=f.stranger, jku="https://evil.example/keys", x5c=["AAAA"]),
    ),
    "signature of another token": (
        "bad signature",
        lambda f: ".".join([*f.parts[:2], f.claiming(sub="1").split(".")[2]]),
    ),
    "signature cut off": ("malformed token", lambda f: ".".join(f.parts[:2]) + "."),
    "signature truncated": ("bad signature", lambda f: f.token[:-8]),
    "signature of zeros": ("bad signature", lambda f: f.unsigned("A" * 342)),
    "signature all but removed": ("bad signature", lambda f: f.unsigned(REMOVED[:-1] + "F")),
    "signature removed in small letters": ("bad signature", lambda f: f.unsigned(REMOVED.lower())),
    "two signatures": ("malformed token", lambda f: f"{f.token}.{f.parts[2]}"),
    "claims altered": ("bad signature", lambda f: f.altered(email="mallory@evil.example")),
    "claims no object": ("malformed token", lambda f: signed(*unlike(f, b"[]"), f.key)),
    "claims no JSON": ("malformed token", lambda f: signed(*unlike(f, b"{"), f.key)),
    "iss wrong": ("wrong issuer", lambda f: f.claiming(iss="https://evil.example")),
    "iss prefix": ("wrong issuer", lambda f: f.claiming(iss="https://accounts.google.com.evil")),
    "iss missing": ("wrong issuer", lambda f: f.claiming(iss=None)),
    "aud prefix": ("wrong audience", lambda f: f.claiming(aud=URL[:-1])),
    "aud suffix": ("wrong audience", lambda f: f.claiming(aud=f"{URL}/x")),
    "aud in front of another": ("wrong audience", lambda f: f.claiming(aud=f"{URL}.evil.example")),
    "aud list": ("wrong audience", lambda f: f.claiming(aud=[URL, "https://evil.example"])),
    "aud of another function": ("wrong audience", lambda f: f.issuer.mint(ACCOUNT, CRON_URL)),
    "aud missing": ("wrong audience", lambda f: f.claiming(aud=None)),
    "exp over": ("expired", lambda f: f.at(iat=-3610, exp=-10)),
    "exp missing": ("expiry missing", lambda f: f.claiming(exp=None)),
    "exp nan": ("exp is not a number", lambda f: f.claiming(exp=float("nan"))),
    "exp infinite": ("exp is not a number", lambda f: f.claiming(exp=float("inf"))),
    "exp text": ("exp is not a number", lambda f: f.claiming(exp="9999999999")),
    "iat missing": ("issue time missing", lambda f: f.claiming(iat=None)),
    "iat ahead": ("not yet valid", lambda f: f.at(iat=11)),
    "nbf ahead": ("not yet valid", lambda f: f.at(nbf=11)),
}
STRANGERS = {
    "email of another account": ("caller not on the list", {"email": "mallory@evil.example"}),
    "email in capitals": ("caller not on the list", {"email": ACCOUNT.upper()}),
    "email with a tail": ("caller not on the list", {"email": f"{ACCOUNT}.evil.example"}),
    "email missing": ("email missing", {"email": None}),
    "email of two": ("email missing", {"email": [ACCOUNT]}),
    "email not verified": ("email not verified", {"email_verified": False}),
    "email verified by a word": ("email not verified", {"email_verified": "true"}),
    "email never verified": ("email not verified", {"email_verified": None}),
}
# How else a request may go wrong, or try to get around a token.
BROKEN = {
    "no header": ("token missing", lambda _: []),
    "nothing": ("wrong scheme", lambda _: [("Authorization", "")]),
    "no token": ("token missing", lambda _: [("Authorization", "Bearer")]),
    "an empty token": ("token missing", lambda _: bearer("")),
    "no scheme": ("wrong scheme", lambda f: [("Authorization", f.token)]),
    "Basic": (
        "wrong scheme",
        lambda _: [("Authorization", f"Basic {base64.b64encode(b'a:b').decode()}")],
    ),
    "a token under Basic": ("wrong scheme", lambda f: [("Authorization", f"Basic {f.token}")]),
    "one part": ("malformed token", lambda _: bearer("x")),
    "no base64": ("malformed token", lambda _: bearer("a.b.c")),
    "padding": ("malformed token", lambda f: bearer(f"{f.token}==")),
    "not ASCII": ("malformed token", lambda f: bearer(f"{f.token}ü")),
    "blanks within": ("malformed token", lambda f: bearer(f.token.replace(".", " .", 1))),
    "huge": ("token too large", lambda f: bearer(f.token + "A" * 100_000)),
    "two headers": ("malformed token", lambda f: bearer(f.token) * 2),
    "a good and a bad header": (
        "malformed token",
        lambda f: [*bearer(f.token), ("Authorization", "Basic eDp5")],
    ),
    "a second header": (
        "several Authorization headers",
        lambda f: [*bearer(f.token), ("X-Serverless-Authorization", f"Bearer {f.token}")],
    ),
    "a good token in the wrong header": (
        "token missing",
        lambda f: [("X-Forwarded-Authorization", f"Bearer {f.token}")],
    ),
    "headers of Cloud Tasks": (
        "token missing",
        lambda _: [
            ("X-CloudTasks-QueueName", "mail"),
            ("X-CloudTasks-TaskName", "1"),
            ("User-Agent", "Google-Cloud-Tasks"),
        ],
    ),
    "headers of Cloud Scheduler": (
        "token missing",
        lambda _: [("X-CloudScheduler", "true"), ("X-CloudScheduler-JobName", "nightly")],
    ),
    "headers of App Engine's tasks": ("token missing", lambda _: list(FROM_A_QUEUE.items())),
    "headers of App Engine's cron": ("token missing", lambda _: list(FROM_CRON.items())),
    "forwarded for App Engine": (
        "token missing",
        lambda _: [("X-Forwarded-For", "0.1.0.2"), ("X-AppEngine-QueueName", "mail")],
    ),
}


def unlike(forger, claims):
    return header_and_claims(forger.token)[0], claims


def names(cases):
    return pytest.mark.parametrize("name", cases)


def refused(client, clock, headers, **options):
    """Send a call that would run; return the answer after making sure that it did not."""
    answer = client.post("/", data=call(clock), headers=headers, **options)
    assert shop.sent == []
    return answered(answer)


# Own verification, the default, and Cloud Run's for whatever still carries a signature


@pytest.mark.parametrize("platform", [{}, ON_CLOUD_RUN], ids=["verify", "cloud-run-iam"])
class TestTokens:
    @pytest.fixture
    def client(self, serve, platform):
        return serve(**platform)

    def test_a_good_token_opens(self, client, forger, clock):
        answer = client.post("/", data=call(clock), headers=bearer(forger.token))

        assert answered(answer) == (204, "")
        assert shop.sent == ["s3cret"]

    @names(FORGED)
    def test_forged(self, client, forger, clock, reasons, name):
        reason, forge = FORGED[name]

        assert refused(client, clock, bearer(forge(forger))) == UNAUTHENTICATED
        assert reasons() == [reason]

    @names(STRANGERS)
    def test_strangers(self, client, forger, clock, reasons, name):
        reason, claims = STRANGERS[name]
        headers = bearer(forger.claiming(**claims))

        assert refused(client, clock, headers) == FORBIDDEN
        assert reasons() == [reason]

    @names(BROKEN)
    def test_broken(self, client, forger, clock, reasons, name):
        reason, build = BROKEN[name]

        assert refused(client, clock, build(forger)) == UNAUTHENTICATED
        assert reasons() == [reason]

    def test_the_address_of_app_engine_opens_nothing(self, client, clock, reasons):
        options = {"environ_overrides": {"REMOTE_ADDR": "0.1.0.2"}}

        assert refused(client, clock, FROM_A_QUEUE, **options) == UNAUTHENTICATED
        assert reasons() == ["token missing"]

    def test_no_token_and_no_argument_gets_into_the_log(self, client, forger, clock, lines):
        token = forger.claiming(email="mallory@evil.example")

        refused(client, clock, bearer(token))

        logged = json.dumps(lines())
        assert not any(secret in logged for secret in [*token.split("."), "mallory", "s3cret"])

    def test_a_key_that_is_new_is_fetched_while_the_function_runs(
        self, serve, loop, clock, platform
    ):
        issuer = TokenIssuer(clock)
        with serving_http(loop, issuer.routes()) as url:
            client = serve(**platform, ADJOURN_KEYS_URL=url + CERTS_PATH)
            old = issuer.mint(ACCOUNT, URL)
            answers = [client.post("/", data=call(clock), headers=bearer(old))]
            clock.advance(dt.timedelta(seconds=31))
            issuer.rotate()
            answers += [
                client.post("/", data=call(clock), headers=bearer(token))
                for token in (issuer.mint(ACCOUNT, URL), old)
            ]

        assert [answer.status_code for answer in answers] == [204, 204, 204]

    def test_keys_out_of_reach_are_trouble_and_no_verdict(self, serve, forger, clock, platform):
        client = serve(**platform, ADJOURN_KEYS_URL="http://127.0.0.1:9")

        assert refused(client, clock, bearer(forger.token)) == (503, "trouble\n")


def test_a_removed_signature_is_none_where_we_verify(serve, forger, clock, reasons):
    assert refused(serve(), clock, bearer(forger.removed())) == UNAUTHENTICATED
    assert reasons() == ["signature removed, and ADJOURN_PLATFORM is verify"]


# Cloud Run, which has checked the token and removed the signature


@pytest.mark.parametrize("header", ["Authorization", "X-Serverless-Authorization"])
def test_what_cloud_run_has_checked_opens(serve, forger, clock, header):
    client = serve(**ON_CLOUD_RUN, ADJOURN_KEYS_URL="http://127.0.0.1:9")

    answer = client.post("/", data=call(clock), headers={header: f"Bearer {forger.removed()}"})

    assert answered(answer) == (204, "")


@pytest.mark.parametrize(
    "case",
    [
        ({"iss": "https://evil.example"}, "wrong issuer"),
        ({"aud": CRON_URL}, "wrong audience"),
        ({"aud": [URL]}, "wrong audience"),
        ({"exp": None}, "expiry missing"),
        ({"exp": 0}, "expired"),
        ({"exp": float("nan")}, "exp is not a number"),
        ({"iat": 1e12, "exp": 1e12}, "not yet valid"),
    ],
)
def test_what_cloud_run_has_checked_must_be_meant_for_us(serve, forger, clock, reasons, case):
    claims, reason = case
    headers = bearer(forger.removed(**claims))

    assert refused(serve(**ON_CLOUD_RUN), clock, headers) == UNAUTHENTICATED
    assert reasons() == [reason]


@names(STRANGERS)
def test_whom_cloud_run_lets_through_may_still_be_a_stranger(serve, forger, clock, reasons, name):
    reason, claims = STRANGERS[name]
    headers = bearer(forger.removed(**claims))

    assert refused(serve(**ON_CLOUD_RUN), clock, headers) == FORBIDDEN
    assert reasons() == [reason]


def test_a_token_beside_the_one_that_cloud_run_checked_is_refused(serve, forger, clock, reasons):
    checked = forger.removed(email="mallory@evil.example")
    headers = [*bearer(forger.removed()), ("X-Serverless-Authorization", f"Bearer {checked}")]

    assert refused(serve(**ON_CLOUD_RUN), clock, headers) == UNAUTHENTICATED
    assert reasons() == ["several Authorization headers"]


# App Engine, by what nobody else can send there


def test_a_task_of_app_engine_opens(serve, clock):
    answer = serve(**ON_APP_ENGINE).post("/", data=call(clock), headers=FROM_A_QUEUE)

    assert answered(answer) == (204, "")


def test_a_task_of_app_engine_opens_without_a_proxy(serve, clock):
    answer = serve(**ON_APP_ENGINE).post(
        "/",
        data=call(clock),
        headers={"X-AppEngine-QueueName": "mail"},
        environ_overrides={"REMOTE_ADDR": "0.1.0.2"},
    )

    assert answered(answer) == (204, "")


NO_ADDRESS = "not from the address of App Engine's tasks"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, NO_ADDRESS),
        ({"X-AppEngine-User-IP": ""}, NO_ADDRESS),
        ({"X-AppEngine-User-IP": "0.1.0.1"}, NO_ADDRESS),
        ({"X-AppEngine-User-IP": "0.1.0.20"}, NO_ADDRESS),
        ({"X-AppEngine-User-IP": "0.1.0.2, 198.51.100.7"}, NO_ADDRESS),
        ({"X-AppEngine-User-IP": "198.51.100.7"}, NO_ADDRESS),
        ({"X-AppEngine-User-IP": "10.0.0.1"}, NO_ADDRESS),
        ({"X-AppEngine-User-IP": "198.51.100.7", "X-Forwarded-For": "0.1.0.2"}, NO_ADDRESS),
        ({"X-AppEngine-QueueName": ""}, "not from a queue of App Engine"),
        ({"X-AppEngine-QueueName": "", "X-CloudTasks-QueueName": "mail"}, "not from a queue"),
        (FROM_CRON, "not from a queue of App Engine"),
    ],
)
def test_other_requests_on_app_engine_are_refused(serve, clock, reasons, headers, reason):
    sent = {**FROM_A_QUEUE, **headers} if headers else {"X-AppEngine-QueueName": "mail"}

    assert refused(serve(**ON_APP_ENGINE), clock, sent) == UNAUTHENTICATED
    (found,) = reasons()
    assert found.startswith(reason)


def test_on_app_engine_a_token_opens_nothing(serve, forger, clock, reasons):
    client = serve(**ON_APP_ENGINE)

    assert refused(client, clock, bearer(forger.token)) == UNAUTHENTICATED
    assert refused(client, clock, bearer(forger.removed())) == UNAUTHENTICATED
    assert reasons() == [NO_ADDRESS] * 2


@pytest.mark.parametrize("address", ["0.1.0.2", "0.1.0.1"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_cron_job_of_app_engine_opens_the_cron_function(serve, lines, address, method):
    headers = FROM_CRON | {"X-AppEngine-User-IP": address}

    answer = serve("cron", **ON_APP_ENGINE).open("/no-such-name", method=method, headers=headers)

    assert answered(answer) == (404, "unknown\n")
    assert [line["event"] for line in lines() if "event" in line] == ["cron.unknown"]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"X-AppEngine-Cron": ""}, "not from App Engine's cron service"),
        ({"X-AppEngine-Cron": "false"}, "not from App Engine's cron service"),
        ({"X-AppEngine-User-IP": "198.51.100.7"}, "not from an address of App Engine's cron"),
    ],
)
def test_no_other_request_opens_the_cron_function(serve, reasons, headers, reason):
    client = serve("cron", **ON_APP_ENGINE)

    assert answered(client.post("/hourly", headers=FROM_CRON | headers)) == UNAUTHENTICATED
    assert answered(client.post("/hourly", headers=FROM_A_QUEUE)) == UNAUTHENTICATED
    assert reasons()[0].startswith(reason)


def test_cron_of_app_engine_may_get_and_nobody_else_may(serve, reasons):
    client = serve("cron")

    assert client.get("/hourly").status_code == 405
    assert client.get("/hourly", headers={"X-AppEngine-Cron": "false"}).status_code == 405
    assert client.put("/hourly", headers=FROM_CRON).status_code == 405
    assert answered(client.get("/hourly", headers=FROM_CRON)) == UNAUTHENTICATED
    assert reasons() == ["token missing"]


def test_on_app_engine_its_own_headers_name_and_count(serve, clock, store):
    headers = {
        **FROM_A_QUEUE,
        "X-AppEngine-TaskName": "once",
        "X-AppEngine-TaskRetryCount": "7",
        "X-AppEngine-TaskExecutionCount": "2",
        "X-CloudTasks-QueueName": "other",
        "X-CloudTasks-TaskRetryCount": "1",
        "X-CloudTasks-TaskExecutionCount": "0",
    }
    body = call(clock, "tests.unit.shop.fail", max_retries=2)

    answer = serve(**ON_APP_ENGINE).post("/", data=body, headers=headers)

    assert answered(answer) == (200, "dead\n")
    (letter,) = [record for key, (_, record) in store.records.items() if "Dead" in key.kind]
    assert (letter["attempts"], letter["queue"]) == (8, "mail")


def test_elsewhere_the_headers_of_app_engine_neither_name_nor_count(serve, forger, clock, lines):
    headers = {
        "Authorization": f"Bearer {forger.token}",
        **FROM_A_QUEUE,
        "X-AppEngine-TaskRetryCount": "7",
        "X-AppEngine-TaskExecutionCount": "9",
        "X-CloudTasks-QueueName": "other",
    }
    body = call(clock, "tests.unit.shop.fail", max_retries=2)

    assert serve().post("/", data=body, headers=headers).status_code == 422

    (line,) = [line for line in lines() if line.get("event") == "task.failed"]
    assert (line["attempt"], line["queue"]) == (1, "other")


# At start


@pytest.mark.parametrize(
    ("platform", "signs"),
    [("cloud-run-iam", "K_SERVICE"), ("app-engine", "GAE_ENV or GAE_APPLICATION")],
)
def test_a_platform_that_is_not_there_is_not_trusted(serve, monkeypatch, platform, signs):
    for name in ("K_SERVICE", "GAE_ENV", "GAE_APPLICATION"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(SystemExit) as caught:
        serve(ADJOURN_PLATFORM=platform)

    assert str(caught.value).splitlines() == [
        "adjourn cannot start:",
        f"- ADJOURN_PLATFORM={platform} is only for where {signs} is set; remove it.",
    ]
    with pytest.raises(ConfigurationError, match="is only for where"):
        google_adapters(replace(SETTINGS, platform=platform), None)


def test_one_platform_is_no_sign_of_the_other(serve):
    with pytest.raises(SystemExit):
        serve(ADJOURN_PLATFORM=Platform.APP_ENGINE, K_SERVICE="x")


@pytest.mark.parametrize("value", ["none", "off", "VERIFY", "verify,app-engine", "0"])
def test_there_is_no_other_way_to_say_who_checks(serve, value):
    with pytest.raises(SystemExit, match="must be one of verify, cloud-run-iam, app-engine"):
        serve(ADJOURN_PLATFORM=value, K_SERVICE="x", GAE_ENV="standard")

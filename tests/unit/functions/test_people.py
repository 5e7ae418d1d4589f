"""People at the deployed function: each forged or broken request, and each platform."""

import json
from dataclasses import dataclass
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from adjourn.requests.gate import LONGEST_BODY
from adjourn.settings import Settings
from tests.contract.test_oidc import header_and_claims, signed
from tests.unit import shop
from tests.unit.adjourn.test_settings import ENVIRONMENT, mistakes, read
from tests.unit.functions.test_callers import (
    ACCOUNT,
    BROKEN,
    CRON_URL,
    FORGED,
    FROM_A_QUEUE,
    ON_APP_ENGINE,
    ON_CLOUD_RUN,
    URL,
    Forger,
    bearer,
    call,
)

AUDIENCE = "people.apps.googleusercontent.com"
PERSON = "ann@shop.example"
JSON = [("Content-Type", "application/json")]
BODY = b'{"article": "tea", "amount": 3}'
EXECUTE = "/execute/restock"

UNAUTHENTICATED = (401, {"error": "unauthenticated"})
FORBIDDEN = (403, {"error": "forbidden"})
NOT_FOUND = (404, {"error": "not found"})


# What does not say for certain who somebody is.
UNCERTAIN = {
    "email missing": {"email": None},
    "email of two": {"email": [PERSON]},
    "email empty": {"email": ""},
    "email not verified": {"email_verified": False},
    "email verified by a word": {"email_verified": "true"},
    "email never verified": {"email_verified": None},
}


@dataclass(frozen=True, kw_only=True)
class PersonForger(Forger):
    """Knows a person's token."""

    @property
    def token(self):
        header, claims = header_and_claims(self.issuer.mint(PERSON, AUDIENCE))
        return signed(header, {**claims, "hd": "shop.example"}, self.key)


@pytest.fixture(scope="module")
def forger(issuer):
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return PersonForger(issuer=issuer, stranger=stranger)


@pytest.fixture
def serve(serve, store):  # noqa: ARG001 - what a person starts is recorded
    return partial(serve, ADJOURN_PEOPLE_AUDIENCES=AUDIENCE)


def answered(answer):
    assert answer.mimetype == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.status_code, json.loads(answer.data)


def both(client, headers, **options):
    """Ask for the list and start a task; return the one answer to both."""
    listed = client.get("/list", headers=headers, **options)
    started = client.post(EXECUTE, data=BODY, headers=[*headers, *JSON], **options)
    assert answered(listed) == answered(started)
    return answered(started)


def names(cases):
    return pytest.mark.parametrize("name", cases)


# Own verification, also where Cloud Run has let somebody through


@pytest.mark.parametrize("platform", [{}, ON_CLOUD_RUN], ids=["verify", "cloud-run-iam"])
class TestTokens:
    @pytest.fixture
    def client(self, serve, platform, queue):  # noqa: ARG002
        return serve(**platform)

    def test_a_good_token_opens(self, client, forger, queue):
        headers = bearer(forger.token)

        status, listed = answered(client.get("/list", headers=headers))
        started = client.post(EXECUTE, data=BODY, headers=[*headers, *JSON])

        assert (status, [task["key"] for task in listed["tasks"]]) == (200, ["restock"])
        assert started.status_code == 202
        (name,) = queue.tasks
        assert answered(started)[1]["name"] == name
        assert shop.sent == []

    @names(FORGED)
    def test_forged(self, client, forger, queue, reasons, name):
        reason, forge = FORGED[name]

        assert both(client, bearer(forge(forger))) == UNAUTHENTICATED
        assert reasons() == [reason] * 2
        assert not queue.tasks

    @names(BROKEN)
    def test_broken(self, client, forger, queue, reasons, name):
        reason, build = BROKEN[name]

        assert both(client, build(forger)) == UNAUTHENTICATED
        assert reasons() == [reason] * 2
        assert not queue.tasks

    @names(UNCERTAIN)
    def test_an_address_that_is_not_certain(self, client, forger, queue, reasons, name):
        assert both(client, bearer(forger.claiming(**UNCERTAIN[name]))) == FORBIDDEN
        assert len(reasons()) == 2
        assert not queue.tasks

    @pytest.mark.parametrize(
        "email",
        [
            ACCOUNT,
            ACCOUNT.upper(),
            "other@shop.iam.gserviceaccount.com",
            "123-compute@developer.gserviceaccount.com",
            "shop@appspot.gserviceaccount.com",
        ],
    )
    def test_a_service_account_is_no_person(self, client, forger, queue, reasons, email):
        assert both(client, bearer(forger.claiming(email=email))) == FORBIDDEN
        assert reasons() == ["a service account is not a user"] * 2
        assert not queue.tasks

    def test_the_token_of_a_task_does_not_open(self, client, forger, queue, reasons):
        assert both(client, bearer(forger.issuer.mint(ACCOUNT, URL))) == UNAUTHENTICATED
        assert reasons() == ["wrong audience"] * 2
        assert not queue.tasks

    def test_a_persons_token_delivers_no_task(self, client, forger, clock, reasons):
        answer = client.post("/", data=call(clock), headers=bearer(forger.token))

        assert (answer.status_code, answer.text) == (401, "unauthenticated\n")
        assert reasons() == ["wrong audience"]
        assert shop.sent == []

    @pytest.mark.parametrize("audience", [URL, CRON_URL])
    def test_a_person_with_the_audience_of_tasks_is_nobody(
        self, client, forger, clock, queue, audience
    ):
        token = forger.claiming(aud=audience)

        assert both(client, bearer(token)) == UNAUTHENTICATED
        assert client.post("/", data=call(clock), headers=bearer(token)).status_code in {401, 403}
        assert (shop.sent, queue.tasks) == ([], {})

    def test_whom_can_call_does_not_admit_is_forbidden_and_sees_nothing(
        self, client, forger, queue, lines
    ):
        headers = bearer(forger.claiming(hd="evil.example"))

        assert answered(client.get("/list", headers=headers)) == (200, {"tasks": []})
        assert answered(client.post(EXECUTE, data=BODY, headers=headers)) == FORBIDDEN
        assert [line["event"] for line in lines() if "event" in line] == ["callable.refused"]
        assert not queue.tasks

    def test_neither_token_nor_address_nor_parameter_gets_into_the_log(self, client, forger, lines):
        token = forger.claiming(hd="evil.example")
        for each in (token, forger.token, forger.altered(sub="1")):
            client.post(EXECUTE, data=BODY, headers=[*bearer(each), *JSON])

        logged = json.dumps(lines())
        assert "callable.started" in logged
        secrets = [*token.split("."), PERSON, "tea"]
        assert not any(secret in logged for secret in secrets)

    def test_keys_out_of_reach_are_trouble_and_no_verdict(self, serve, forger, platform, queue):  # noqa: ARG002
        client = serve(**platform, ADJOURN_KEYS_URL="http://127.0.0.1:9")

        assert both(client, bearer(forger.token)) == (503, {"error": "trouble"})


def test_who_is_not_identified_is_told_how_to_be(serve):
    assert serve().get("/list").headers["WWW-Authenticate"] == "Bearer"


# Platforms


def test_whom_cloud_run_has_checked_is_a_person(serve, forger, queue):  # noqa: ARG001
    client = serve(**ON_CLOUD_RUN, ADJOURN_KEYS_URL="http://127.0.0.1:9")
    removed = signature_removed(forger.token)

    assert client.get("/list", headers=bearer(removed)).status_code == 200
    wrong = signature_removed(forger.claiming(aud=URL))
    assert both(client, bearer(wrong)) == UNAUTHENTICATED


def signature_removed(token):
    return token.rpartition(".")[0] + ".SIGNATURE_REMOVED_BY_GOOGLE"


@pytest.mark.parametrize("platform", [{}, ON_APP_ENGINE], ids=["verify", "app-engine"])
def test_a_removed_signature_is_none_elsewhere(serve, forger, reasons, queue, platform):  # noqa: ARG001
    client = serve(**platform)

    assert both(client, bearer(signature_removed(forger.token))) == UNAUTHENTICATED
    assert len(reasons()) == 2


def test_on_app_engine_people_show_a_token_as_elsewhere(serve, forger, queue):
    client = serve(**ON_APP_ENGINE)

    assert client.get("/list", headers=bearer(forger.token)).status_code == 200
    headers = [*bearer(forger.token), *JSON]
    assert client.post(EXECUTE, data=BODY, headers=headers).status_code == 202
    assert len(queue.tasks) == 1


def test_on_app_engine_its_own_headers_make_no_person(serve, reasons, queue):
    assert both(serve(**ON_APP_ENGINE), list(FROM_A_QUEUE.items())) == UNAUTHENTICATED
    assert reasons() == ["token missing"] * 2
    assert not queue.tasks


# What is asked


@pytest.fixture
def ask(serve, forger, queue):  # noqa: ARG001
    client = serve()

    def send(method="POST", path=EXECUTE, body=BODY, content_type="application/json", **options):
        headers = [*bearer(forger.token)]
        if content_type:
            headers.append(("Content-Type", content_type))
        return client.open(path, method=method, data=body, headers=headers, **options)

    return send


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        *((EXECUTE, m, "POST") for m in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS")),
        *(("/list", m, "GET, HEAD") for m in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS")),
    ],
)
def test_another_method_is_told_which_to_use(ask, queue, path, method, allowed):
    answer = ask(method, path)

    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
    assert not queue.tasks


def test_the_list_can_be_asked_for_without_its_content(ask):
    answer = ask("HEAD", "/list", b"")

    assert (answer.status_code, answer.data) == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/execute/gone",
        "/execute/",
        "/execute/restock/",
        "/execute/a/b",
        "/execute/%00",
        "/execute/..",
    ],
)
def test_an_unknown_key_is_not_found(ask, queue, path):
    answer = ask(path=path)

    assert answered(answer) == NOT_FOUND
    assert not queue.tasks


@pytest.mark.parametrize("path", ["/list/", "/lists", "/List", "/execute", "/EXECUTE/restock"])
def test_no_other_path_is_for_people(ask, path):
    answer = ask(path=path)

    assert (answer.status_code, answer.text) == (401, "unauthenticated\n")


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
)
def test_what_is_not_json_is_not_read(ask, queue, content_type):
    answer = ask(content_type=content_type)

    assert answered(answer) == (415, {"error": "the body must be application/json"})
    assert not queue.tasks


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_be_told_in_other_words(ask, content_type):
    assert ask(content_type=content_type).status_code == 202


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b"article=tea",
        b'{"article": "tea", "article": "coal"}',
        b'{"article": NaN}',
        b"[" * 100_000,
        b'{"amount": ' + b"9" * 5000 + b"}",
    ],
    ids=["cut off", "no UTF-8", "a form", "a name twice", "NaN", "deep", "a long number"],
)
def test_broken_json_is_a_bad_request(ask, queue, body):
    assert ask(body=body).status_code == 400
    assert not queue.tasks


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", {"article": "is missing"}),
        (b"{}", {"article": "is missing"}),
        (b"[]", {"": "must be an object"}),
        (b"null", {"": "must be an object"}),
        (
            b'{"article": 7, "amount": "x", "__class__": 1}',
            {
                "article": "must be text",
                "amount": "must be a whole number",
                "__class__": "is not a parameter",
            },
        ),
        (b'{"article": {"$key": 1}}', {"article": "must be text"}),
        (b'{"article": "tea", "amount": 1e400}', {"amount": "must be a whole number"}),
    ],
)
def test_parameters_that_do_not_fit_are_told(ask, queue, body, fields):
    assert answered(ask(body=body)) == (422, {"error": "invalid", "fields": fields})
    assert not queue.tasks


def test_a_body_too_long_is_refused(ask, queue):
    answer = ask(body=b'{"article": "' + b"x" * LONGEST_BODY + b'"}')

    assert answered(answer) == (413, {"error": "body too long"})
    assert not queue.tasks


def test_a_body_of_the_greatest_length_is_queued(ask, queue, monkeypatch):
    monkeypatch.setattr("adjourn.gcp.datastore_store.DatastoreStore.put", lambda *_, **__: None)
    article = "x" * (LONGEST_BODY - 100)

    assert ask(body=json.dumps({"article": article}).encode()).status_code == 202
    assert len(queue.tasks) == 1


# Where the setting is missing, and settings that would mix people with services


@pytest.mark.parametrize(
    ("path", "method"), [("/list", "GET"), ("/list", "POST"), (EXECUTE, "POST"), (EXECUTE, "GET")]
)
def test_without_the_setting_there_is_nothing(serve, forger, path, method):
    client = serve(ADJOURN_PEOPLE_AUDIENCES="")

    answer = client.open(path, method=method, headers=bearer(forger.token))

    assert answered(answer) == NOT_FOUND


@pytest.mark.parametrize("name", ["cron", "queryiter"])
def test_the_other_functions_answer_no_people(serve, forger, name):
    client = serve(name)

    assert client.get("/list", headers=bearer(forger.token)).status_code == 405
    assert client.post(EXECUTE, headers=bearer(forger.token)).status_code == 401


def test_an_account_that_may_call_the_functions_is_no_person_wherever_it_is(serve, forger, reasons):
    client = serve(ADJOURN_CALLERS=f"{ACCOUNT},{PERSON}")

    assert answered(client.get("/list", headers=bearer(forger.token))) == FORBIDDEN
    assert reasons() == ["a service account is not a user"]


def test_several_audiences_may_be_set(serve, forger, queue):  # noqa: ARG001
    client = serve(ADJOURN_PEOPLE_AUDIENCES=f"other.example, {AUDIENCE}")

    assert client.get("/list", headers=bearer(forger.token)).status_code == 200


@pytest.mark.parametrize(
    "audience", [URL, f"{URL}/", CRON_URL, ENVIRONMENT["ADJOURN_QUERYITER_URL"], "https://own.x"]
)
def test_an_audience_of_services_is_none_for_people(audience):
    found = mistakes(ADJOURN_PEOPLE_AUDIENCES=f"fine,{audience}", ADJOURN_AUDIENCES="https://own.x")

    said = "is what the tokens of tasks and jobs are for; people need another one."
    assert found == [f"- ADJOURN_PEOPLE_AUDIENCES: {audience!r} {said}"]


def test_the_setting_is_read_as_a_list():
    settings = read(ADJOURN_PEOPLE_AUDIENCES=" a.example ,b.example,")

    assert isinstance(settings, Settings)
    assert settings.people_audiences == ("a.example", "b.example")

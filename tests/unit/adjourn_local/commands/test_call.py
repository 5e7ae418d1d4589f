"""How `adjourn call` gets a token and reads parameters; tests/e2e/test_call.py has the rest."""

import base64
import json
import socket
import threading

import pytest
from aiohttp import web

from adjourn_local.cli import main
from adjourn_local.commands.call import _parameters
from adjourn_local.errors import UsageError
from tests.support import serving_others

KEYS = "http://127.0.0.1:9/oauth2/v1/certs"


def status(*arguments):
    try:
        return main(["call", *arguments])
    except SystemExit as end:
        return end.code


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: action"),
        (["run"], "the following arguments are required: key"),
        (["list"], "Give --url or set ADJOURN_DEFERRED_URL"),
        (["list", "--url", "http://shop.example"], "Give --url or set ADJOURN_DEFERRED_URL"),
        (["list", "--url", "http://127.0.0.1:9"], "Say who asks: --user EMAIL"),
        (
            ["list", "--url", "http://127.0.0.1:9", "--user", "a@b"],
            "ADJOURN_KEYS_URL='' is no laptop stack's, which would issue a token for a@b",
        ),
        (["list", "--url", "https://shop.example", "--token", "a\nb"], "A token is one word"),
    ],
)
def test_wrong_usage_is_said(capsys, arguments, said):
    assert status(*arguments) == 2
    assert said in capsys.readouterr().err


def test_of_what_is_missing_only_that_is_said(capsys, monkeypatch):
    monkeypatch.setenv("ADJOURN_KEYS_URL", KEYS)

    assert status("list", "--url", "http://127.0.0.1:9", "--user", "a@b") == 2
    assert "ADJOURN_PEOPLE_AUDIENCES is not set" in capsys.readouterr().err
    monkeypatch.setenv("ADJOURN_PEOPLE_AUDIENCES", "people")
    assert status("list", "--url", "http://127.0.0.1:9") == 2
    assert capsys.readouterr().err == (
        "adjourn: Say who asks: --user EMAIL, on the laptop stack any address.\n"
    )


def test_what_does_not_speak_http_is_said(capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def mumble():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"\x00\x01\x02")

        other = threading.Thread(target=mumble)
        other.start()
        assert status("list", "--url", url, "--token", "x.y.z") == 1
        other.join(30)

    said = capsys.readouterr().err
    assert said == f"adjourn: What listens at {url}/list does not speak HTTP.\n"


# A real deployment


@pytest.fixture
def gcloud(monkeypatch, tmp_path):
    """Return what puts a program in gcloud's place; there is none before."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(script):
        program = tmp_path / "gcloud"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return put


@pytest.mark.usefixtures("gcloud")
def test_without_gcloud_it_says_what_to_do(capsys):
    assert status("list", "--url", "https://deferred.example") == 1
    said = capsys.readouterr().err
    assert said == "adjourn: gcloud is not installed; install it and sign in, or give --token.\n"


def test_what_gcloud_says_is_passed_on(capsys, gcloud):
    gcloud('echo "You do not currently have an active account." >&2; exit 1')

    assert status("list", "--url", "https://deferred.example") == 1
    said = "adjourn: gcloud gave no token: You do not currently have an active account.\n"
    assert capsys.readouterr().err == said


def test_gcloud_is_asked_for_an_identity_token_of_the_account(monkeypatch, gcloud, asked, capsys):
    url, requests = asked
    monkeypatch.setattr("adjourn_local.commands.call.LOOPBACK", set())
    gcloud('echo "$1.$2.$3"')

    assert status("list", "--url", url, "--user", "ann@shop.example") == 1
    (request,) = requests
    assert request.headers["Authorization"] == "Bearer auth.print-identity-token.ann@shop.example"
    assert "does not accept the token" in capsys.readouterr().err


# The token's way


@pytest.fixture
def asked(loop):
    """Serve a function that knows nobody; yield its URL and what it was asked."""
    requests = []

    async def answer(request):
        requests.append(request)
        if request.path == "/moved/list":
            raise web.HTTPFound(location="/list")
        return web.json_response({"error": "unauthenticated"}, status=401)

    routes = [web.get("/list", answer), web.get("/moved/list", answer)]
    with serving_others(loop, routes) as url:
        yield url, requests


def test_a_token_is_not_handed_on_to_where_a_redirect_leads(asked, capsys):
    url, requests = asked

    assert status("list", "--url", f"{url}/moved", "--token", "a.b.c") == 1
    assert [request.path for request in requests] == ["/moved/list"]
    assert "The function answered 302" in capsys.readouterr().err


def test_whom_a_refused_token_was_for_is_said(asked, capsys):
    claims = base64.urlsafe_b64encode(json.dumps({"aud": "gcloud.example"}).encode()).decode()

    assert status("list", "--url", asked[0], "--token", f"a.{claims.rstrip('=')}.c") == 1
    assert "It is for 'gcloud.example'" in capsys.readouterr().err


# Parameters

FORM = {
    "text": {"type": "string"},
    "count": {"type": "integer"},
    "level": {"enum": [1, 2]},
    "maybe": {"anyOf": [{"type": "number"}, {"type": "null"}]},
    "tags": {"type": "array", "items": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}},
    "some": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
}


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ([], {}),
        (["text=7"], {"text": "7"}),
        (["text=a=b"], {"text": "a=b"}),
        (["text="], {"text": ""}),
        (["count=7"], {"count": 7}),
        (["count=many"], {"count": "many"}),
        (["level=2"], {"level": 2}),
        (["level=3"], {"level": "3"}),
        (["maybe=1.5"], {"maybe": 1.5}),
        (["maybe:=null"], {"maybe": None}),
        (["tags=true"], {"tags": [True]}),
        (["tags=true", "tags=false"], {"tags": [True, False]}),
        (["some=1", "count=1"], {"some": ["1"], "count": 1}),
        (["some:=[]"], {"some": []}),
        (["other=1"], {"other": "1"}),
    ],
)
def test_a_parameter_is_read_as_the_form_wants_it(given, values):
    assert _parameters(given, FORM) == values


@pytest.mark.parametrize("given", [["text"], ["=x"], [":=1"], ["count:=x"], ["text=a", "text=b"]])
def test_a_parameter_that_cannot_be_read_is_said(given):
    with pytest.raises(UsageError, match="--param"):
        _parameters(given, FORM)

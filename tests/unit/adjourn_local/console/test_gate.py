import asyncio

import pytest
from starlette.responses import PlainTextResponse

from adjourn_local.console.gate import gated

OWN = {"host": "localhost:8720"}
FORM = {"content-length": "3", "content-type": "application/x-www-form-urlencoded"}


def status(*allowed, **headers):
    """Return the status of a response to a request with these headers."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    lines = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": lines}
    asyncio.run(gated(PlainTextResponse("let in"), allowed)(scope, receive, send))
    return sent[0]["status"]


def test_the_consoles_own_pages_and_forms_are_let_in():
    assert status(**OWN) == 200
    own_page = {"origin": "http://localhost:8720", "sec_fetch_site": "same-origin"}
    assert status(**OWN, **FORM, **own_page) == 200
    assert status("db.example", host="db.example:8720") == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "evil.example"},
        {**OWN, "origin": "http://localhost:3000"},
        {**OWN, "origin": "null", **FORM},
        {**OWN, "sec_fetch_site": "cross-site"},
    ],
)
def test_pages_of_others_are_not(headers):
    assert status(**headers) == 403


@pytest.mark.parametrize(
    "body",
    [{"content-length": "3"}, {"transfer-encoding": "chunked", "content-type": "text/plain"}],
)
def test_a_body_is_a_form(body):
    assert status(**OWN, **body) == 415

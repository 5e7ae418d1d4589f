"""What a server of ASGI hands over, as far as no real server sends it on demand."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import adjourn.web
from adjourn.coroutines import LoopEndedError
from adjourn.errors import BrokenBodyError, SlowBodyError, TooLongBodyError
from adjourn.execution.delivery import Outcome
from adjourn.requests.gate import LONGEST_BODY
from adjourn.web.asgi_server import _Body, _environ


def read(messages, headers=None, seconds=10.0):
    """Read a body in a thread, of which the loop gives these messages; None waits for ever."""
    left = list(messages)

    async def receive():
        if not left or left[0] is None:
            await asyncio.Event().wait()
        return left.pop(0)

    async def main():
        body = _Body(headers or {}, receive, asyncio.get_running_loop())
        body._seconds = seconds
        return await asyncio.to_thread(body.read_whole), body.is_read

    return asyncio.run(main())


def piece(body=b"", *, more=False):
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_comes_in_pieces():
    assert read([piece(b"a", more=True), piece(b"b", more=True), piece()]) == (b"ab", True)


def test_a_body_of_a_known_length_ends_there():
    assert read([piece(b"ab", more=True), None], {"CONTENT_LENGTH": "2"}) == (b"ab", True)


def test_a_sender_that_goes_silent_is_not_waited_for():
    with pytest.raises(SlowBodyError):
        read([piece(b"a", more=True), None], seconds=0.01)


def test_a_sender_that_goes_away_is_told():
    with pytest.raises(BrokenBodyError):
        read([piece(b"a", more=True), {"type": "http.disconnect"}])


def test_a_body_that_ends_early_is_broken():
    with pytest.raises(BrokenBodyError):
        read([piece(b"a")], {"CONTENT_LENGTH": "2"})


def test_of_a_body_that_is_too_long_the_rest_is_not_read():
    with pytest.raises(TooLongBodyError):
        read([piece(bytes(LONGEST_BODY + 1), more=True), None])


def test_a_body_of_a_server_that_stops_is_not_waited_for():
    asked = asyncio.Event()

    async def receive():
        asked.set()
        await asyncio.Event().wait()

    async def main():
        body = _Body({}, receive, asyncio.get_running_loop())
        reading = pool.submit(body.read_whole)
        await asked.wait()
        return reading

    with ThreadPoolExecutor(1) as pool:
        reading = asyncio.run(main())
        with pytest.raises(LoopEndedError):
            reading.result(10)


def test_headers_are_named_as_under_wsgi():
    headers = [(b"content-length", b"1"), (b"a-b", b"1"), (b"a_b", b"2"), (b"a-b", b"3")]

    environ = _environ({"method": "POST", "headers": headers, "client": None})

    assert environ == {
        "REQUEST_METHOD": "POST",
        "REMOTE_ADDR": "",
        "CONTENT_LENGTH": "1",
        "HTTP_A_B": "1,3",
    }


def test_where_nothing_is_around_it_a_websocket_is_refused(app):
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(adjourn.web.asgi(app)({"type": "websocket", "path": "/"}, None, send))

    assert sent == [{"type": "websocket.close"}]


def respond(application, path, **scope):
    """Return the status of the response to a request without a token."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return piece()

    about = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}
    asyncio.run(application({**about, **scope}, receive, send))
    return sent[0]["status"]


@pytest.mark.parametrize("name", ["\u00e4", "\u767a\u9001", "\U0001f600", "\ud800"])
@pytest.mark.usefixtures("box")
def test_paths_may_be_in_any_script(app, name):
    served = adjourn.web.asgi(app)

    assert respond(served, f"/_adjourn/deferred/{name}") == 401
    assert respond(served, f"/_adjourn/deferred/execute/{name}") == 401
    assert respond(served, f"/{name}/_adjourn/cron/{name}", root_path=f"/{name}") == 401
    assert respond(served, f"/_adjourn/{name}") == 404


@pytest.mark.usefixtures("box")
def test_jobs_have_names_in_any_script(app, ran):
    app._wiring.receive_tick = lambda delivery: ran.append(delivery.path) or Outcome.DONE

    assert respond(adjourn.web.asgi(app), "/_adjourn/cron/\u767a\u9001") == 204
    assert ran == ["/\u767a\u9001"]


@pytest.mark.usefixtures("box")
def test_what_a_stopping_server_leaves_behind_is_delivered_again(app):
    def end(_delivery):
        raise LoopEndedError

    app._wiring.receive_tick = end

    assert respond(adjourn.web.asgi(app), "/_adjourn/cron/nightly") == 503


@pytest.mark.parametrize(
    ("root_path", "path", "status"),
    [
        ("/", "/_adjourn/cron/x", 401),
        ("/", "//_adjourn/cron/x", 401),
        ("/site/", "/site/_adjourn/cron/x", 401),
        ("/site/", "/site//_adjourn/cron/x", 401),
        ("/site", "/site_adjourn/cron/x", 404),
        ("/_adjourn", "/_adjourn", 404),
    ],
)
@pytest.mark.usefixtures("box")
def test_a_root_path_may_end_with_a_slash(app, root_path, path, status):
    assert respond(adjourn.web.asgi(app), path, root_path=root_path) == status


@pytest.mark.parametrize("path", ["/_adjourn/deferred/x", "/site/_adjourn/deferred/x"])
@pytest.mark.usefixtures("box")
def test_a_framework_may_be_told_its_root_path_by_a_proxy_or_by_itself(app, path):
    framework = Starlette(routes=[Mount("/_adjourn", adjourn.web.asgi(app))])

    assert respond(framework, path, root_path="/site") == 401


@pytest.mark.parametrize(("version", "is_closed"), [("1.1", True), ("2", False)])
@pytest.mark.usefixtures("box")
def test_the_connection_ends_after_an_unread_body_where_connections_carry_one(
    app, version, is_closed
):
    sent = []

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": version,
        "method": "POST",
        "path": "/_adjourn/deferred/x",
        "headers": [(b"content-length", b"5")],
    }
    asyncio.run(adjourn.web.asgi(app)(scope, None, send))

    assert sent[0]["status"] == 401
    assert ((b"connection", b"close") in sent[0]["headers"]) is is_closed

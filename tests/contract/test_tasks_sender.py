import asyncio
import datetime as dt

import pytest

from adjourn_local.http.sender import HandlerResponse, Outgoing, Sender
from adjourn_local.timing.clocks import MachineClock, ManualClock

UNAVAILABLE = HandlerResponse(status=None, error="UNAVAILABLE", retry_after=None)
LATE = HandlerResponse(status=None, error="DEADLINE_EXCEEDED", retry_after=None)


class Wire:
    """A server that keeps the bytes it gets and answers with bytes it was given."""

    def __init__(self):
        self.received = []
        self.connections = 0
        self.reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
        self.got = asyncio.Event()

    async def handle(self, reader, writer):
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.received.append(head)
                self.got.set()
                if self.reply is None:
                    await reader.read()
                    break
                writer.write(self.reply)
                if not self.reply.startswith(b"HTTP/1.1 2"):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def outgoing(url, method="POST", headers=(), body=b""):
    return Outgoing(method=method, url=url, headers=headers, body=body)


@pytest.fixture
def talk(loop):
    """Return a function that runs a test's coroutine with a wire, a sender and a URL."""

    def run(test, clock=None):
        async def work():
            wire = Wire()
            server = await asyncio.start_server(wire.handle, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            sender = Sender(clock or MachineClock())
            try:
                return await test(wire, sender, f"http://127.0.0.1:{port}/x")
            finally:
                await sender.close()
                server.close()
                await server.wait_closed()

        return loop.run(work(), 10)

    return run


def test_nothing_is_added_to_a_request_but_what_http_needs(talk):
    async def test(wire, sender, url):
        await sender.send(outgoing(url, headers=(("x-MINE", "1"),)), 5)
        await sender.send(outgoing(url, method="GET"), 5)
        return wire.received, url.removeprefix("http://").removesuffix("/x")

    (post, get), host = talk(test)

    assert post.decode() == (
        f"POST /x HTTP/1.1\r\nHost: {host}\r\nx-MINE: 1\r\nContent-Length: 0\r\n\r\n"
    )
    assert get.decode() == f"GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n"


def test_a_connection_is_reused(talk):
    async def test(wire, sender, url):
        answers = [await sender.send(outgoing(url), 5) for _ in range(3)]
        return answers, wire.connections

    answers, connections = talk(test)

    assert answers == [HandlerResponse(status=200, error="", retry_after=None)] * 3
    assert connections == 1


def test_redirects_are_answers(talk):
    async def test(wire, sender, url):
        wire.reply = b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n"
        return await sender.send(outgoing(url), 5), len(wire.received)

    answer, requests = talk(test)

    assert answer.status == 302
    assert requests == 1


def test_retry_after_is_handed_on(talk):
    async def test(wire, sender, url):
        wire.reply = b"HTTP/1.1 503 Away\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
        return await sender.send(outgoing(url), 5)

    assert talk(test) == HandlerResponse(status=503, error="", retry_after=7)


@pytest.mark.parametrize(
    "reply",
    [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 500 Half\r\nContent-Length: 10\r\n\r\nhalf"],
)
def test_a_broken_answer_is_no_answer(talk, reply):
    async def test(wire, sender, url):
        wire.reply = reply
        return await sender.send(outgoing(url), 5)

    assert talk(test) == UNAVAILABLE


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://", "http://[::1", "http://h:99999/", "http://a b/"]
)
def test_an_address_that_leads_nowhere_is_no_answer(talk, url):
    async def test(_wire, sender, _url):
        return await sender.send(outgoing(url), 5)

    assert talk(test) == UNAVAILABLE


def test_the_deadline_is_one_of_the_clock(talk):
    clock = ManualClock(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))

    async def test(wire, sender, url):
        wire.reply = None
        long = asyncio.create_task(sender.send(outgoing(url), 60))
        await wire.got.wait()
        wire.got.clear()
        short = asyncio.create_task(sender.send(outgoing(url), 15))
        await wire.got.wait()

        clock.advance(14)
        await asyncio.sleep(0)
        assert not short.done()
        clock.advance(1)
        first = await short
        assert not long.done()
        clock.advance(45)
        return first, await long

    assert talk(test, clock) == (LATE, LATE)


def test_cancelling_a_sending_is_not_a_deadline(talk):
    async def test(wire, sender, url):
        wire.reply = None
        sending = asyncio.create_task(sender.send(outgoing(url), 60))
        await wire.got.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    talk(test)

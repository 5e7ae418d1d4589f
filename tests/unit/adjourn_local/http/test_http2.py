"""The connection, as the library h2 speaks to it over a socket."""

import asyncio
import socket
from contextlib import closing

import grpc
import hpack
import pytest
from h2.events import (
    DataReceived,
    PingAckReceived,
    StreamEnded,
    WindowUpdated,
)
from h2.settings import SettingCodes

from adjourn_local.http.http2_frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GO_AWAY,
    HEADERS,
    MAX_FRAME,
    PREFACE,
    PUSH,
    REFUSED,
    RESET,
    SETTINGS,
    WINDOW,
    FrameReader,
    frame,
)
from adjourn_local.http.rpc import service
from adjourn_local.runtime.loop import LoopThread
from tests.http2_clients import DEFAULT_WINDOW, HEAD, START, Client, Text, prefixed
from tests.support import serving


@pytest.fixture
def asked():
    return []


class Paths(grpc.GenericRpcHandler):
    """Notes the methods that are called, and has none."""

    def __init__(self):
        self.called = []

    def service(self, details):
        self.called.append(details.method)


@pytest.fixture
def paths(watched):
    return watched.called


@pytest.fixture
def watched():
    return Paths()


@pytest.fixture
def address(asked, watched):
    async def wait(request):
        asked.append(asyncio.current_task())
        await asyncio.Event().wait()
        return request

    methods = {"Say": (Text, lambda request: request), "Wait": (Text, wait)}
    with LoopThread() as loop, serving(loop, service("test.Echo", methods), watched) as address:
        yield address


@pytest.fixture
def client(address):
    with closing(Client(address)) as client:
        yield client


@pytest.mark.parametrize("size", [1, 7, None])
def test_a_request_is_answered_whatever_pieces_it_arrives_in(client, size):
    client.ask(b"hello", size=size)

    assert client.answer() == (prefixed(b"hello"), {b"grpc-status": b"0"})


def test_padding_and_priorities_are_understood(client):
    client.h2.send_headers(
        1, HEAD, priority_weight=7, priority_depends_on=0, priority_exclusive=True
    )
    client.h2.send_data(1, prefixed(b"hello"), end_stream=True, pad_length=100)
    client.send()

    assert client.answer()[0] == prefixed(b"hello")


def test_headers_may_take_several_frames(client):
    client.h2.send_headers(1, [*HEAD, ("x-long", "x" * 3 * MAX_FRAME)])
    client.h2.send_data(1, prefixed(b"hello"), end_stream=True)
    client.send()

    assert client.answer()[0] == prefixed(b"hello")


def test_headers_are_those_of_their_call_however_a_client_refers_to_them(client, paths):
    """What a number stands for changes with each header that the client wants remembered."""
    names = ["a", "a", "b", "a", "b", "c", "c", "b"]
    for number, name in enumerate(names):
        changed = [(key, f"/test.Echo/{name}" if key == ":path" else value) for key, value in HEAD]
        client.h2.send_headers(2 * number + 1, changed)
        client.h2.send_data(2 * number + 1, prefixed(b""), end_stream=True)
        client.send()
        client.until(StreamEnded)

    assert paths == [f"/test.Echo/{name}" for name in names]


def test_trailers_of_a_request_end_it(client):
    client.h2.send_headers(1, HEAD)
    client.h2.send_data(1, prefixed(b"hello"))
    client.h2.send_headers(1, [("x-end", "1")], end_stream=True)
    client.send()

    assert client.answer()[0] == prefixed(b"hello")


@pytest.mark.parametrize("window", [1, 100])
def test_no_more_is_sent_than_the_client_takes(client, window):
    """h2 raises if it gets more than it allows."""
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
    client.ask(b"x" * 300)
    received = b""
    for event in client.events():
        if isinstance(event, DataReceived):
            received += event.data
            client.h2.acknowledge_received_data(event.flow_controlled_length, 1)
            client.send()
        elif isinstance(event, StreamEnded):
            break

    assert received == prefixed(b"x" * 300)


def test_a_window_that_grows_later_lets_the_rest_go(client):
    client.until(WindowUpdated)
    client.ask(b"x" * DEFAULT_WINDOW)
    first = b""
    for event in client.events():
        first += event.data if isinstance(event, DataReceived) else b""
        if len(first) >= DEFAULT_WINDOW:
            break
    client.h2.increment_flow_control_window(5)
    client.h2.increment_flow_control_window(5, 1)
    client.send()

    assert len(first) == DEFAULT_WINDOW
    assert first + client.answer()[0] == prefixed(b"x" * DEFAULT_WINDOW)


def test_large_requests_go_through_one_after_another(client):
    client.until(WindowUpdated)
    allowed = client.h2.outbound_flow_control_window
    for number in (1, 3, 5):
        client.h2.increment_flow_control_window(5 << 20)
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 10 << 20})
        client.ask(b"x" * (5 << 20), number)
        assert len(client.answer()[0]) == (5 << 20) + 5

    assert client.h2.outbound_flow_control_window > allowed - (2 << 20)


def test_a_ping_is_answered(client):
    client.h2.ping(b"12345678")
    client.send()

    assert client.until(PingAckReceived)[-1].ping_data == b"12345678"


def test_what_a_client_no_longer_wants_is_cancelled(client, asked):
    waiting = [(name, "/test.Echo/Wait" if name == ":path" else value) for name, value in HEAD]
    client.h2.send_headers(1, waiting)
    client.h2.send_data(1, prefixed(b""), end_stream=True)
    client.ask(b"after", 3)
    client.answer()
    client.h2.reset_stream(1)
    client.ask(b"after", 5)
    client.answer()
    client.ask(b"after", 7)  # the cancelled task has ended by then
    client.answer()

    (task,) = asked
    assert task.cancelled()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        START + frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff"),
        START + frame(HEADERS, END_HEADERS, 2, b""),
        START + frame(DATA, 0, 1, b""),
        START + frame(PUSH, 0, 1, b""),
        START + frame(SETTINGS, 0, 0, b"x"),
        START + frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff"),
        START + frame(DATA, 0, 1, bytes(MAX_FRAME + 1)),
    ],
)
def test_a_client_that_breaks_the_protocol_is_told_and_loses_its_connection(address, client, data):
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as other:
        other.sendall(data)
        received = b"".join(iter(lambda: other.recv(1 << 16), b""))
    client.ask(b"hello")

    assert bytes([GO_AWAY]) == received[-17 + 3 : -17 + 4]
    assert client.answer()[0] == prefixed(b"hello")


def test_more_requests_than_a_connection_may_have_are_refused(address):
    host, port = address.split(":")
    block = hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*field) for field in HEAD])
    numbers = range(1, 2 * 1000 + 2, 2)
    with socket.create_connection((host, int(port)), timeout=20) as other:
        other.sendall(START + b"".join(frame(HEADERS, END_HEADERS, n, block) for n in numbers))
        reader = FrameReader()
        frames = list(reader.read(PREFACE))
        while not frames or frames[-1][0] != RESET:
            frames += reader.read(other.recv(1 << 16))

    assert frames[-1] == (RESET, 0, numbers[-1], REFUSED.to_bytes(4))

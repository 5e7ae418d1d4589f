"""Clients that break the protocol, leave, or ask for more than they take."""

import asyncio
import socket
import struct
from contextlib import closing

import grpc
import hpack
import pytest

from adjourn_local.http import http2
from adjourn_local.http.grpc_server import GrpcServer
from adjourn_local.http.http2_frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GO_AWAY,
    HEADERS,
    MAX_FRAME,
    PING,
    RESET,
    SETTINGS,
    frame,
)
from adjourn_local.http.rpc import service
from adjourn_local.runtime.loop import LoopThread
from tests.http2_clients import HEAD, Client, Text, Wire, prefixed, request
from tests.support import serving


@pytest.fixture
def asked():
    return []


@pytest.fixture
def made():
    return []


@pytest.fixture
def address(asked, made):
    async def wait(request):
        asked.append(asyncio.current_task())
        await asyncio.Event().wait()
        return request

    def make(request):
        made.append(request)
        return request

    methods = {"Say": (Text, lambda request: request), "Wait": (Text, wait), "Make": (Text, make)}
    with LoopThread() as loop, serving(loop, service("test.Echo", methods)) as address:
        yield address


@pytest.fixture
def client(address):
    with closing(Client(address)) as client:
        yield client


@pytest.fixture
def wire(address):
    with closing(Wire(address)) as wire:
        yield wire


def test_what_is_taken_back_at_once_is_not_begun(wire, asked):
    data = b"".join(
        request(number, "Wait") + frame(RESET, 0, number, bytes(4)) for number in range(1, 101, 2)
    )
    wire.send(data + request(201, body=b"after"))
    wire.until(DATA, 201)

    assert len(data) < MAX_FRAME  # it arrives at once
    assert asked == []


def test_a_client_that_reads_nothing_is_not_read_either(wire, client):
    pings = frame(PING, 0, 0, bytes(8)) * 10_000
    wire.socket.settimeout(1)
    with pytest.raises(TimeoutError):
        wire.send(pings * 500)
    client.ask(b"hello")

    assert client.answer()[0] == prefixed(b"hello")


def test_no_responses_are_made_for_a_client_that_leaves_them(wire, made, monkeypatch):
    monkeypatch.setattr(http2, "_MOST_UNSENT", 10_000)
    numbers = range(1, 61, 2)
    wire.send(frame(SETTINGS, 0, 0, (4).to_bytes(2) + (0).to_bytes(4)))
    wire.send(b"".join(request(number, "Make", bytes(1000)) for number in numbers))
    wire.until(HEADERS, 1)
    wire.send(frame(PING, 0, 0, bytes(8)))
    wire.until(PING, 0)
    made_first = len(made)
    wire.send(frame(SETTINGS, 0, 0, (4).to_bytes(2) + (1 << 20).to_bytes(4)))
    wire.until(DATA, numbers[-1])

    assert made_first <= 10
    assert len(made) == len(numbers)


def test_a_client_that_is_gone_at_once_leaves_no_trace(address, client, caplog):
    for _ in range(20):
        with closing(Wire(address)) as wire:
            wire.send(b"".join(request(number, "Say", bytes(1000)) for number in range(1, 61, 2)))
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.ask(b"hello")

    assert client.answer()[0] == prefixed(b"hello")
    assert caplog.records == []


def test_what_was_sent_to_a_server_that_leaves_does_not_harm_what_is_under_way():
    may_end = asyncio.Event()

    async def wait(request):
        await may_end.wait()
        return request

    async def stop(server, wire):
        stopping = asyncio.ensure_future(server.stop(20))
        await asyncio.sleep(0)
        wire.send(request(3) + frame(PING, 0, 0, bytes(8)))
        return stopping

    async def finish(stopping):
        may_end.set()
        await stopping

    with LoopThread() as loop:
        server = GrpcServer([service("test.Echo", {"Wait": (Text, wait)})])
        address = f"127.0.0.1:{loop.run(server.listen('127.0.0.1', 0))}"
        with closing(Wire(address)) as wire:
            wire.send(request(1, "Wait", b"hello") + frame(PING, 0, 0, bytes(8)))
            wire.until(PING, 0)
            stopping = loop.run(stop(server, wire))
            frames = wire.until(PING, 0)
            loop.run(finish(stopping))
            wire.until(DATA, 1)

    assert [each[0] for each in frames] == [GO_AWAY, PING]


def test_a_call_whose_time_is_up_ends_even_if_its_client_does_not_say_so(wire, asked):
    wire.send(request(1, "Wait", b"", ("grpc-timeout", "50m")))
    frames = wire.until(HEADERS, 1)
    wire.send(request(3))
    wire.until(DATA, 3)

    fields = dict(hpack.Decoder().decode(frames[-1][3]))
    assert fields["grpc-status"] == str(grpc.StatusCode.DEADLINE_EXCEEDED.value[0])
    (task,) = asked
    assert task.cancelled()


@pytest.mark.parametrize(
    ("header", "http", "status"),
    [
        (("content-type", "application/json"), "415", grpc.StatusCode.UNKNOWN),
        (("content-type", "application/grpc-web"), "415", grpc.StatusCode.UNKNOWN),
        ((":method", "GET"), "405", grpc.StatusCode.INTERNAL),
        (("grpc-timeout", "9" * 5000 + "S"), "200", grpc.StatusCode.INTERNAL),
        (("grpc-timeout", "9" * 400 + "S"), "200", grpc.StatusCode.INTERNAL),
        (("grpc-timeout", "1s"), "200", grpc.StatusCode.INTERNAL),
    ],
)
def test_headers_that_are_not_those_of_a_call(wire, caplog, header, http, status):
    fields = [*[each for each in HEAD if each[0] != header[0]], header]
    block = hpack.Encoder().encode(sorted(fields))
    wire.send(frame(HEADERS, END_HEADERS, 1, block) + frame(DATA, END_STREAM, 1, prefixed(b"")))
    answer = dict(hpack.Decoder().decode(wire.until(HEADERS, 1)[-1][3]))

    assert (answer[":status"], answer["grpc-status"]) == (http, str(status.value[0]))
    assert caplog.records == []


@pytest.mark.parametrize("start", [b"\1\0\0\0\1x", b"\2\0\0\0\1x", b"\0\0\0\0\2x", b"\0\0", b""])
def test_messages_that_are_not_what_they_say(wire, start):
    wire.send(request(1)[: -len(prefixed(b"")) - 9] + frame(DATA, END_STREAM, 1, start))
    answer = dict(hpack.Decoder().decode(wire.until(HEADERS, 1)[-1][3]))

    assert answer["grpc-status"] == str(grpc.StatusCode.INTERNAL.value[0])

"""The HTTP application, as sockets speak to it."""

import socket
import struct
from contextlib import AsyncExitStack, closing

import pytest
import requests
from aiohttp import web

from adjourn_local.http.application import runner
from adjourn_local.http.bodies import BODY
from adjourn_local.http.grpc_server import GrpcServer
from adjourn_local.runtime.ports import HOST
from adjourn_local.runtime.serving import serve_http
from tests.support import free_base

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"


@pytest.fixture
def port(loop):
    async def echo(request):
        return web.Response(body=request[BODY])

    closing, port = AsyncExitStack(), free_base()
    served = runner([web.post("/", echo)])
    loop.run(serve_http(closing, served, HOST, port, GrpcServer([])))
    yield port
    loop.run(closing.aclose())


def connected(port):
    return closing(socket.create_connection((HOST, port), timeout=20))


def answer(client):
    """Return the status line and the body of a response of five bytes."""
    received = b""
    while b"\r\n\r\n" not in received or len(received.partition(b"\r\n\r\n")[2]) < 5:
        data = client.recv(1 << 16)
        assert data, received
        received += data
    return received.partition(b"\r\n")[0], received.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    "begun",
    [b"Content-Length: 100\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"],
)
@pytest.mark.parametrize("linger", [0, 1])
def test_a_client_that_goes_within_its_body_leaves_no_trace(port, caplog, begun, linger):
    with connected(port) as client:
        client.sendall(HEAD + begun)
        assert requests.get(f"http://{HOST}:{port}/", timeout=20).status_code == 405
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1 - linger, 0))
    for _ in range(3):
        response = requests.post(f"http://{HOST}:{port}/", json=1, timeout=20)
        assert response.content == b"1"

    assert caplog.records == []


def test_a_client_that_asks_for_http2_goes_on_with_http1(port):
    """The client of Java asks so with each first request on a connection."""
    with connected(port) as client:
        for headers in (UPGRADE, b"", UPGRADE):
            client.sendall(HEAD + headers + b"Content-Length: 5\r\n\r\nhello")
            assert answer(client) == (b"HTTP/1.1 200 OK", b"hello")


def test_a_client_that_speaks_tls_is_told(port):
    with connected(port) as client:
        client.sendall(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(160))

        assert b"HTTPS traffic on an HTTP port" in client.recv(1 << 16)

"""One port for HTTP and gRPC."""

import socket
from contextlib import AsyncExitStack, suppress

import pytest
import requests

from adjourn_local.http.application import runner
from adjourn_local.http.grpc_server import GrpcServer
from adjourn_local.runtime.ports import HOST
from adjourn_local.runtime.serving import serve_http
from tests.support import free_base


@pytest.mark.parametrize("begun", [b"", b"PRI * HT", b"GET / HTTP/1.1\r\n"])
def test_a_client_that_says_nothing_more_is_let_go_in_the_end(loop, begun):
    closing, port = AsyncExitStack(), free_base()
    loop.run(serve_http(closing, runner([]), HOST, port, GrpcServer([])))
    with socket.create_connection((HOST, port), timeout=10) as client:
        client.sendall(begun)
        # It is accepted before another one is answered.
        assert requests.get(f"http://{HOST}:{port}/", timeout=10).status_code == 404
        loop.run(closing.aclose())

        with suppress(ConnectionResetError):
            assert client.recv(1) == b""

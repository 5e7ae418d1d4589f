"""Requests as bytes on a socket, so that they can be as wrong as one likes."""

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple


class Answer(NamedTuple):
    """What came back.

    Attributes:
        status: The status; 0 if nothing came.
        headers: The headers in lower case.
        body: The body.
        is_over: Whether the connection was closed after it.
        seconds: How long it took to come.
    """

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""
    is_over: bool = True
    seconds: float = 0.0


def head(
    method: str = "POST", path: str = "/", headers: Mapping[str, str] | None = None, length: int = 0
) -> bytes:
    """Return the head of a request with a body of this length."""
    said = {"Host": "127.0.0.1", **(headers or {}), "Content-Length": str(length)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in said.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


@contextmanager
def connected(port: int, seconds: float = 10) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def receive(connection: socket.socket) -> Answer:
    """Read one answer; see whether the connection is closed after it."""
    began = time.monotonic()
    received = b""
    try:
        while b"\r\n\r\n" not in received:
            piece = connection.recv(65536)
            if not piece:
                return Answer(status=0, seconds=time.monotonic() - began)
            received += piece
        top, _, body = received.partition(b"\r\n\r\n")
        first, *lines = top.decode("latin-1").split("\r\n")
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
        seconds = time.monotonic() - began
        is_closing = headers.get("connection", "").lower() == "close"
        length = int(headers.get("content-length", "0"))
        while len(body) < length or is_closing:
            piece = connection.recv(65536)
            if not piece:
                return Answer(int(first.split()[1]), headers, body, seconds=seconds)
            body += piece
    except ConnectionError:
        return Answer(status=0, seconds=time.monotonic() - began)
    return Answer(int(first.split()[1]), headers, body, is_over=False, seconds=seconds)


def ask(port: int, request: bytes) -> Answer:
    """Send one request and return its answer."""
    with connected(port) as connection:
        connection.sendall(request)
        return receive(connection)

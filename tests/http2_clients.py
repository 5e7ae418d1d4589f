"""Clients that speak HTTP/2 to the stack's gRPC server, and what they ask."""

import socket

import hpack
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded, TrailersReceived

from adjourn_local.http.http2_frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    MAX_FRAME,
    PREFACE,
    SETTINGS,
    FrameReader,
    frame,
)

HEAD = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/test.Echo/Say"),
    (":authority", "localhost"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]
DEFAULT_WINDOW = 65_535
START = PREFACE + frame(SETTINGS, 0, 0, b"")


class Text:
    """A message that is its own serialization."""

    def __init__(self, data):
        self.data = data

    FromString = classmethod(lambda cls, data: cls(data))

    def SerializeToString(self):  # noqa: N802 - as messages of protobuf name it
        return self.data


def prefixed(data):
    return b"\0" + len(data).to_bytes(4) + data


class Client:
    """A client that speaks HTTP/2 through the library h2."""

    def __init__(self, address):
        host, port = address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.h2 = H2Connection(H2Configuration(validate_outbound_headers=False))
        self.h2.initiate_connection()
        self.send()

    def send(self, size=None):
        data = self.h2.data_to_send()
        for start in range(0, len(data), size or len(data) or 1):
            self.socket.sendall(data[start : start + (size or len(data))])

    def events(self):
        """Yield what the server sends until it closes the connection."""
        while data := self.socket.recv(1 << 16):
            yield from self.h2.receive_data(data)
            self.send()

    def until(self, kind):
        found = []
        for event in self.events():
            found.append(event)
            if isinstance(event, kind):
                return found
        raise AssertionError(f"the connection was closed before {kind.__name__}: {found}")

    def ask(self, data, number=1, **sending):
        self.h2.send_headers(number, HEAD)
        body = prefixed(data)
        for start in range(0, len(body), MAX_FRAME):
            self.h2.send_data(number, body[start : start + MAX_FRAME])
        self.h2.end_stream(number)
        self.send(**sending)

    def answer(self):
        """Return the body and the trailers of the response that ends next."""
        events = self.until(StreamEnded)
        body = b"".join(each.data for each in events if isinstance(each, DataReceived))
        (trailers,) = [each.headers for each in events if isinstance(each, TrailersReceived)]
        return body, dict(trailers)

    def close(self):
        self.socket.close()


class Wire:
    """A client that sends what it likes, and reads frames."""

    def __init__(self, address):
        host, port = address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.send = self.socket.sendall
        self.send(START)
        self._reader = FrameReader()
        list(self._reader.read(PREFACE))

    def until(self, kind, number):
        """Return the frames until the first of a kind on a stream."""
        frames = []
        while not any((each[0], each[2]) == (kind, number) for each in frames):
            data = self.socket.recv(1 << 16)
            assert data, "the connection was closed"
            frames += self._reader.read(data)
        return frames

    def close(self):
        self.socket.close()


def request(number, method="Say", body=b"", *more):
    """Return a request as frames."""
    fields = [(name, f"/test.Echo/{method}" if name == ":path" else value) for name, value in HEAD]
    block = hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*f) for f in (*fields, *more)])
    return frame(HEADERS, END_HEADERS, number, block) + frame(
        DATA, END_STREAM, number, prefixed(body)
    )

"""HTTP/2 for a server that reads each request whole and answers it whole (RFC 9113).

Frames and flow control are written here because the libraries for them cost more than all else that
a small call takes (docs/benchmarks.md, "Floors").
"""

import asyncio
from collections.abc import Callable
from typing import Any

from adjourn_local.http.http2_exchange import Exchange
from adjourn_local.http.http2_frames import (
    END_HEADERS,
    GO_AWAY,
    HEADERS,
    LARGEST,
    NO_ERROR,
    SETTINGS,
    WINDOW,
    FrameReader,
    Http2Error,
    frame,
)
from adjourn_local.http.http2_sending import DEFAULT_WINDOW, ResponseSender
from adjourn_local.http.http2_streams import (
    INITIAL_WINDOW,
    MAX_LIST,
    MAX_OPEN,
    MAX_STREAMS,
    Streams,
)

# The largest headers of a request, as RFC 9113, 6.5.2 counts them. Clients are told; whoever serves
# a request that has larger ones refuses it.
MAX_HEADERS = 1 << 16
# Bytes of responses that a client leaves, from which on no further ones are made.
_MOST_UNSENT = 1 << 26
# Bytes of all else that a client leaves, from which on nothing is read from it.
_MOST_UNREAD = 1 << 20
_LINGER_SECONDS = 5.0

Serve = Callable[["Http2Connection", Exchange], "asyncio.Future[None]"]


class Http2Connection(asyncio.Protocol):
    """A client's connection.

    Args:
        serve: Called with each request once it has arrived; what it returns is cancelled if the
            client does not want the response any more.
        largest: The largest body of a request, in bytes.
        connections: The open connections, of which this is one until it is closed.
    """

    def __init__(self, serve: Serve, largest: int, connections: "set[Http2Connection]") -> None:
        self._serve = serve
        self._transport: Any = None
        self._connections = connections
        self._reader = FrameReader()
        self._largest = largest
        self._room = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Allow the client to send requests of any size at once."""
        self._transport = transport
        self._sender = ResponseSender(self._transport.write)
        self._streams = Streams(self._sender, self._largest)
        self._connections.add(self)
        settings = {MAX_STREAMS: MAX_OPEN, INITIAL_WINDOW: LARGEST, MAX_LIST: MAX_HEADERS}
        payload = b"".join(k.to_bytes(2) + value.to_bytes(4) for k, value in settings.items())
        more = (LARGEST - DEFAULT_WINDOW).to_bytes(4)
        self._transport.write(frame(SETTINGS, 0, 0, payload) + frame(WINDOW, 0, 0, more))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - of the protocol
        """Drop what the client no longer waits for."""
        self._connections.discard(self)
        self._drop()

    def pause_writing(self) -> None:
        """Keep responses back, which the client does not read."""
        self._sender.is_full = True

    def resume_writing(self) -> None:
        """Go on with the responses, and with what the client asks."""
        self._sender.is_full = False
        self._transport.resume_reading()
        self._go_on()

    @property
    def address(self) -> tuple[Any, ...]:
        """The client's address, as its socket has it; empty if it was gone at once."""
        address: tuple[Any, ...] = self._transport.get_extra_info("peername") or ()
        return address

    @property
    def is_behind(self) -> bool:
        """Whether the client leaves so many responses that no further ones should be made."""
        return self._sender.unsent > _MOST_UNSENT

    def data_received(self, data: bytes) -> None:
        """Take the frames that are complete, then begin what they ask and did not take back."""
        try:
            self._streams.receive(self._reader.read(data))
        except Http2Error as error:
            self._leave(error.code)
            self.close()
            return
        if self._streams.replies:
            self._transport.write(b"".join(self._streams.replies))
            self._streams.replies.clear()
        if self._streams.has_window:
            self._streams.has_window = False
            self._go_on()
        while self._streams.ready:
            exchange = self._streams.ready.popleft()
            if exchange in self._streams:
                exchange.work = self._serve(self, exchange)
        if self._sender.is_full and self._transport.get_write_buffer_size() > _MOST_UNREAD:
            self._transport.pause_reading()

    def respond(self, exchange: Exchange, headers: bytes, body: bytes, trailers: bytes) -> None:
        """Answer a request, unless its client has gone.

        Args:
            exchange: The request.
            headers: A header block; empty to send the trailers alone.
            body: The body.
            trailers: The header block that ends the response.
        """
        if exchange not in self._streams or self._transport.is_closing():
            return
        exchange.unsent, exchange.trailers = memoryview(body), trailers
        start = frame(HEADERS, END_HEADERS, exchange.id, headers) if headers else b""
        if self._sender.begin(exchange, start):
            self._streams.forget(exchange)

    async def caught_up(self) -> None:
        """Wait until the client is not behind."""
        while self.is_behind:
            self._room.clear()
            await self._room.wait()

    def leave(self) -> None:
        """Take no more requests; the client sends them elsewhere."""
        self._leave(NO_ERROR)

    def work(self) -> "list[asyncio.Future[None]]":
        """Return what is under way."""
        return [each.work for each in self._streams.open() if each.work is not None]

    def close(self) -> None:
        """Close the connection; what is under way is cancelled, what was sent may still arrive."""
        self._drop()
        self._transport.close()
        asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._transport.abort)

    def _leave(self, code: int) -> None:
        self._streams.is_leaving = True
        payload = self._streams.last.to_bytes(4) + code.to_bytes(4)
        self._transport.write(frame(GO_AWAY, 0, 0, payload))

    def _drop(self) -> None:
        for exchange in self._streams.open():
            self._streams.cancel(exchange)

    def _go_on(self) -> None:
        for exchange in self._sender.go_on():
            self._streams.forget(exchange)
        if not self.is_behind:
            self._room.set()

"""HTTP/2 for a server that reads each request whole and answers it whole (RFC 9113).

hpack decodes the headers; frames and flow control are here because the libraries for them cost more
than all else that a small call takes (docs/benchmarks.md, "Floors").
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import hpack

from adjourn_local.http.http2_frames import (
    ACK,
    COMPRESSION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL,
    FRAME_SIZE,
    GO_AWAY,
    HEADERS,
    LARGEST,
    MAX_BLOCK,
    MAX_FRAME,
    NO_ERROR,
    PING,
    PROTOCOL,
    REFUSED,
    RESET,
    SETTINGS,
    WINDOW,
    FrameReader,
    Http2Error,
    frame,
    unpadded,
)

_MAX_STREAMS, _INITIAL_WINDOW = 3, 4
_DEFAULT_WINDOW = (1 << 16) - 1
_MAX_OPEN = 1000
_MAX_KNOWN = 100
# The client may send so much more once so much of it has arrived.
_TOP_UP = 1 << 20


@dataclass(slots=True, eq=False)
class Exchange:
    """A request and its response.

    `window` is how many bytes of a response the client takes now, `work` what makes the response.
    The body of a request that `is_too_large` is empty.
    """

    id: int
    headers: Mapping[str, str]
    window: int
    body: bytearray = field(default_factory=bytearray)
    is_too_large: bool = False
    is_complete: bool = False
    work: "asyncio.Future[None] | None" = None
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    trailers: bytes = b""


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
        self._largest = largest
        self._connections = connections
        self._reader = FrameReader()
        self._decoder = hpack.Decoder(MAX_BLOCK)
        self._known: dict[bytes, Mapping[str, str]] = {}
        self._last = 0
        self._open: dict[int, Exchange] = {}
        self._is_leaving = False
        self._arrived = 0
        self._window = self._initial_window = _DEFAULT_WINDOW
        self._receivers: Mapping[int, Callable[[int, int, bytes], None]] = {
            DATA: self._data,
            HEADERS: self._headers,
            RESET: self._reset,
            SETTINGS: self._settings,
            PING: self._ping,
            WINDOW: self._window_update,
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Allow the client to send requests of any size at once."""
        self._transport = transport
        self._connections.add(self)
        settings = {_MAX_STREAMS: _MAX_OPEN, _INITIAL_WINDOW: LARGEST}
        payload = b"".join(k.to_bytes(2) + value.to_bytes(4) for k, value in settings.items())
        more = (LARGEST - _DEFAULT_WINDOW).to_bytes(4)
        self._transport.write(frame(SETTINGS, 0, 0, payload) + frame(WINDOW, 0, 0, more))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - of the protocol
        """Drop what the client no longer waits for."""
        self._connections.discard(self)
        for exchange in self._open.values():
            if exchange.work is not None:
                exchange.work.cancel()
        self._open.clear()

    @property
    def address(self) -> tuple[Any, ...]:
        """The client's address, as its socket has it."""
        address: tuple[Any, ...] = self._transport.get_extra_info("peername") or ()
        return address

    def data_received(self, data: bytes) -> None:
        """Handle the frames that are complete."""
        try:
            for kind, flags, number, payload in self._reader.read(data):
                if receive := self._receivers.get(kind):
                    receive(flags, number, payload)
        except Http2Error as error:
            self._leave(error.code)
            self._transport.close()

    def respond(self, exchange: Exchange, headers: bytes, body: bytes, trailers: bytes) -> None:
        """Answer a request, unless its client has gone.

        Args:
            exchange: The request.
            headers: A header block; empty to send the trailers alone.
            body: The body.
            trailers: The header block that ends the response.
        """
        if exchange.id not in self._open:
            return
        exchange.unsent, exchange.trailers = memoryview(body), trailers
        start = frame(HEADERS, END_HEADERS, exchange.id, headers) if headers else b""
        self._transport.write(start + b"".join(self._sendable(exchange)))

    def leave(self) -> None:
        """Take no more requests; the client sends them elsewhere."""
        self._leave(NO_ERROR)

    def work(self) -> "list[asyncio.Future[None]]":
        """Return what is under way."""
        return [each.work for each in self._open.values() if each.work is not None]

    def close(self) -> None:
        """Close the connection; what is under way is cancelled."""
        self._transport.close()

    def _leave(self, code: int) -> None:
        self._is_leaving = True
        payload = self._last.to_bytes(4) + code.to_bytes(4)
        self._transport.write(frame(GO_AWAY, 0, 0, payload))

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        if number > self._last or not number:
            raise Http2Error(PROTOCOL, "data without a request")
        self._arrived += len(payload)
        if self._arrived >= _TOP_UP:
            self._transport.write(frame(WINDOW, 0, 0, self._arrived.to_bytes(4)))
            self._arrived = 0
        exchange = self._open.get(number)
        if exchange is None or exchange.is_complete:
            return
        if not exchange.is_too_large:
            exchange.body += unpadded(flags, payload)
        if flags & END_STREAM:
            self._complete(exchange)
        elif len(exchange.body) > self._largest:
            self._refuse(exchange)

    def _complete(self, exchange: Exchange) -> None:
        if exchange.is_complete:
            return
        exchange.is_complete = True
        if len(exchange.body) > self._largest:
            self._refuse(exchange)
        elif not exchange.is_too_large:
            exchange.work = self._serve(self, exchange)

    def _refuse(self, exchange: Exchange) -> None:
        exchange.is_too_large = True
        exchange.body.clear()
        exchange.work = self._serve(self, exchange)

    def _headers(self, flags: int, number: int, block: bytes) -> None:
        headers = self._decoded(block)
        if number > self._last:
            self._begin(number, headers)
        # A second block, of trailers, ends the request.
        if flags & END_STREAM and (exchange := self._open.get(number)):
            self._complete(exchange)

    def _decoded(self, block: bytes) -> Mapping[str, str]:
        """Return the headers in a block.

        A client sends most of its calls with the same headers, in the same few bytes. They are
        decoded once, as long as no block changes the table to which they refer (RFC 7541, 2.3.2).
        """
        if headers := self._known.get(block):
            return headers
        first, sizes = self._table()
        try:
            headers = {str(name): str(value) for name, value in self._decoder.decode(block)}
        except hpack.HPACKError as error:
            raise Http2Error(COMPRESSION, str(error)) from None
        first_now, sizes_now = self._table()
        if first_now is not first or sizes_now != sizes:
            self._known.clear()
        elif len(self._known) < _MAX_KNOWN:
            self._known[block] = headers
        return headers

    def _table(self) -> tuple[Any, tuple[int, int]]:
        """Return the newest entry of the table of headers, and its sizes: a change changes one."""
        table = self._decoder.header_table
        entries = table.dynamic_entries
        return entries[0] if entries else None, (len(entries), table.maxsize)

    def _begin(self, number: int, headers: Mapping[str, str]) -> None:
        if not number % 2:
            raise Http2Error(PROTOCOL, "clients have odd numbers")
        if self._is_leaving:
            return  # GOAWAY has said which requests are the last
        self._last = number
        if len(self._open) >= _MAX_OPEN:
            self._transport.write(frame(RESET, 0, number, REFUSED.to_bytes(4)))
            return
        self._open[number] = Exchange(number, headers, self._initial_window)

    def _reset(self, _flags: int, number: int, _payload: bytes) -> None:
        exchange = self._open.pop(number, None)
        if exchange is not None and exchange.work is not None:
            exchange.work.cancel()

    def _settings(self, flags: int, _number: int, payload: bytes) -> None:
        if flags & ACK:
            return
        if len(payload) % 6:
            raise Http2Error(FRAME_SIZE, "settings have six bytes each")
        for start in range(0, len(payload), 6):
            value = int.from_bytes(payload[start + 2 : start + 6])
            if int.from_bytes(payload[start : start + 2]) == _INITIAL_WINDOW:
                for exchange in self._open.values():
                    exchange.window += value - self._initial_window
                self._initial_window = value
        self._transport.write(frame(SETTINGS, ACK, 0, b""))
        self._go_on()

    def _ping(self, flags: int, _number: int, payload: bytes) -> None:
        if not flags & ACK:
            self._transport.write(frame(PING, ACK, 0, payload))

    def _window_update(self, _flags: int, number: int, payload: bytes) -> None:
        more = int.from_bytes(payload) & LARGEST
        if not number:
            self._window += more
        elif exchange := self._open.get(number):
            exchange.window += more
        if self._window > LARGEST:
            raise Http2Error(FLOW_CONTROL, "the window is too large")
        self._go_on()

    def _go_on(self) -> None:
        """Send what waited for the client to take it."""
        for exchange in [each for each in self._open.values() if each.unsent]:
            self._transport.write(b"".join(self._sendable(exchange)))

    def _sendable(self, exchange: Exchange) -> Iterator[bytes]:
        """Yield the frames of a response that its client takes now."""
        while exchange.unsent:
            size = min(len(exchange.unsent), self._window, exchange.window, MAX_FRAME)
            if size <= 0:
                return
            yield frame(DATA, 0, exchange.id, exchange.unsent[:size])
            exchange.unsent = exchange.unsent[size:]
            exchange.window -= size
            self._window -= size
        yield frame(HEADERS, END_HEADERS | END_STREAM, exchange.id, exchange.trailers)
        if not exchange.is_complete:
            yield frame(RESET, 0, exchange.id, NO_ERROR.to_bytes(4))
        del self._open[exchange.id]

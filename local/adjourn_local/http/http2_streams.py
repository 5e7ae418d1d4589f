"""The requests on a connection of HTTP/2: what each frame of a client means (RFC 9113, 5 and 6)."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from adjourn_local.http.http2_exchange import Exchange
from adjourn_local.http.http2_frames import (
    ACK,
    DATA,
    END_STREAM,
    FLOW_CONTROL,
    FRAME_SIZE,
    HEADERS,
    LARGEST,
    MAX_FRAME,
    PING,
    PROTOCOL,
    REFUSED,
    RESET,
    SETTINGS,
    STREAM_CLOSED,
    TOO_MUCH,
    WINDOW,
    Frame,
    Http2Error,
    StreamError,
    frame,
    unpadded,
)
from adjourn_local.http.http2_headers import HeaderDecoder, Headers
from adjourn_local.http.http2_sending import ResponseSender

MAX_OPEN = 1000
PUSH, MAX_STREAMS, INITIAL_WINDOW, FRAME_BYTES, MAX_LIST = 2, 3, 4, 5, 6
_LARGEST_FRAME = (1 << 24) - 1
# Bytes of a client's requests that are held at a time.
_MOST_HELD = 1 << 30
# The client may send so much more once so much of it has arrived.
_TOP_UP = 1 << 20


class Streams:
    """The requests of a client that are not answered yet.

    Args:
        sender: Sends the responses.
        largest: The largest body of a request, in bytes.

    Attributes:
        last: The number of the last request.
        ready: The requests that have arrived and wait to be served.
        replies: The frames to send that are no responses.
        is_leaving: Whether further requests are ignored, of which the client has been told.
        has_window: Whether the client may take more of the responses than before.
    """

    def __init__(self, sender: ResponseSender, largest: int) -> None:
        self._sender = sender
        self._largest = largest
        self._decoder = HeaderDecoder()
        self._open: dict[int, Exchange] = {}
        self._arrived = self._held = 0
        self.last = 0
        self.ready: deque[Exchange] = deque()
        self.replies: list[bytes] = []
        self.is_leaving = False
        self.has_window = False
        self._receivers: Mapping[int, Callable[[int, int, bytes], None]] = {
            DATA: self._data,
            HEADERS: self._headers,
            RESET: self._reset,
            SETTINGS: self._settings,
            PING: self._ping,
            WINDOW: self._window_update,
        }

    def __contains__(self, exchange: Exchange) -> bool:
        return exchange.id in self._open

    def open(self) -> list[Exchange]:
        """Return the requests that are not answered yet."""
        return list(self._open.values())

    def receive(self, frames: Iterable[Frame]) -> None:
        """Take the client's frames.

        Raises:
            Http2Error: The client breaks the protocol.
        """
        for kind, flags, number, payload in frames:
            if receive := self._receivers.get(kind):
                try:
                    receive(flags, number, payload)
                except StreamError as error:
                    self._break(number, error.code)

    def forget(self, exchange: Exchange) -> None:
        """Note that a request is answered."""
        del self._open[exchange.id]
        self._held -= len(exchange.body)

    def cancel(self, exchange: Exchange) -> None:
        """Drop a request, whose response nobody waits for."""
        self.forget(exchange)
        self._sender.drop(exchange)
        if exchange.work is not None:
            exchange.work.cancel()

    def _break(self, number: int, code: int) -> None:
        if exchange := self._open.get(number):
            self.cancel(exchange)
        self.replies.append(frame(RESET, 0, number, code.to_bytes(4)))

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        self._arrived += len(payload)
        if self._arrived >= _TOP_UP:
            self.replies.append(frame(WINDOW, 0, 0, self._arrived.to_bytes(4)))
            self._arrived = 0
        exchange = self._known(number)
        if exchange is None:
            return
        if exchange.is_complete:
            raise StreamError(STREAM_CLOSED, "data after the end of a request")
        content = unpadded(flags, payload)
        if not exchange.is_too_large:
            exchange.body += content
            self._held += len(content)
        if flags & END_STREAM:
            self._complete(exchange)
        elif len(exchange.body) > self._largest:
            self._refuse(exchange)
        elif self._held > _MOST_HELD:
            raise StreamError(TOO_MUCH, "the client's requests are too large together")

    def _known(self, number: int) -> Exchange | None:
        """Return the request with a number; None if it has ended, or came too late."""
        if not number % 2 or (number > self.last and not self.is_leaving):
            raise Http2Error(PROTOCOL, "a frame without a request")
        return self._open.get(number)

    def _complete(self, exchange: Exchange) -> None:
        exchange.is_complete = True
        if exchange.is_too_large:
            return
        if exchange.headers.length not in {None, len(exchange.body)}:
            raise StreamError(PROTOCOL, "the body has another length than the headers say")
        if len(exchange.body) > self._largest:
            self._refuse(exchange)
        else:
            self.ready.append(exchange)

    def _refuse(self, exchange: Exchange) -> None:
        self._held -= len(exchange.body)
        exchange.body = bytearray()
        exchange.is_too_large = True
        self.ready.append(exchange)

    def _headers(self, flags: int, number: int, block: bytes) -> None:
        headers = self._decoder.decode(block)  # even if nobody wants them: others refer to them
        if not number % 2:
            raise Http2Error(PROTOCOL, "clients have odd numbers")
        if number > self.last:
            if not self.is_leaving:
                self._begin(number, headers, ends=bool(flags & END_STREAM))
            return
        exchange = self._open.get(number)
        if exchange is None or exchange.is_complete:
            raise StreamError(STREAM_CLOSED, "headers after the end of a request")
        if not flags & END_STREAM or not headers.is_trailers:
            raise StreamError(PROTOCOL, "what follows the body are no trailers")
        self._complete(exchange)

    def _begin(self, number: int, headers: Headers, *, ends: bool) -> None:
        self.last = number
        if len(self._open) >= MAX_OPEN:
            raise StreamError(REFUSED, "there are too many requests")
        if not headers.is_request:
            raise StreamError(PROTOCOL, "the headers are not those of a request")
        self._open[number] = exchange = Exchange(number, headers)
        if ends:
            self._complete(exchange)

    def _reset(self, _flags: int, number: int, _payload: bytes) -> None:
        if exchange := self._known(number):
            self.cancel(exchange)

    def _settings(self, flags: int, _number: int, payload: bytes) -> None:
        if len(payload) % 6 or (flags & ACK and payload):
            raise Http2Error(FRAME_SIZE, "settings have six bytes each")
        if flags & ACK:
            return
        for start in range(0, len(payload), 6):
            name = int.from_bytes(payload[start : start + 2])
            value = int.from_bytes(payload[start + 2 : start + 6])
            _check(name, value)
            if name == INITIAL_WINDOW:
                self._sender.initial_window = value
                self.has_window = True
        self.replies.append(frame(SETTINGS, ACK, 0, b""))

    def _ping(self, flags: int, _number: int, payload: bytes) -> None:
        if not flags & ACK:
            self.replies.append(frame(PING, ACK, 0, payload))

    def _window_update(self, _flags: int, number: int, payload: bytes) -> None:
        more = int.from_bytes(payload) & LARGEST
        if not number:
            self._widen(more)
        elif exchange := self._known(number):
            exchange.window += more
            if not more:
                raise StreamError(PROTOCOL, "the window does not grow")
            if self._sender.initial_window + exchange.window > LARGEST:
                raise StreamError(FLOW_CONTROL, "the window is too large")
        self.has_window = True

    def _widen(self, more: int) -> None:
        self._sender.window += more
        if not more:
            raise Http2Error(PROTOCOL, "the window does not grow")
        if self._sender.window > LARGEST:
            raise Http2Error(FLOW_CONTROL, "the window is too large")


def _check(name: int, value: int) -> None:
    """Check a setting of the client (RFC 9113, 6.5.2)."""
    if name == INITIAL_WINDOW and value > LARGEST:
        raise Http2Error(FLOW_CONTROL, "the initial window is too large")
    if name == PUSH and value > 1:
        raise Http2Error(PROTOCOL, "a client allows pushes or does not")
    if name == FRAME_BYTES and not MAX_FRAME <= value <= _LARGEST_FRAME:
        raise Http2Error(PROTOCOL, "frames cannot have this size")

"""The responses on a connection of HTTP/2, sent as far as its client takes them (RFC 9113, 5.2)."""

from collections.abc import Callable

from adjourn_local.http.http2_exchange import Exchange
from adjourn_local.http.http2_frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    MAX_FRAME,
    NO_ERROR,
    RESET,
    frame,
)

DEFAULT_WINDOW = (1 << 16) - 1
# So much is handed to the transport at once, which then says whether it takes more.
_BATCH = 1 << 18


class ResponseSender:
    """Sends responses, each as far as the client takes it.

    Args:
        write: Sends bytes to the client.

    Attributes:
        window: How many bytes of all responses the client takes now.
        initial_window: How many bytes of each response it takes at first.
        is_full: Whether the transport takes no more for now.
        unsent: How many bytes of responses wait.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._waiting: dict[int, Exchange] = {}
        self.window = self.initial_window = DEFAULT_WINDOW
        self.is_full = False
        self.unsent = 0

    def begin(self, exchange: Exchange, start: bytes) -> bool:
        """Send frames, then the response; return whether all of it is sent."""
        self.unsent += len(exchange.unsent)
        if self._send(exchange, start):
            return True
        self._waiting[exchange.id] = exchange
        return False

    def go_on(self) -> list[Exchange]:
        """Send what waited for the client to take it; return those that are all sent."""
        sent = []
        for exchange in list(self._waiting.values()):
            if self.window <= 0 or self.is_full:
                break
            if self._send(exchange, b""):
                sent.append(exchange)
                del self._waiting[exchange.id]
        return sent

    def drop(self, exchange: Exchange) -> None:
        """Send no more of a response."""
        if self._waiting.pop(exchange.id, None):
            self.unsent -= len(exchange.unsent)
            exchange.unsent = memoryview(b"")

    def _send(self, exchange: Exchange, start: bytes) -> bool:
        pieces, size = [start], 0
        while exchange.unsent and (takes := self._takes(exchange)) > 0:
            pieces.append(frame(DATA, 0, exchange.id, exchange.unsent[:takes]))
            exchange.unsent = exchange.unsent[takes:]
            exchange.window -= takes
            self.window -= takes
            self.unsent -= takes
            size += takes
            if size >= _BATCH:
                self._write(b"".join(pieces))
                pieces, size = [], 0
        if not exchange.unsent:
            pieces.append(_end(exchange))
        if data := b"".join(pieces):
            self._write(data)
        return not exchange.unsent

    def _takes(self, exchange: Exchange) -> int:
        """Return how much of a response goes into the next frame."""
        if self.is_full:
            return 0
        window = self.initial_window + exchange.window
        return min(len(exchange.unsent), self.window, window, MAX_FRAME)


def _end(exchange: Exchange) -> bytes:
    end = frame(HEADERS, END_HEADERS | END_STREAM, exchange.id, exchange.trailers)
    if exchange.is_complete:
        return end
    return end + frame(RESET, 0, exchange.id, NO_ERROR.to_bytes(4))

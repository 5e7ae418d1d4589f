"""Reads from sockets that take too long are ended."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

from adjourn.concurrency import PerProcess

_PAUSE = 1.0


class SlowReads:
    """Ends reads from sockets that take too long, whether the senders are silent or slow.

    One thread watches the time for all of them. Timeouts of sockets would begin anew with each
    byte.
    """

    def __init__(self) -> None:
        self._ends: dict[socket.socket, float] = {}
        self._is_any = threading.Event()
        threading.Thread(target=self._watch, name="adjourn-reads", daemon=True).start()

    def begin(self, connection: socket.socket, seconds: float) -> None:
        """Let reading from a connection end after some seconds."""
        self._ends[connection] = time.monotonic() + seconds
        if not self._is_any.is_set():
            self._is_any.set()

    def end(self, connection: socket.socket) -> bool:
        """Take the limit back; return whether it was reached."""
        return self._ends.pop(connection, None) is None

    def _watch(self) -> None:
        while True:
            self._is_any.wait()
            self._is_any.clear()
            waiting = list(self._ends.items())
            now = time.monotonic()
            for connection, end in waiting:
                if end <= now and self._ends.pop(connection, None) is not None:
                    shut(connection)
            # What has begun since ends later. Without a pause, each read would wake this thread.
            left = [end for _, end in waiting if end > now]
            time.sleep(min(left) - now if left else _PAUSE)
            if self._ends:
                self._is_any.set()


slow_reads = PerProcess(SlowReads)


def shut(connection: socket.socket) -> None:
    """Let reads from a connection return what has arrived, and then nothing."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RD)

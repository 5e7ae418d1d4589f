"""Get a small document over HTTP within one deadline, whatever its server does."""

from __future__ import annotations

import http.client
import socket
import threading
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlsplit

from adjourn.settings import LOOPBACK

_MAX_ANSWER = 1 << 20


def fetched(url: str, seconds: float) -> tuple[int, Mapping[str, str], bytes]:
    """Get a URL without following redirects, which could lead away from https.

    Args:
        url: The URL, of https or http.
        seconds: The time that all of it may take. Timeouts of sockets begin anew with each byte.

    Raises:
        OSError: There was no answer in time, or it is broken or too long.
    """
    with _Deadline(seconds) as deadline:
        try:
            with _opener(url, deadline).open(url, timeout=seconds) as answer:
                body: bytes = answer.read(_MAX_ANSWER + 1)
                status, headers = answer.status, dict(answer.headers.items())
        except http.client.HTTPException as error:
            deadline.check()
            raise OSError(f"broken answer: {error!r:.200}") from error
        deadline.check()
    if len(body) > _MAX_ANSWER:
        raise OSError(f"the answer has more than {_MAX_ANSWER:,} bytes")
    return status, headers, body


class _Deadline:
    """Ends what is read from sockets when the time is up."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._is_over = threading.Event()
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def add(self, connection: socket.socket) -> None:
        self._sockets.append(connection)
        self.check()

    def check(self) -> None:
        if self._is_over.is_set():
            raise TimeoutError(f"no answer within {self._seconds:g} seconds")

    def _end(self) -> None:
        self._is_over.set()
        for each in self._sockets:
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)  # that of TLS unwraps it first


def _opener(url: str, deadline: _Deadline) -> Any:
    class Http(http.client.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            deadline.add(self.sock)

    class Https(http.client.HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            deadline.add(self.sock)

    class HttpHandler(urllib.request.HTTPHandler):
        def http_open(self, request: Any) -> Any:
            return self.do_open(Http, request)

    class HttpsHandler(urllib.request.HTTPSHandler):
        def https_open(self, request: Any) -> Any:
            return self.do_open(Https, request)

    opener = urllib.request.OpenerDirector()
    is_here = urlsplit(url).hostname in LOOPBACK
    proxies = urllib.request.ProxyHandler({} if is_here else None)
    for handler in (proxies, HttpHandler(), HttpsHandler()):
        opener.add_handler(handler)
    return opener

"""A gRPC server for unary methods over HTTP/2 without TLS.

It serves the handlers that a `grpc.aio` server serves, at a quarter of its cost
(docs/benchmarks.md, "Floors"). The protocol:
https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

import asyncio
import base64
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote, unquote_to_bytes

import grpc
import hpack

from adjourn_local.http.bodies import LONGEST, BodyError, decode
from adjourn_local.http.http2 import MAX_HEADERS, Http2Connection
from adjourn_local.http.http2_exchange import Exchange
from adjourn_local.http.http2_headers import Headers

_log = logging.getLogger(__name__)

_PREFIX = 5
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
# Of a message that cannot be decompressed, by the status in HTTP.
_STATUS = {413: grpc.StatusCode.RESOURCE_EXHAUSTED, 415: grpc.StatusCode.UNIMPLEMENTED}
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_CONTENT_TYPE = re.compile(r"application/grpc($|[+;])")
_IDENTITY = {"", "identity"}
# Seconds by which a call may outlast its deadline here.
_LOOK_EVERY = 0.05
# Clients refuse trailers of more than 8 KiB unless they are told otherwise
# (https://github.com/grpc/grpc/blob/master/include/grpc/impl/channel_arg_names.h). A text that is
# longer is cut, and details go if there is no room for them beside it.
_LONGEST_TEXT = 4 << 10
_LONGEST_DETAILS = 3 << 10
_MESSAGE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
_CUT = "..."

Metadata = tuple[tuple[str, str | bytes], ...]


class _AbortError(Exception):
    """A call ends with another status than OK."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        metadata: Metadata = (),
        *,
        http_status: int = 200,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.metadata = metadata
        self.http_status = http_status


@dataclass(frozen=True, slots=True)
class _CallDetails(grpc.HandlerCallDetails):
    method: str
    invocation_metadata: Metadata


class _Context:
    """What a handler may ask of its call, as the context of `grpc.aio`."""

    def __init__(self, exchange: Exchange, connection: Http2Connection, now: float) -> None:
        self._connection = connection
        timeout = exchange.headers.fields.get("grpc-timeout")
        self.deadline = None if timeout is None else now + _seconds(timeout)

    def peer(self) -> str:
        """Return the client's address, such as `ipv4:127.0.0.1:50122`."""
        host, port, *rest = self._connection.address or ("", 0)
        return f"ipv6:[{host}]:{port}" if rest else f"ipv4:{host}:{port}"

    def time_remaining(self) -> float | None:
        """Return the seconds until the client's deadline, or None if it has none."""
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - asyncio.get_running_loop().time())

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()
    ) -> NoReturn:
        """End the call with an error."""
        raise _AbortError(code, details, trailing_metadata)


class GrpcServer:
    """Serves gRPC on the event loop on which it is used.

    Args:
        services: Their methods are unary, and their handlers coroutine functions.
    """

    def __init__(self, services: Iterable[grpc.GenericRpcHandler]) -> None:
        self._services = tuple(services)
        self._connections: set[Http2Connection] = set()
        self._listening: list[asyncio.Server] = []
        self._deadlines: dict[Exchange, tuple[float, Http2Connection]] = {}
        self._is_looking = False

    async def listen(self, host: str, port: int) -> int:
        """Listen at an address, and return the port, which is a free one if 0 is given.

        Raises:
            OSError: The port is in use.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self.connection, host, port)
        self._listening.append(server)
        chosen: int = server.sockets[0].getsockname()[1]
        return chosen

    def connection(self) -> asyncio.Protocol:
        """Return the protocol of a new connection, which another listener may have accepted."""
        return Http2Connection(self._begin, LONGEST + _PREFIX, self._connections)

    async def stop(self, grace: float = 0.0) -> None:
        """Take no more calls, wait `grace` seconds for those under way, then cancel them."""
        for server in self._listening:
            server.close()
        for connection in self._connections:
            connection.leave()
        if work := [each for connection in self._connections for each in connection.work()]:
            await asyncio.wait(work, timeout=grace)
        for connection in list(self._connections):
            connection.close()

    def _begin(self, connection: Http2Connection, exchange: Exchange) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().create_task(self._serve(connection, exchange))

    async def _serve(self, connection: Http2Connection, exchange: Exchange) -> None:
        if connection.is_behind:
            await connection.caught_up()
        try:
            response = await self._response(connection, exchange)
        except _AbortError as error:
            connection.respond(exchange, b"", b"", _refusal(error))
        except Exception:  # noqa: BLE001 - the client must get an answer
            _log.exception("%s failed", exchange.headers.fields[":path"])
            failure = _AbortError(grpc.StatusCode.UNKNOWN, "The server has failed; see its log.")
            connection.respond(exchange, b"", b"", _refusal(failure))
        else:
            prefix = b"\0" + len(response).to_bytes(4)
            connection.respond(exchange, _BEGINNING, prefix + response, _OK)

    async def _response(self, connection: Http2Connection, exchange: Exchange) -> bytes:
        _check(exchange.headers)
        context = _Context(exchange, connection, asyncio.get_running_loop().time())
        handler = self._handler(exchange.headers.fields)
        message = _message(exchange)
        try:
            request = handler.request_deserializer(message)
        except Exception:  # noqa: BLE001 - whatever is wrong with it
            text = "Exception deserializing request!"  # in the words of grpc
            raise _AbortError(grpc.StatusCode.INTERNAL, text) from None
        if context.deadline is not None:
            self._limit(exchange, connection, context.deadline)
        try:
            response = await handler.unary_unary(request, context)
        finally:
            self._deadlines.pop(exchange, None)
        data: bytes = handler.response_serializer(response)
        return data

    def _limit(self, exchange: Exchange, connection: Http2Connection, deadline: float) -> None:
        """End a call that takes longer than its client waits.

        Clients do so themselves. One look at all calls is far cheaper than a timer for each.
        """
        self._deadlines[exchange] = deadline, connection
        if not self._is_looking:
            self._is_looking = True
            asyncio.get_running_loop().call_later(_LOOK_EVERY, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        for exchange, (deadline, connection) in list(self._deadlines.items()):
            if deadline <= loop.time():
                _expire(connection, exchange)
        self._is_looking = bool(self._deadlines)
        if self._is_looking:
            loop.call_later(_LOOK_EVERY, self._look)

    def _handler(self, headers: Any) -> Any:
        details = _CallDetails(headers.get(":path", ""), tuple(headers.items()))
        for service in self._services:
            if (handler := service.service(details)) is not None:
                return handler
        raise _AbortError(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


def _check(headers: Headers) -> None:
    """Check that a request is a call."""
    content_type = headers.fields.get("content-type", "")
    if not _CONTENT_TYPE.match(content_type):
        text = f'"{content_type}" is not the content type of gRPC. For JSON use HTTP/1.1.'
        raise _AbortError(grpc.StatusCode.UNKNOWN, text, http_status=415)
    if headers.fields[":method"] != "POST":
        raise _AbortError(grpc.StatusCode.INTERNAL, "Calls are made with POST.", http_status=405)
    if headers.size > MAX_HEADERS:
        text = f"Received metadata larger than max ({headers.size} vs. {MAX_HEADERS} bytes)"
        raise _AbortError(grpc.StatusCode.RESOURCE_EXHAUSTED, text)


def _expire(connection: Http2Connection, exchange: Exchange) -> None:
    """Answer a call that takes longer than its client waits, and cancel its work."""
    late = _AbortError(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
    connection.respond(exchange, b"", b"", _refusal(late))
    if exchange.work is not None:
        exchange.work.cancel()


def _message(exchange: Exchange) -> bytes:
    """Return the message of a request, uncompressed."""
    if exchange.is_too_large:
        text = f"Received message larger than max ({LONGEST} bytes)"
        raise _AbortError(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
    body = bytes(exchange.body)
    if int.from_bytes(body[1:_PREFIX]) != len(body) - _PREFIX:
        raise _AbortError(grpc.StatusCode.INTERNAL, "A call must have one whole message.")
    if not body[0]:
        return body[_PREFIX:]
    encoding = exchange.headers.fields.get("grpc-encoding", "")
    if body[0] != 1 or encoding in _IDENTITY:
        text = "The message is marked as compressed, but not with what."
        raise _AbortError(grpc.StatusCode.INTERNAL, text)
    try:
        return decode(body[_PREFIX:], encoding)
    except BodyError as error:
        code, accepted = _STATUS.get(error.status, grpc.StatusCode.INTERNAL), "gzip,deflate"
        raise _AbortError(code, str(error), (("grpc-accept-encoding", accepted),)) from None


def _seconds(timeout: str) -> float:
    found = _TIMEOUT.fullmatch(timeout)
    if not found:
        raise _AbortError(grpc.StatusCode.INTERNAL, f'"{timeout[:50]}" is not a timeout.')
    return int(found[1]) * _UNITS[found[2]]


def _refusal(error: _AbortError) -> bytes:
    """Return the headers of a response that has no message."""
    fields = {
        ":status": str(error.http_status),
        "content-type": "application/grpc",
        "grpc-status": str(error.code.value[0]),
        "grpc-message": _escaped(error.message),
    }
    for name, value in error.metadata:
        # Padding is left out, https://grpc.io/docs/what-is-grpc/core-concepts/#metadata
        text = value if isinstance(value, str) else base64.b64encode(value).decode().rstrip("=")
        if len(text) <= _LONGEST_DETAILS:
            fields[name] = text
    return _block(fields)


def _escaped(text: str) -> str:
    """Return a text as clients of gRPC expect it, cut if it is too long for them."""
    escaped = quote(text, safe=_MESSAGE, errors="replace")
    if len(escaped) <= _LONGEST_TEXT:
        return escaped
    whole = re.sub("%.?$", "", escaped[: _LONGEST_TEXT - len(_CUT)])
    return quote(unquote_to_bytes(whole).decode(errors="ignore"), safe=_MESSAGE) + _CUT


def _block(fields: "dict[str, str]") -> bytes:
    """Return a header block that neither needs nor changes what the client remembers."""
    encoder = hpack.Encoder()
    tuples = [hpack.NeverIndexedHeaderTuple(*field) for field in fields.items()]
    return encoder.encode(tuples, huffman=False)


_BEGINNING = _block({":status": "200", "content-type": "application/grpc"})
_OK = _block({"grpc-status": "0"})

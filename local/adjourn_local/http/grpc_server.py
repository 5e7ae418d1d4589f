"""A gRPC server for unary methods over HTTP/2 without TLS.

It serves the handlers that a `grpc.aio` server serves, at a quarter of its cost
(docs/benchmarks.md, "Floors"). The protocol:
https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

import asyncio
import base64
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote

import grpc
import hpack

from adjourn_local.http.bodies import LONGEST, BodyError, decode
from adjourn_local.http.http2 import Exchange, Http2Connection

_log = logging.getLogger(__name__)

_PREFIX = 5
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
# Of a message that cannot be decompressed, by the status in HTTP.
_STATUS = {413: grpc.StatusCode.RESOURCE_EXHAUSTED, 415: grpc.StatusCode.UNIMPLEMENTED}
_MESSAGE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")

Metadata = tuple[tuple[str, str | bytes], ...]


class _AbortError(Exception):
    """A call ends with another status than OK."""

    def __init__(self, code: grpc.StatusCode, message: str, metadata: Metadata = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.metadata = metadata


@dataclass(frozen=True, slots=True)
class _CallDetails(grpc.HandlerCallDetails):
    method: str
    invocation_metadata: Metadata


class _Context:
    """What a handler may ask of its call, as the context of `grpc.aio`."""

    def __init__(self, exchange: Exchange, connection: Http2Connection, now: float) -> None:
        self._connection = connection
        timeout = exchange.headers.get("grpc-timeout")
        self._deadline = None if timeout is None else now + _seconds(timeout)

    def peer(self) -> str:
        """Return the client's address, such as `ipv4:127.0.0.1:50122`."""
        host, port, *rest = self._connection.address
        return f"ipv6:[{host}]:{port}" if rest else f"ipv4:{host}:{port}"

    def time_remaining(self) -> float | None:
        """Return the seconds until the client's deadline, or None if it has none."""
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - asyncio.get_running_loop().time())

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
        try:
            response = await self._response(connection, exchange)
        except _AbortError as error:
            connection.respond(exchange, b"", b"", _refusal(error))
        except Exception:  # noqa: BLE001 - the client must get an answer
            _log.exception("%s failed", exchange.headers.get(":path"))
            failure = _AbortError(grpc.StatusCode.UNKNOWN, "The server has failed; see its log.")
            connection.respond(exchange, b"", b"", _refusal(failure))
        else:
            prefix = b"\0" + len(response).to_bytes(4)
            connection.respond(exchange, _BEGINNING, prefix + response, _OK)

    async def _response(self, connection: Http2Connection, exchange: Exchange) -> bytes:
        context = _Context(exchange, connection, asyncio.get_running_loop().time())
        handler = self._handler(exchange.headers)
        message = _message(exchange)
        try:
            request = handler.request_deserializer(message)
        except Exception:  # noqa: BLE001 - whatever is wrong with it
            text = "Exception deserializing request!"  # in the words of grpc
            raise _AbortError(grpc.StatusCode.INTERNAL, text) from None
        response = await handler.unary_unary(request, context)
        data: bytes = handler.response_serializer(response)
        return data

    def _handler(self, headers: Any) -> Any:
        details = _CallDetails(headers.get(":path", ""), tuple(headers.items()))
        for service in self._services:
            if (handler := service.service(details)) is not None:
                return handler
        raise _AbortError(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


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
    try:
        return decode(body[_PREFIX:], exchange.headers.get("grpc-encoding", ""))
    except BodyError as error:
        code, accepted = _STATUS.get(error.status, grpc.StatusCode.INTERNAL), "gzip,deflate"
        raise _AbortError(code, str(error), (("grpc-accept-encoding", accepted),)) from None


def _seconds(timeout: str) -> float:
    number, unit = timeout[:-1], timeout[-1:]
    if unit not in _UNITS or not number.isdecimal():
        text = f'"{timeout}" is not a timeout.'
        raise _AbortError(grpc.StatusCode.INTERNAL, text)
    return int(number) * _UNITS[unit]


def _refusal(error: _AbortError) -> bytes:
    """Return the headers of a response that has no message."""
    fields = {
        ":status": "200",
        "content-type": "application/grpc",
        "grpc-status": str(error.code.value[0]),
        "grpc-message": quote(error.message, safe=_MESSAGE),
    }
    for name, value in error.metadata:
        # Padding is left out, https://grpc.io/docs/what-is-grpc/core-concepts/#metadata
        fields[name] = (
            value if isinstance(value, str) else base64.b64encode(value).decode().rstrip("=")
        )
    return _block(fields)


def _block(fields: "dict[str, str]") -> bytes:
    """Return a header block that neither needs nor changes what the client remembers."""
    encoder = hpack.Encoder()
    tuples = [hpack.NeverIndexedHeaderTuple(*field) for field in fields.items()]
    return encoder.encode(tuples, huffman=False)


_BEGINNING = _block({":status": "200", "content-type": "application/grpc"})
_OK = _block({"grpc-status": "0"})

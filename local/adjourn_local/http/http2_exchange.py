"""A request over HTTP/2 and its response."""

import asyncio
from dataclasses import dataclass, field

from adjourn_local.http.http2_headers import Headers


@dataclass(slots=True, eq=False)
class Exchange:
    """A request and its response.

    Attributes:
        id: The number of the stream.
        headers: The headers of the request.
        body: The body of the request; empty if it is too large.
        is_too_large: Whether the body is longer than a server takes.
        is_complete: Whether the request has arrived to its end.
        work: What makes the response, once it has begun.
        window: How many bytes of a response the client takes now, beyond those that it takes of
            every response; negative after some were sent.
        unsent: What is left of the response's body.
        trailers: The header block that ends the response.
    """

    id: int
    headers: Headers
    body: bytearray = field(default_factory=bytearray)
    is_too_large: bool = False
    is_complete: bool = False
    work: "asyncio.Future[None] | None" = None
    window: int = 0
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    trailers: bytes = b""

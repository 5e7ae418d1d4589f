"""Bodies of requests, decoded as their Content-Encoding says (RFC 9110, 8.4)."""

import zlib

from aiohttp import web

LONGEST = 16 << 20
# The key under which a request keeps its decoded body.
BODY: web.RequestKey[bytes] = web.RequestKey("body", bytes)

_COMPRESSED = {"gzip", "x-gzip", "deflate"}
_EITHER_HEADER = zlib.MAX_WBITS | 32  # of gzip or of zlib, which is what "deflate" means


class BodyError(Exception):
    """A body that is not what its headers say, with the HTTP status to answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def decode(body: bytes, encoding: str) -> bytes:
    """Return a body without its content encoding.

    Raises:
        BodyError: It does not have this encoding, or is too long without it.
    """
    name = encoding.strip().lower()
    if not body or name in {"", "identity"}:
        return body
    if name not in _COMPRESSED:
        raise BodyError(415, f"The content encoding {encoding!r} is not supported; use gzip.")
    decompressor = zlib.decompressobj(_EITHER_HEADER)
    try:
        plain = decompressor.decompress(body, LONGEST + 1)
    except zlib.error:
        raise BodyError(400, f"The body is not {name}, as Content-Encoding says.") from None
    if len(plain) > LONGEST:
        raise too_long()
    if not decompressor.eof or decompressor.unused_data:
        raise BodyError(400, f"The body is not {name} to its end, as Content-Encoding says.")
    return plain


def too_long() -> BodyError:
    """Return the error for a body that is too long."""
    return BodyError(413, f"A body may have {LONGEST} bytes, decoded.")

"""The gate of the laptop stack in front of a console that has a server of its own."""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from adjourn_local.http.gate import FORM, RequestHead, refusal


def gated(application: ASGIApp, allowed_hosts: Collection[str]) -> ASGIApp:
    """Return an ASGI application that refuses requests as the gate does; forms may be sent.

    Args:
        application: Serves what is let in.
        allowed_hosts: Host names in small letters, besides those of loopback, under which requests
            are served.
    """

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refused = refusal(_head(Headers(scope=scope)), allowed_hosts, {FORM})
            if refused:
                await PlainTextResponse(f"{refused.text}\n", refused.status)(scope, receive, send)
                return
        await application(scope, receive, send)

    return respond


def _head(headers: Headers) -> RequestHead:
    has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
    return RequestHead(
        host=", ".join(headers.getlist("host")),
        origin=", ".join(headers.getlist("origin")),
        site=", ".join(headers.getlist("sec-fetch-site")),
        content_type=", ".join(headers.getlist("content-type")) if has_body else None,
    )

"""Give people their tokens, which on a laptop nobody has to sign in for.

Whoever reaches this over loopback gets the token of any person, and of no service. A page of the
web does not: a browser asks before it sends JSON to another site, which nobody here allows, and a
name that was made to lead to this machine is not one of its own.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from adjourn.settings import LOOPBACK
from adjourn_local.tokens.issuer import TokenIssuer

TOKEN_PATH = "/people/token"  # noqa: S105 - a path


def person_routes(issuer: TokenIssuer) -> list[web.RouteDef]:
    """Return the endpoint: POST {"email": ..., "audience": ...} gives {"token": ...}."""
    return [web.post(TOKEN_PATH, _answer(issuer))]


def _answer(issuer: TokenIssuer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        if not {request.remote, request.url.host} <= LOOPBACK:
            raise web.HTTPForbidden(text="tokens are for this machine\n")
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="the body must be application/json\n")
        try:
            asked = await request.json()
            email, audience = asked["email"], asked["audience"]
        except (ValueError, TypeError, LookupError):
            email = audience = None
        if not (_is_person(email) and isinstance(audience, str) and audience):
            raise web.HTTPBadRequest(text="give a person's email and an audience\n")
        return web.json_response({"token": issuer.mint(email, audience)})

    return answer


def _is_person(email: object) -> bool:
    is_address = isinstance(email, str) and all(email.partition("@"))
    return is_address and not str(email).lower().endswith("gserviceaccount.com")

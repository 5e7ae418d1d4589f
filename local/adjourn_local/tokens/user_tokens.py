"""Issue identity tokens of users without a sign-in, to requests from this machine.

Any program on this machine can get a token of any user, but not of a service account.
"""

import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from adjourn_local.http.bodies import BODY
from adjourn_local.tokens.issuer import TokenIssuer

TOKEN_PATH = "/people/token"  # noqa: S105 - a path


def user_token_routes(issuer: TokenIssuer) -> list[web.RouteDef]:
    """Return the endpoint: POST {"email": ..., "audience": ...} returns {"token": ...}."""
    return [web.post(TOKEN_PATH, _handler(issuer))]


def _handler(issuer: TokenIssuer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def issue(request: web.Request) -> web.StreamResponse:
        try:
            body = json.loads(request[BODY])
            email, audience = body["email"], body["audience"]
        except (ValueError, TypeError, LookupError):
            email = audience = None
        if not (_is_user(email) and isinstance(audience, str) and audience):
            raise web.HTTPBadRequest(
                text="the body must have the email of a user and an audience\n"
            )
        return web.json_response({"token": issuer.mint(email, audience)})

    return issue


def _is_user(email: object) -> bool:
    is_address = isinstance(email, str) and all(email.partition("@"))
    return is_address and not str(email).lower().endswith("gserviceaccount.com")

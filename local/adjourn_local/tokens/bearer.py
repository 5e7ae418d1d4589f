"""The Authorization header of tasks and jobs that ask for a token."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

Mint = Callable[[str, str], Awaitable[str]]


async def authorization(target: Any, url: str, mint: Mint) -> list[tuple[str, str]]:
    """Return the Authorization header of an attempt; no header if the target asks for no token.

    An OAuth access token is a random text: only Google could verify a real one.

    Args:
        target: An `HttpRequest` of Cloud Tasks or an `HttpTarget` of Cloud Scheduler.
        url: The URL of the request, which is the default audience.
        mint: Makes an identity token for an account and an audience.

    Raises:
        Exception: Any error of `mint`.
    """
    if target.HasField("oauth_token"):
        token = f"local.{secrets.token_urlsafe(48)}"
    elif target.HasField("oidc_token"):
        wanted = target.oidc_token
        token = await mint(wanted.service_account_email, wanted.audience or url)
    else:
        return []
    return [("Authorization", f"Bearer {token}")]

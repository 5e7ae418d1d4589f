"""The token that a task or a job carries, if it asks for one."""

import secrets
from collections.abc import Callable
from typing import Any

Mint = Callable[[str, str], str]


def authorization(target: Any, url: str, mint: Mint) -> list[tuple[str, str]]:
    """Return the Authorization header of an attempt, or nothing if it has none of the service's.

    An access token is opaque, as Google's are, and good for nothing but to be there: whom it stands
    for could only be asked at Google.

    Args:
        target: An `HttpRequest` of Cloud Tasks or an `HttpTarget` of Cloud Scheduler.
        url: Where the request goes, which is the default audience.
        mint: Makes an identity token from account and audience.

    Raises:
        Exception: Whatever the making of a token raises.
    """
    if target.HasField("oauth_token"):
        token = f"local.{secrets.token_urlsafe(48)}"
    elif target.HasField("oidc_token"):
        asked = target.oidc_token
        token = mint(asked.service_account_email, asked.audience or url)
    else:
        return []
    return [("Authorization", f"Bearer {token}")]

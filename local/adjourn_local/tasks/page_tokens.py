"""Page tokens: opaque to the client, valid for one listing and for two hours."""

import base64
import binascii
import json

from adjourn_local.http.resource_names import invalid
from adjourn_local.timing.timestamps import SECOND

_VALID = 2 * 3600 * SECOND


def page_size(requested: int, maximum: int) -> int:
    """Return the page size to use: the requested one up to the maximum; 0 means the maximum.

    Raises:
        RpcError: INVALID_ARGUMENT, if negative.
    """
    if requested < 0:
        raise invalid("page_size cannot be negative.")
    return min(requested, maximum) if requested else maximum


def issue(listing: str, after: str, now: int) -> str:
    """Return the token of the page that begins after the item `after`."""
    return base64.urlsafe_b64encode(json.dumps([listing, after, now]).encode()).decode()


def redeem(token: str, listing: str, now: int) -> str | None:
    """Return the item after which a token's page begins; None for the first page.

    Raises:
        RpcError: INVALID_ARGUMENT, if the token is of another listing, expired or malformed.
    """
    if not token:
        return None
    try:
        of, after, issued = json.loads(base64.urlsafe_b64decode(token))
        is_good = of == listing and 0 <= now - issued <= _VALID
    except (binascii.Error, TypeError, ValueError):
        is_good = False
    if not is_good:
        raise invalid("The page token is invalid or has expired.")
    return str(after)

"""Page tokens: opaque to the client, bound to one listing and valid for two hours."""

import base64
import binascii
import json

from adjourn_local.http.resource_names import invalid
from adjourn_local.timing.timestamps import SECOND

_VALID = 2 * 3600 * SECOND


def page_size(asked: int, maximum: int) -> int:
    """Return how many items a page may have; unset means the maximum.

    Raises:
        RpcError: INVALID_ARGUMENT if negative.
    """
    if asked < 0:
        raise invalid("page_size cannot be negative.")
    return min(asked, maximum) if asked else maximum


def issue(listing: str, after: str, now: int) -> str:
    """Return the token of the page that follows the item `after`."""
    return base64.urlsafe_b64encode(json.dumps([listing, after, now]).encode()).decode()


def redeem(token: str, listing: str, now: int) -> str | None:
    """Return the item that the page follows, or None for the first page.

    Raises:
        RpcError: INVALID_ARGUMENT for a token of another listing, too old or made up.
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

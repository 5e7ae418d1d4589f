"""Cursors: the position of a result in the order of its query.

A cursor contains a fingerprint of its query, because a position has no meaning in another order.
"""

from adjourn_local.datastore.messages import invalid

_MARK = 4


def make(fingerprint: bytes, position: bytes) -> bytes:
    """Return the cursor after the result at a position."""
    return fingerprint + position


def read(fingerprint: bytes, cursor: bytes) -> bytes | None:
    """Return the position in a cursor; None if the cursor is empty.

    Raises:
        RpcError: The cursor is malformed, or of another query.
    """
    if not cursor:
        return None
    if cursor[:_MARK] != fingerprint:
        raise invalid(
            "The cursor does not belong to this query; it must be used with the same one."
        )
    return cursor[_MARK:]

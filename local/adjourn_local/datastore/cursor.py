"""Cursors: the position of a result in its query's order, so that resuming is where a range begins.

They name the query, for a position of one order means nothing in another.
"""

from adjourn_local.datastore.messages import invalid

_MARK = 4


def make(fingerprint: bytes, position: bytes) -> bytes:
    """Return the cursor just after a position."""
    return fingerprint + position


def read(fingerprint: bytes, cursor: bytes) -> bytes | None:
    """Return the position of a cursor; None if there is no cursor.

    Raises:
        RpcError: The cursor is of another query, or none at all.
    """
    if not cursor:
        return None
    if cursor[:_MARK] != fingerprint:
        raise invalid(
            "The cursor does not belong to this query; it must be used with the same one."
        )
    return cursor[_MARK:]

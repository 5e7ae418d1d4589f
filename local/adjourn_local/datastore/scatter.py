"""`__scatter__`: a property that a random 0.78 % of the entities have, to sample a kind's keys.

It is no documented part of the service, though Apache Beam and App Engine's mapper rely on it; the
share is the one that they name. An entity's value is a hash of its key, and no query returns it.
"""

from hashlib import blake2b

from adjourn_local.datastore import keys

SCATTER = "__scatter__"
_SHARE = 512  # of 65,536


def indexed(path: bytes) -> list[bytes]:
    """Return the index values that the entity of an encoded path has for the property."""
    digest = blake2b(path, digest_size=10).digest()
    if int.from_bytes(digest[:2]) >= _SHARE:
        return []
    return [b"\x40" + keys.encode_text(digest[2:])]

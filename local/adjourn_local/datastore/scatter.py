"""The property `__scatter__`, which 0.78 % of the entities have, to sample the keys of a kind.

The service does not document it, but Apache Beam and App Engine's mapper rely on it; the share is
from their sources. The value is a hash of the entity's key; queries do not return it.
"""

from hashlib import blake2b

from adjourn_local.datastore import keys

SCATTER = "__scatter__"
_SHARE = 512  # of 65,536


def indexed(path: bytes) -> list[bytes]:
    """Return the index values of the property for an encoded key path: one or none."""
    digest = blake2b(path, digest_size=10).digest()
    if int.from_bytes(digest[:2]) >= _SHARE:
        return []
    return [b"\x40" + keys.encode_text(digest[2:])]

"""The reference of a call to its arguments, which are stored in Datastore."""

from typing import NamedTuple

from adjourn.names import TASK_NAME

MAX_BODY = 1_000_000  # Cloud Tasks takes 1,048,569 bytes, and the headers count
MAX_CALL = 32 << 20
_LARGEST_COUNT = 2**63 - 1


class PayloadReference(NamedTuple):
    """Where the body of a call is stored that is too large for a task.

    Attributes:
        pieces: Number of records among which it is split.
        size: Total number of bytes.
        sha256: Digest of these bytes, in hexadecimal.
        until: When the records may be removed, in seconds since 1970.
        stored_as: Name of the records; "" for the id of the call.
    """

    pieces: int
    size: int
    sha256: str
    until: int
    stored_as: str = ""

    @classmethod
    def read(cls, tree: object) -> "PayloadReference":
        """Return the reference in a body.

        Raises:
            TypeError: It is none.
        """
        if not isinstance(tree, dict):
            raise TypeError("it lacks the reference to its payload")
        reference = cls(**{name: tree[name] for name in cls._fields if name in tree})
        counts = (reference.pieces, reference.size, reference.until)
        are_counts = all(type(each) is int and 0 <= each <= _LARGEST_COUNT for each in counts)
        has_pieces = are_counts and reference.pieces <= MAX_CALL // MAX_BODY + 1
        texts = (reference.sha256, reference.stored_as or "id")
        are_texts = all(type(each) is str and TASK_NAME.fullmatch(each) for each in texts)
        if not (has_pieces and are_texts):
            raise TypeError("the reference to its payload is malformed")
        return reference

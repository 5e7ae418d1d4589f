"""Encode key paths as bytes that sort as keys do, so that a subtree is one range of bytes.

Order: by path element; ancestors before descendants, kinds and names by UTF-8 bytes, numeric ids
before names (https://cloud.google.com/datastore/docs/concepts/entities#kinds_and_identifiers).
"""

import re
import struct
from functools import lru_cache
from typing import Any, NamedTuple

from adjourn_local.datastore.messages import Key, invalid

_ID = b"\x01"
_pack_id = struct.Struct(">BQ").pack
_NAME = b"\x02"
_TEXT_END = b"\x00\x01"
PATH_END = b"\x00\x00"
_ID_BIAS = 1 << 63
_MAX_ELEMENTS = 100
_MAX_NAME = 1500
_MAX_KEY = 6 << 10
# The documentation of PartitionId in google/datastore/v1/entity.proto. Projects may also have a
# domain, or the prefix of App Engine's high-replication applications.
_DIMENSION = re.compile(r"[A-Za-z\d.\-_]{0,100}")
_PROJECT = re.compile(r"(?:[a-z]~)?(?:[A-Za-z\d.\-]{1,100}:)?[A-Za-z\d.\-_]{0,100}")


class Partition(NamedTuple):
    """The address space of a key: project, database and namespace."""

    project: str
    database: str
    namespace: str


def encode_text(text: bytes) -> bytes:
    """Encode a text so that it sorts as before and its end can be found."""
    if b"\0" in text:
        text = text.replace(b"\0", b"\0\xff")
    return text + _TEXT_END


def text_end(data: bytes, start: int) -> int:
    """Return where the encoded text that begins at `start` ends."""
    return data.index(_TEXT_END, start) + 2


def decode_text(data: bytes, start: int, end: int) -> bytes:
    """Return the text that was encoded between two offsets."""
    return data[start : end - 2].replace(b"\0\xff", b"\0")


def encode_path(path: Any) -> bytes:
    """Return the sort key of a complete key path."""
    parts = []
    for element in path:
        parts.append(encode_text(element.kind.encode()))
        if element.WhichOneof("id_type") == "id":
            parts.append(_ID + (element.id + _ID_BIAS).to_bytes(8))
        else:
            parts.append(_NAME + encode_text(element.name.encode()))
    return b"".join(parts)


def decode_path(data: bytes, path: Any, start: int = 0) -> int:
    """Append the elements of an encoded path to a message and return where the path ends."""
    at, size = start, len(data)
    while at < size and data[at : at + 2] != PATH_END:
        kind_end = text_end(data, at)
        element = path.add(kind=decode_text(data, at, kind_end).decode())
        at = _element_end(data, kind_end)
        if data[kind_end : kind_end + 1] == _ID:
            element.id = int.from_bytes(data[kind_end + 1 : at]) - _ID_BIAS
        else:
            element.name = decode_text(data, kind_end + 1, at).decode()
    return at


def path_end(data: bytes, start: int) -> int:
    """Return where the encoded path that begins at `start` ends, without its terminator."""
    at, size = start, len(data)
    while at < size and data[at : at + 2] != PATH_END:
        at = _element_end(data, text_end(data, at))
    return at


def _element_end(data: bytes, start: int) -> int:
    return start + 9 if data[start : start + 1] == _ID else text_end(data, start + 1)


def ancestor_paths(path: bytes) -> list[bytes]:
    """Return the encoded paths of a key and of all its ancestors, the root first."""
    ends, at = [], 0
    while at < len(path):
        at = _element_end(path, text_end(path, at))
        ends.append(at)
    return [path[:end] for end in ends]


def encode_key_value(key: Any) -> bytes:
    """Return the sort key of a key that is a value: its partition, then its path."""
    partition = key.partition_id
    return (
        encode_text(partition.project_id.encode())
        + encode_text(partition.database_id.encode())
        + encode_text(partition.namespace_id.encode())
        + encode_path(key.path)
        + PATH_END
    )


def decode_key_value(data: bytes, start: int, key: Any) -> None:
    """Decode `encode_key_value`'s bytes into a key message."""
    names = []
    for _ in range(3):
        end = text_end(data, start)
        names.append(decode_text(data, start, end).decode())
        start = end
    key.partition_id.project_id, key.partition_id.database_id, key.partition_id.namespace_id = names
    decode_path(data, key.path, start)


def key_value_end(data: bytes, start: int) -> int:
    """Return where the encoded key value that begins at `start` ends."""
    for _ in range(3):
        start = text_end(data, start)
    return path_end(data, start) + 2


def make_key(partition: Partition, path: bytes) -> Any:
    """Return the key message of an encoded path."""
    key = Key()
    fill_key(key, partition, path)
    return key


def fill_key(key: Any, partition: Partition, path: bytes) -> None:
    """Fill a key message from a partition and an encoded path."""
    set_partition(key, partition)
    decode_path(path, key.path)


def set_partition(key: Any, partition: Partition) -> None:
    """Set the partition of a key; empty fields stay unset, as in the service."""
    target = key.partition_id
    target.project_id = partition.project
    if partition.database:
        target.database_id = partition.database
    if partition.namespace:
        target.namespace_id = partition.namespace


def describe(key: Any) -> str:
    """Return a key's path for an error message."""
    return "/".join(f"{e.kind},{e.name or e.id}" for e in key.path)


def check_key(
    key: Any, *, incomplete: bool = False, reserved: bool = False
) -> tuple[bytes, str, bool]:
    """Refuse an invalid key; all that a request must know of its path is found in one pass.

    Args:
        key: The key message.
        incomplete: Whether the last element may lack its id.
        reserved: Whether `__names__` are allowed, as they are in reads.

    Returns:
        The sort key of the path, of an incomplete last element the kind only; the kind; and whether
        the path is complete.
    """
    path = key.path
    if not 0 < len(path) <= _MAX_ELEMENTS:
        fault = f"longer than {_MAX_ELEMENTS} elements" if path else "empty"
        raise invalid(f"Key path is {fault}.")
    parts = []
    kind, which = "", None
    for at in range(len(path)):
        element = path[at]
        kind, which = element.kind, element.WhichOneof("id_type")
        parts.append(_encoded_kind(kind, reserved))
        if which == "id":
            number = element.id
            if not number:
                raise invalid("The key path element id must not be zero.")
            parts.append(_pack_id(1, number + _ID_BIAS))
        elif which == "name":
            name = element.name
            _check_name("key path element name", name, reserved=reserved)
            parts.append(_NAME + encode_text(name.encode()))
        elif not incomplete or at < len(path) - 1:
            raise invalid(f"Key path element must not be incomplete: [{kind}: ]")
    encoded = b"".join(parts)
    # A message has less than twice as many bytes, and those of its partition, so most need no look.
    if len(encoded) > _MAX_KEY // 4 and key.ByteSize() > _MAX_KEY:
        raise invalid(f"The key is longer than {_MAX_KEY} bytes.")
    return encoded, kind, which is not None


@lru_cache(maxsize=1024)
def _encoded_kind(kind: str, reserved: bool) -> bytes:  # noqa: FBT001 - faster by position
    _check_name("kind", kind, reserved=reserved)
    return encode_text(kind.encode())


def _check_name(what: str, name: str, *, reserved: bool) -> None:
    if 0 < len(name) * 4 <= _MAX_NAME and name[0] != "_":
        return
    if not name:
        raise invalid(f"The {what} is the empty string.")
    if len(name.encode()) > _MAX_NAME:
        raise invalid(f"The {what} is longer than {_MAX_NAME} bytes.")
    if not reserved and is_reserved(name):
        raise invalid(f'The {what} "{name}" is reserved.')


def is_reserved(name: str) -> bool:
    """Return whether a kind or a name is reserved for the service."""
    return name.startswith("__") and name.endswith("__") and len(name) >= len("____")


@lru_cache(maxsize=1024)
def check_partition(project: str, database: str, namespace: str) -> None:
    """Refuse a partition that the service cannot have, or keeps for itself.

    Raises:
        RpcError: A name is outside of its grammar, or reserved.
    """
    for what, name, grammar in (
        ("project", project, _PROJECT),
        ("database", database, _DIMENSION),
        ("namespace", namespace, _DIMENSION),
    ):
        if not grammar.fullmatch(name):
            raise invalid(f'The {what} "{name}" does not match "{grammar.pattern}".')
        if is_reserved(name):
            raise invalid(f'The {what} "{name}" is reserved.')


class RequestDatabase:
    """The project and database of a request, to which its keys must belong."""

    def __init__(self, project: str, database: str) -> None:
        self._project = project
        self._database = database
        self._partitions: dict[str, Partition] = {}

    def partition(self, key: Any) -> Partition:
        """Return a key's partition; a project that the key omits is set to the request's.

        Raises:
            RpcError: The key belongs to another project or database, or its namespace is invalid.
        """
        given = key.partition_id
        project = given.project_id
        if not project:
            given.project_id = self._project
        elif project != self._project:
            raise invalid(
                f'mismatched projects: the key is in "{project}"'
                f' and the request in "{self._project}"'
            )
        if given.database_id != self._database:
            raise invalid(
                f'mismatched databases: the key is in "{given.database_id}"'
                f' and the request in "{self._database}"'
            )
        namespace = given.namespace_id
        found = self._partitions.get(namespace)
        if found is None:
            check_partition(self._project, self._database, namespace)
            found = Partition(self._project, self._database, namespace)
            self._partitions[namespace] = found
        return found

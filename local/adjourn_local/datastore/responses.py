"""Google's classes of responses, but for some fields, which take a message serialized.

A field of bytes and one of a message look alike on the wire
(https://protobuf.dev/programming-guides/encoding/#submessages), so clients see no difference. What
is stored goes into a response as it is, without being parsed and serialized again.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from google.cloud.datastore_v1 import types
from google.protobuf.descriptor_pb2 import (  # type: ignore[import-untyped]
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool  # type: ignore[import-untyped]
from google.protobuf.message_factory import GetMessageClass  # type: ignore[import-untyped]
from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]

from adjourn_local.datastore.messages import EntityResult
from adjourn_local.timing.timestamps import write

_SERIALIZED = {
    "EntityResult": {"entity"},
    "LookupResponse": {"found", "deferred"},
    "MutationResult": {"key", "create_time", "update_time", "transform_results"},
    "QueryResultBatch": {"entity_results"},
}
_DELIMITED = 2


@lru_cache(maxsize=1024)
def timestamp(at: int) -> bytes:
    """Return a time in microseconds since 1970 as a serialized Timestamp."""
    message = Timestamp()
    write(message, at)
    data: bytes = message.SerializeToString()
    return data


def entity_result(
    entity: bytes, version: int, created: int, updated: int, mark: bytes = b""
) -> bytes:
    """Return a serialized EntityResult.

    Args:
        entity: The entity, serialized.
        version: Its version.
        created: When it was created, in microseconds since 1970.
        updated: When it was changed last, in microseconds since 1970.
        mark: The cursor after it; empty for none.
    """
    result = _ENTITY + _varint(len(entity)) + entity + _stamp(version, created, updated)
    return result + _CURSOR + _varint(len(mark)) + mark if mark else result


@lru_cache(maxsize=1024)
def _stamp(version: int, created: int, updated: int) -> bytes:
    """Return the fields of an EntityResult that all entities of a commit share."""
    result = EntityResult(version=version)
    write(result.create_time, created)
    write(result.update_time, updated)
    data: bytes = result.SerializeToString()
    return data


@lru_cache(maxsize=4096)
def _varint(number: int) -> bytes:
    """Return a length as it stands before a field's value, in groups of seven bits."""
    groups = [number & 0x7F]
    while number := number >> 7:
        groups[-1] |= 0x80
        groups.append(number & 0x7F)
    return bytes(groups)


def _tag(name: str) -> bytes:
    """Return what stands before the length of a field of EntityResult."""
    return _varint(EntityResult.DESCRIPTOR.fields_by_name[name].number << 3 | _DELIMITED)


_ENTITY, _CURSOR = _tag("entity"), _tag("cursor")


def whole(response: Any) -> Any:
    """Return a response in Google's own class."""
    google: Any = getattr(types, response.DESCRIPTOR.name)
    return google.pb().FromString(response.SerializeToString())


def _files(file: Any) -> Iterator[Any]:
    """Yield a file of protobuf after those that it imports."""
    for imported in file.dependencies:
        yield from _files(imported)
    yield file


def _pool(file: Any) -> Any:
    """Return the descriptors of a file and its imports, with the fields above as bytes."""
    pool = DescriptorPool()
    for each in {one.name: one for one in _files(file)}.values():
        copy = FileDescriptorProto()
        each.CopyToProto(copy)
        for message in copy.message_type:
            for field in message.field:
                if field.name in _SERIALIZED.get(message.name, ()):
                    _take_bytes(message, field)
        pool.Add(copy)
    return pool


def _take_bytes(message: Any, field: Any) -> None:
    field.type = FieldDescriptorProto.TYPE_BYTES
    field.ClearField("type_name")
    if field.label != FieldDescriptorProto.LABEL_REPEATED:
        # An empty message is sent, too, if it is set.
        field.proto3_optional = True
        field.oneof_index = len(message.oneof_decl)
        message.oneof_decl.add(name=f"_{field.name}")


_POOL = _pool(types.LookupResponse.pb().DESCRIPTOR.file)


def _class(name: str) -> Any:
    return GetMessageClass(_POOL.FindMessageTypeByName(f"google.datastore.v1.{name}"))


LookupResponse: Any = _class("LookupResponse")
RunQueryResponse: Any = _class("RunQueryResponse")
CommitResponse: Any = _class("CommitResponse")

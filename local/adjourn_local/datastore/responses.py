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

from adjourn_local.timing.timestamps import write

_SERIALIZED = {
    "EntityResult": {"entity", "create_time", "update_time"},
    "LookupResponse": {"deferred"},
    "MutationResult": {"key", "create_time", "update_time", "transform_results"},
}


@lru_cache(maxsize=1024)
def timestamp(at: int) -> bytes:
    """Return a time in microseconds since 1970 as a serialized Timestamp."""
    message = Timestamp()
    write(message, at)
    data: bytes = message.SerializeToString()
    return data


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

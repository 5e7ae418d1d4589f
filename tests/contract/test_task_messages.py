"""The messages of Cloud Tasks that the adapter makes by itself are those of Google's client."""

import pytest
from google.cloud.tasks_v2.types import cloudtasks, queue, target, task
from google.longrunning import operations_pb2
from google.protobuf import any_pb2, empty_pb2
from google.rpc import status_pb2

from adjourn.gcp.task_messages import SCHEMA, messages

_MAPS = {
    "Header": target.HttpRequest.pb().DESCRIPTOR.fields_by_name["headers"].message_type,
    "FailedRequest": cloudtasks.BatchCreateTasksMetadata.pb()
    .DESCRIPTOR.fields_by_name["failed_requests"]
    .message_type,
}
_ELSEWHERE = {
    "Operation": operations_pb2.Operation,
    "Status": status_pb2.Status,
    "Any": any_pb2.Any,
    "Empty": empty_pb2.Empty,
}


def googles(name):
    """Return the descriptor of Google's message of a name."""
    if name in _MAPS:
        return _MAPS[name]
    if name in _ELSEWHERE:
        return _ELSEWHERE[name].DESCRIPTOR
    module = next(each for each in (cloudtasks, task, target, queue) if hasattr(each, name))
    return getattr(module, name).pb().DESCRIPTOR


def types(field):
    """Return what decides how a field travels, and what is in it."""
    inner = field.message_type and field.message_type.full_name.rpartition(".")[2]
    inner = {"HeadersEntry": "Header", "FailedRequestsEntry": "FailedRequest"}.get(inner, inner)
    return field.number, field.type, field.is_repeated, inner


@pytest.mark.parametrize("name", SCHEMA)
def test_each_field_has_googles_number_and_type(name):
    ours, theirs = messages()[name].DESCRIPTOR, googles(name)

    for field in ours.fields:
        assert types(field) == types(theirs.fields_by_name[field.name]), field.name


def test_all_messages_are_known_whose_fields_are_used():
    assert set(messages()) == set(SCHEMA) >= {"CreateTaskRequest", "Task", "Operation"}

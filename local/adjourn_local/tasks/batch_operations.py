"""Long-running operations of the batch methods, which are done when they are returned."""

from collections.abc import Mapping
from typing import Any

from google.longrunning import operations_pb2  # type: ignore[import-untyped]
from google.rpc import code_pb2, status_pb2  # type: ignore[import-untyped]

from adjourn_local.http.rpc import RpcError
from adjourn_local.timing.timestamps import write


def done_operation(
    name: str,
    *,
    metadata: Any,
    response: Any,
    failures: Mapping[int, RpcError],
    total: int,
    now: int,
) -> operations_pb2.Operation:
    """Return the finished operation of a batch, in which some or all requests may have failed.

    Args:
        name: Full name of the operation.
        metadata: An empty message of the batch's metadata class.
        response: The result of the operation, unless every request has failed.
        failures: The error of each request that failed, by its index.
        total: The number of requests.
        now: The current time in microseconds.
    """
    write(metadata.start_time, now)
    write(metadata.end_time, now)
    for index, error in failures.items():
        metadata.failed_requests[index].code = error.code.value[0]
        metadata.failed_requests[index].message = error.message
    metadata.state = _state(metadata, len(failures), total)
    operation = operations_pb2.Operation(name=name, done=True)
    operation.metadata.Pack(metadata)
    if failures and len(failures) == total:
        operation.error.CopyFrom(_all_failed(metadata.DESCRIPTOR.name))
    else:
        operation.response.Pack(response)
    return operation


def _all_failed(kind: str) -> Any:
    return status_pb2.Status(
        code=code_pb2.ABORTED,
        message="None of the requests succeeded, refer to "
        f"{kind}.failed_requests for individual error details",
    )


def _state(metadata: Any, failed: int, total: int) -> int:
    states = metadata.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_name
    name = "SUCCEEDED" if not failed else "PARTIALLY_SUCCEEDED" if failed < total else "FAILED"
    number: int = states[name].number
    return number

"""Google's raw message classes (the proto-plus wrappers cost several times more), and refusals."""

import datetime as dt
from typing import Any

import grpc
from google.cloud.datastore_v1 import types

from adjourn_local.rpc import RpcError

Key: Any = types.Key.pb()
Entity: Any = types.Entity.pb()
Value: Any = types.Value.pb()
PropertyFilter: Any = types.PropertyFilter.pb()
CompositeFilter: Any = types.CompositeFilter.pb()
PropertyOrder: Any = types.PropertyOrder.pb()
EntityResult: Any = types.EntityResult.pb()
QueryResultBatch: Any = types.QueryResultBatch.pb()
Mutation: Any = types.Mutation.pb()
PropertyTransform: Any = types.PropertyTransform.pb()

LookupRequest: Any = types.LookupRequest.pb()
LookupResponse: Any = types.LookupResponse.pb()
RunQueryRequest: Any = types.RunQueryRequest.pb()
RunQueryResponse: Any = types.RunQueryResponse.pb()
RunAggregationQueryRequest: Any = types.RunAggregationQueryRequest.pb()
RunAggregationQueryResponse: Any = types.RunAggregationQueryResponse.pb()
BeginTransactionRequest: Any = types.BeginTransactionRequest.pb()
BeginTransactionResponse: Any = types.BeginTransactionResponse.pb()
CommitRequest: Any = types.CommitRequest.pb()
CommitResponse: Any = types.CommitResponse.pb()
RollbackRequest: Any = types.RollbackRequest.pb()
RollbackResponse: Any = types.RollbackResponse.pb()
AllocateIdsRequest: Any = types.AllocateIdsRequest.pb()
AllocateIdsResponse: Any = types.AllocateIdsResponse.pb()
ReserveIdsRequest: Any = types.ReserveIdsRequest.pb()
ReserveIdsResponse: Any = types.ReserveIdsResponse.pb()

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
MICROS = 1_000_000


def invalid(message: str) -> RpcError:
    """Return the refusal of a request that can never succeed."""
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, message)


def unsupported(message: str) -> RpcError:
    """Return the refusal of what the real service does and this one does not."""
    return RpcError(grpc.StatusCode.UNIMPLEMENTED, message)


def micros(moment: dt.datetime) -> int:
    """Return a moment as microseconds since 1970, the precision of stored timestamps."""
    return (moment - _EPOCH) // _MICROSECOND


def set_micros(timestamp: Any, value: int) -> None:
    """Write microseconds since 1970 into a protobuf timestamp."""
    seconds, rest = divmod(value, MICROS)
    timestamp.seconds = seconds
    timestamp.nanos = rest * 1000


def timestamp_micros(timestamp: Any) -> int:
    """Return a protobuf timestamp as microseconds since 1970, rounded down."""
    value: int = timestamp.seconds * MICROS + timestamp.nanos // 1000
    return value

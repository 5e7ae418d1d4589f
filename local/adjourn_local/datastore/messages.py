"""Google's raw message classes, which are several times faster than proto-plus, and two errors."""

from typing import Any

import grpc
from google.cloud.datastore_v1 import types

from adjourn_local.http.rpc import RpcError

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
RunQueryRequest: Any = types.RunQueryRequest.pb()
RunAggregationQueryRequest: Any = types.RunAggregationQueryRequest.pb()
RunAggregationQueryResponse: Any = types.RunAggregationQueryResponse.pb()
BeginTransactionRequest: Any = types.BeginTransactionRequest.pb()
BeginTransactionResponse: Any = types.BeginTransactionResponse.pb()
CommitRequest: Any = types.CommitRequest.pb()
RollbackRequest: Any = types.RollbackRequest.pb()
RollbackResponse: Any = types.RollbackResponse.pb()
AllocateIdsRequest: Any = types.AllocateIdsRequest.pb()
AllocateIdsResponse: Any = types.AllocateIdsResponse.pb()
ReserveIdsRequest: Any = types.ReserveIdsRequest.pb()
ReserveIdsResponse: Any = types.ReserveIdsResponse.pb()


def invalid(message: str) -> RpcError:
    """Return an INVALID_ARGUMENT error."""
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, message)


def unsupported(message: str) -> RpcError:
    """Return an UNIMPLEMENTED error, for features that only the real service has."""
    return RpcError(grpc.StatusCode.UNIMPLEMENTED, message)

"""How the services classify the HTTP status of a handler's response."""

from google.rpc import code_pb2  # type: ignore[import-untyped]

from adjourn_local.http.sender import HandlerResponse

# google/rpc/code.proto names the HTTP status of each code; the log of Cloud Tasks maps 403, 500 and
# 503 in this way.
_CODES: dict[int, int] = {
    400: code_pb2.INVALID_ARGUMENT,
    401: code_pb2.UNAUTHENTICATED,
    403: code_pb2.PERMISSION_DENIED,
    404: code_pb2.NOT_FOUND,
    409: code_pb2.ABORTED,
    416: code_pb2.OUT_OF_RANGE,
    429: code_pb2.RESOURCE_EXHAUSTED,
    499: code_pb2.CANCELLED,
    500: code_pb2.INTERNAL,
    501: code_pb2.UNIMPLEMENTED,
    503: code_pb2.UNAVAILABLE,
    504: code_pb2.DEADLINE_EXCEEDED,
}
_SUCCESS = range(200, 300)


def is_success(response: HandlerResponse) -> bool:
    """Return whether a handler succeeded: only the statuses 200 to 299 count (`HttpTarget`)."""
    return response.status in _SUCCESS


def code_of(status: int) -> int:
    """Return the `google.rpc.Code` for an HTTP status that is not a success."""
    code: int = _CODES.get(status, code_pb2.UNKNOWN)
    return code

"""What an HTTP answer means to the services that asked."""

from google.rpc import code_pb2  # type: ignore[import-untyped]

from adjourn_local.http.sender import Answer

# google/rpc/code.proto names the HTTP status that belongs to each code; the log of Cloud Tasks
# shows 403, 500 and 503 mapped so.
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


def is_success(answer: Answer) -> bool:
    """Tell whether a handler acknowledged: 200 to 299 and nothing else (`HttpTarget`)."""
    return answer.status in _SUCCESS


def code_of(status: int) -> int:
    """Return the `google.rpc.Code` of an HTTP status other than success."""
    code: int = _CODES.get(status, code_pb2.UNKNOWN)
    return code

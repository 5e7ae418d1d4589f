"""Errors as HTTP responses, in the forms of Google's APIs: JSON or protobuf.

Source: https://cloud.google.com/apis/design/errors.
"""

from aiohttp import web
from google.rpc import status_pb2  # type: ignore[import-untyped]

from adjourn_local.http.rpc import HTTP_STATUS, RpcError

PROTOBUF = "application/x-protobuf"


def error_response(
    error: RpcError, *, is_json: bool = True, status: int | None = None
) -> web.Response:
    """Return an error as a response.

    Args:
        error: The error.
        is_json: Return JSON, else a `google.rpc.Status`.
        status: The HTTP status; None for that of the error's code.
    """
    status = status or HTTP_STATUS[error.code]
    if is_json:
        content = {"code": status, "message": error.message, "status": error.code.name}
        return web.json_response({"error": content}, status=status)
    message = status_pb2.Status(code=error.code.value[0], message=error.message)
    return web.Response(status=status, body=message.SerializeToString(), content_type=PROTOBUF)

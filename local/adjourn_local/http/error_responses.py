"""Errors as HTTP responses, in the forms of Google's APIs: JSON or protobuf.

Source: https://cloud.google.com/apis/design/errors.
"""

from aiohttp import web
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]

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
        if error.details:
            content["details"] = MessageToDict(error.status())["details"]
        return web.json_response({"error": content}, status=status)
    body = error.status().SerializeToString()
    return web.Response(status=status, body=body, content_type=PROTOBUF)

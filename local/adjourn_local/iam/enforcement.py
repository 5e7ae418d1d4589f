"""Refuse the calls for which an account has no permission, as the real services do."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.iam.v1 import iam_policy_pb2  # type: ignore[import-untyped]

from adjourn_local.iam.methods import METHODS
from adjourn_local.iam.policy import Need, Policy

_DATASTORE = "/google.datastore.v1.Datastore/"
_ACCOUNT = "/serviceAccounts/"
_TEST = ".CloudTasks/TestIamPermissions"

Answer = Callable[[Any, Any], Awaitable[Any]]


class Enforcement(grpc.GenericRpcHandler):
    """A service that does what one account may do, and answers PERMISSION_DENIED to the rest.

    Google's clients send no credential to an emulator. So each account has a port of its own, and
    the port at which a call arrives says whose it is.

    Args:
        service: The service behind the check.
        email: The account.
        policy: Returns the grants in force.
    """

    def __init__(
        self, service: grpc.GenericRpcHandler, email: str, policy: Callable[[], Policy]
    ) -> None:
        self._service = service
        self._member = f"serviceAccount:{email}"
        self._policy = policy

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of a method, behind the check; None if the service has none."""
        method = handler_call_details.method
        handler: Any = self._service.service(handler_call_details)
        if handler is None:
            return None
        return grpc.unary_unary_rpc_method_handler(
            self._tested if method.endswith(_TEST) else self._checked(method, handler.unary_unary),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _checked(self, method: str, answer: Answer) -> Answer:
        async def checked(request: Any, context: Any) -> Any:
            needs = METHODS.get(method, _unknown(method))(request)
            if missing := self._policy().missing(self._member, needs):
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, _refusal(method, missing))
            return await answer(request, context)

        return checked

    async def _tested(self, request: Any, _context: Any) -> Any:
        """Serve TestIamPermissions, which tells what the caller may do."""
        granted = [
            each
            for each in request.permissions
            if not self._policy().missing(self._member, [Need(each, request.resource)])
        ]
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=granted)


def _unknown(method: str) -> Callable[[Any], list[Need]]:
    return lambda _request: [Need(f"a permission that is known for {method}", "anything")]


def _refusal(method: str, missing: Need) -> str:
    """Return what the real service says."""
    if method.startswith(_DATASTORE):
        return "Missing or insufficient permissions."
    resource = missing.resource.rpartition(_ACCOUNT)[2]
    return (
        f'The principal (user or service account) lacks IAM permission "{missing.permission}"'
        f' for the resource "{resource}" (or the resource may not exist).'
    )

"""The API methods for IAM policies of queues, which are stored but not enforced."""

import hashlib
from typing import Any

import grpc
from google.iam.v1 import iam_policy_pb2, policy_pb2  # type: ignore[import-untyped]

from adjourn_local.http.rpc import RpcError
from adjourn_local.tasks.queue_calls import QueueCalls
from adjourn_local.tasks.task_store import TaskStore

# The etag of a resource without a policy; in JSON it is "ACAB".
_NO_POLICY_ETAG = b"\x00 \x01"


class IamCalls:
    """Stores the IAM policy of each queue, so that Terraform can read what it has set."""

    def __init__(self, store: TaskStore, queues: QueueCalls) -> None:
        self._store = store
        self._queues = queues

    def get(self, request: Any) -> Any:
        """Serve GetIamPolicy."""
        self._queues.require(request.resource)
        return self._policy(request.resource)

    def set(self, request: Any) -> Any:
        """Serve SetIamPolicy; an etag, if given, must match that of the stored policy."""
        self._queues.require(request.resource)
        policy, wanted = self._policy(request.resource), request.policy
        if wanted.etag and wanted.etag != policy.etag:
            raise RpcError(
                grpc.StatusCode.ABORTED,
                "There were concurrent policy changes. "
                "Please retry the whole read-modify-write with exponential backoff.",
            )
        if request.update_mask.paths:
            request.update_mask.MergeMessage(wanted, policy, replace_repeated_field=True)
        else:
            policy = policy_pb2.Policy(version=wanted.version or 1, bindings=wanted.bindings)
        content = policy.SerializeToString(deterministic=True)
        policy.etag = hashlib.sha256(content).digest()[:8]
        self._store.put_policy(request.resource, policy)
        return policy

    def test(self, request: Any) -> Any:
        """Serve TestIamPermissions: every permission is granted on a queue that exists.

        On a missing queue no permission is granted; that is not an error (`test_iam_permissions`).
        """
        granted = request.permissions if self._queues.find(request.resource) else ()
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=granted)

    def _policy(self, queue: str) -> Any:
        return self._store.policy(queue) or policy_pb2.Policy(etag=_NO_POLICY_ETAG)

"""The accounts of a stack that enforces IAM: a gRPC port for each, and what each may do."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack

import grpc

from adjourn_local.http.grpc_server import GrpcServer
from adjourn_local.iam.enforcement import Enforcement
from adjourn_local.iam.policy import Binding, Policy
from adjourn_local.runtime import ports

# Time for clients that are still connected to end their calls.
_GRACE = 0.5


class Accounts:
    """Accounts by their e-mail addresses, each with a port at which calls are its own.

    Args:
        emails: The addresses.
        bindings: What the accounts are granted.

    Attributes:
        policy: The grants in force; it may be replaced while the stack runs.
    """

    def __init__(self, emails: Iterable[str], bindings: Iterable[Binding] = ()) -> None:
        self.policy = Policy(tuple(bindings))
        names = list(emails)
        self._ports = dict(zip(names, ports.find_free(len(names)), strict=True))

    def __contains__(self, email: str) -> bool:
        return email in self._ports

    def host(self, email: str) -> str:
        """Return where an account's calls arrive, as `host:port`."""
        return f"{ports.HOST}:{self._ports[email]}"

    def environment(self, email: str) -> Mapping[str, str]:
        """Return the variables that let adjourn and Google's clients call as an account."""
        return emulators(self.host(email))

    async def serve(
        self, closing: AsyncExitStack, services: Sequence[grpc.GenericRpcHandler]
    ) -> None:
        """Serve every account's port until the stack closes."""
        for email, port in self._ports.items():
            checked = [Enforcement(each, email, lambda: self.policy) for each in services]
            await serve_grpc(closing, GrpcServer(checked), ports.HOST, port)


def emulators(host: str) -> Mapping[str, str]:
    """Return the variables that lead adjourn and Google's clients to one gRPC port."""
    names = ("CLOUDTASKS", "CLOUDSCHEDULER", "DATASTORE")
    return {f"{name}_EMULATOR_HOST": host for name in names}


async def serve_grpc(closing: AsyncExitStack, server: GrpcServer, host: str, port: int) -> None:
    """Serve gRPC at an address until the stack closes."""
    closing.push_async_callback(server.stop, _GRACE)
    await server.listen(host, port)

"""The accounts of a stack that enforces IAM: a gRPC port for each, and what each may do."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack

import grpc.aio

from adjourn_local.iam.enforcement import Enforcement
from adjourn_local.iam.policy import Binding, Policy
from adjourn_local.runtime import ports

_LARGEST_REQUEST = 16 << 20
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
        for email in self._ports:
            enforcement = Enforcement(email, lambda: self.policy)
            await serve_grpc(closing, services, self.host(email), [enforcement])


def emulators(host: str) -> Mapping[str, str]:
    """Return the variables that lead adjourn and Google's clients to one gRPC port."""
    names = ("CLOUDTASKS", "CLOUDSCHEDULER", "DATASTORE")
    return {f"{name}_EMULATOR_HOST": host for name in names}


async def serve_grpc(
    closing: AsyncExitStack,
    services: Sequence[grpc.GenericRpcHandler],
    host: str,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
) -> None:
    """Serve gRPC services at `host:port` until the stack closes."""
    server = grpc.aio.server(
        interceptors=list(interceptors),
        options=[("grpc.max_receive_message_length", _LARGEST_REQUEST)],
    )
    server.add_generic_rpc_handlers(services)
    server.add_insecure_port(host)
    closing.push_async_callback(server.stop, _GRACE)
    await server.start()

"""The Datastore server alone, as `bench.datastore` and `bench.scale` measure it.

Usage: python -m bench.datastore_server PORT FOLDER [--floor]

With `--floor` it answers again what it has answered to the same request before, or to another small
commit: the least that any server behind this protocol takes.
"""

import argparse
import asyncio
from pathlib import Path
from typing import Any

import grpc

from adjourn_local.checkpoints import Checkpointer
from adjourn_local.datastore import DatastoreServer
from adjourn_local.http.grpc_server import GrpcServer
from adjourn_local.runtime.garbage import search_rarely
from adjourn_local.timing.clocks import MachineClock

_SMALL = 4096


class Remembering(grpc.GenericRpcHandler):
    """A service that does the work behind another one once, and takes and gives bytes."""

    def __init__(self, service: grpc.GenericRpcHandler) -> None:
        self._service = service
        self._answers: dict[tuple[str, bytes], bytes] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of a method."""
        method = handler_call_details.method
        handler: Any = self._service.service(handler_call_details)

        async def answer(data: bytes, context: Any) -> bytes:
            is_small_commit = method.endswith("/Commit") and len(data) < _SMALL
            key = method, b"" if is_small_commit else data
            if key not in self._answers:
                request = handler.request_deserializer(data)
                response = await handler.unary_unary(request, context)
                self._answers[key] = handler.response_serializer(response)
            return self._answers[key]

        return grpc.unary_unary_rpc_method_handler(answer, bytes, bytes)


async def main(port: int, folder: Path, *, floor: bool) -> None:
    """Serve until the process is ended."""
    store = DatastoreServer(folder / "state.db", MachineClock())
    Checkpointer(folder / "state.db")
    service = store.grpc_service()
    await GrpcServer([Remembering(service) if floor else service]).listen("127.0.0.1", port)
    search_rarely()
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--floor", action="store_true")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.port, arguments.folder, floor=arguments.floor))

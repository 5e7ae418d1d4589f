"""The Datastore server alone, as `bench.datastore` and `bench.scale` measure it.

Usage: python -m bench.datastore_server PORT FOLDER
"""

import asyncio
import sys
from pathlib import Path

import grpc
import grpc.aio

from adjourn_local.datastore import DatastoreServer
from adjourn_local.timing.clocks import MachineClock


async def main(port: int, folder: Path) -> None:
    """Serve until the process is ended."""
    store = DatastoreServer(folder / "state.db", MachineClock())
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 16 << 20)])
    server.add_generic_rpc_handlers((store.grpc_service(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))

"""The Datastore server alone, as `bench.datastore` and `bench.scale` measure it.

Usage: python -m bench.datastore_server PORT FOLDER
"""

import asyncio
import sys
from pathlib import Path

from adjourn_local.checkpoints import Checkpointer
from adjourn_local.datastore import DatastoreServer
from adjourn_local.http.grpc_server import GrpcServer
from adjourn_local.timing.clocks import MachineClock


async def main(port: int, folder: Path) -> None:
    """Serve until the process is ended."""
    store = DatastoreServer(folder / "state.db", MachineClock())
    Checkpointer(folder / "state.db")
    await GrpcServer([store.grpc_service()]).listen("127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))

from collections.abc import Iterator

import pytest

from adjourn_local.clock import SystemClock
from adjourn_local.datastore.server import DatastoreServer
from adjourn_local.loop import LoopThread
from tests.contract.datastore_world import google_emulator
from tests.support import serving


@pytest.fixture(scope="module")
def datastore_address(loop: LoopThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve Datastore and return its `host:port`."""
    path = tmp_path_factory.mktemp("datastore") / "state"
    server = loop.call(lambda: DatastoreServer(path, SystemClock()))
    with serving(loop, server.grpc_service()) as address:
        yield address
    loop.call(server.close)


@pytest.fixture(scope="session")
def google_address() -> Iterator[str]:
    """Serve Google's own emulator, or skip with the reason why there is none."""
    with google_emulator() as address:
        yield address

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from adjourn_local.datastore.locks import Concurrency
from adjourn_local.datastore.server import DatastoreServer
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.timing.clocks import MachineClock
from tests.contract.datastore_world import google_emulator
from tests.support import serving


@pytest.fixture(scope="module")
def datastore_address(loop: LoopThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve Datastore and return its `host:port`."""
    with _datastore(loop, tmp_path_factory, Concurrency.PESSIMISTIC) as address:
        yield address


@pytest.fixture(scope="module")
def optimistic_address(loop: LoopThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a Datastore in which nobody waits for a transaction; return its `host:port`."""
    with _datastore(loop, tmp_path_factory, Concurrency.OPTIMISTIC) as address:
        yield address


@contextmanager
def _datastore(
    loop: LoopThread, folders: pytest.TempPathFactory, concurrency: Concurrency
) -> Iterator[str]:
    path = folders.mktemp("datastore") / "state"
    server = loop.call(lambda: DatastoreServer(path, MachineClock(), concurrency=concurrency))
    with serving(loop, server.grpc_service()) as address:
        yield address
    loop.call(server.close)


@pytest.fixture(scope="session")
def google_address() -> Iterator[str]:
    """Serve Google's own emulator, or skip with the reason why there is none."""
    with google_emulator() as address:
        yield address

import pytest

from tests.contract.datastore_world import running


@pytest.fixture
def world(loop, tmp_path):
    """Return a server as it is by default: pessimistic."""
    with running(loop, tmp_path / "state.db") as running_world:
        yield running_world


@pytest.fixture(params=["grpc", "http"])
def client(request, world):
    return world.client(http=request.param == "http")


@pytest.fixture
def other(world):
    """Return a client whose calls are outside any transaction of `client`."""
    return world.client()

"""Who holds a lock, for how long, and what becomes of it when its client has gone."""

import base64
import os
import socket
import subprocess
import sys

import pytest
from google.api_core import exceptions

from adjourn_local.http.connections import is_gone
from tests.contract.datastore_calls import begin, commit, is_waited, lookup, until, upsert, waiting
from tests.contract.datastore_world import put, running

HOLDER = """\
from google.cloud import datastore
client = datastore.Client(project="demo")
with client.transaction():
    client.get(client.key("Row", "a"))
    print("held", flush=True)
    input()
"""


@pytest.fixture
def world(loop, tmp_path):
    with running(loop, tmp_path / "state.db") as found:
        yield found


@pytest.fixture
def holder(world):
    """Run a process that holds a lock until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        env={**os.environ, "DATASTORE_EMULATOR_HOST": world.grpc_address},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def shown(transaction):
    return base64.b64encode(transaction).decode()


def test_an_abort_names_who_holds_the_lock_and_for_how_long(world):
    client, other = world.client(), world.client()
    transaction = begin(client)
    world.advance(4)
    lookup(client, transaction=transaction)

    with pytest.raises(exceptions.Aborted) as error:  # noqa: SIM117 - the block raises
        with waiting(world, lambda: put(other, "Row", "a", n=1)):
            world.advance(2)

    message = error.value.message
    assert message.startswith("Too much contention on these datastore entities. Please try again.")
    assert f"Transaction {shown(transaction)}, of the client at 127.0.0.1:" in message
    assert "it has been open for 6.0 s and silent for 2.0 s." in message


def test_an_aborted_transaction_is_told_by_whom(world):
    client, other = world.client(), world.client()
    older, younger = begin(client), begin(other)
    lookup(other, transaction=younger)
    commit(client, older, upsert(client))

    with pytest.raises(exceptions.Aborted) as error:
        commit(other, younger)

    assert "cross-transaction contention" in error.value.message
    assert f"It was aborted by transaction {shown(older)}" in error.value.message


def test_a_client_that_died_holds_nothing(world, holder):
    client = world.client()
    with waiting(world, lambda: put(client, "Row", "a", n=1)):
        world.advance(0.3)  # the holder is alive, so this only looks for it
        until(lambda: is_waited(world))
        holder.kill()
        holder.wait(10)
        world.advance(0.3)

    assert client.get(client.key("Row", "a"))["n"] == 1


@pytest.mark.parametrize("client", ["", "unix:", "ipv4:127.0.0.1", "ipv6:%5B::1%5D:x"])
def test_a_client_without_an_address_is_not_taken_for_gone(client):
    assert not is_gone(client)


@pytest.mark.parametrize(
    ("host", "family", "shown"),
    [
        ("127.0.0.1", socket.AF_INET, "ipv4:127.0.0.1:{}"),
        ("::1", socket.AF_INET6, "ipv6:%5B::1%5D:{}"),
    ],
)
def test_a_client_has_gone_once_its_connection_is_closed(host, family, shown):
    with socket.socket(family) as server:
        try:
            server.bind((host, 0))
        except OSError as error:
            pytest.skip(f"{host} is not to be had here: {error}")
        server.listen()
        with socket.socket(family) as caller:
            caller.connect(server.getsockname()[:2])
            accepted, (_, port, *_) = server.accept()
            assert not is_gone(shown.format(port))
        assert is_gone(shown.format(port))
        accepted.close()

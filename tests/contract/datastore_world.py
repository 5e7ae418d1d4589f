"""A Datastore server on real sockets, and Google's own emulator beside it."""

import datetime as dt
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from google.cloud import datastore

from adjourn_local.datastore import DatastoreServer
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.ports import HOST, choose
from adjourn_local.timing.clocks import MachineClock, ManualClock
from tests.support import serving, serving_http

START = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class World:
    """A running server; its clients are Google's, told of it as users tell them."""

    loop: LoopThread
    clock: ManualClock
    server: DatastoreServer
    grpc_address: str
    http_address: str

    def client(self, project="demo", *, http=False, **options):
        address = self.http_address if http else self.grpc_address
        return connect(address, project, http=http, **options)

    def advance(self, seconds):
        self.loop.call(lambda: self.clock.advance(seconds))


def connect(address, project="demo", *, http=False, **options):
    """Return the unmodified client of a server."""
    with mock.patch.dict(os.environ, {"DATASTORE_EMULATOR_HOST": address}):
        return datastore.Client(project=project, _use_grpc=not http, **options)


@contextmanager
def running(
    loop: LoopThread,
    path: Path,
    seed: int = 0,
    random_source: random.Random | None = None,
    **options,
) -> Iterator[World]:
    clock = ManualClock(START)
    source = random_source or random.Random(seed)
    server = loop.call(lambda: DatastoreServer(path, clock, random_source=source, **options))
    with (
        serving(loop, server.grpc_service()) as grpc_address,
        serving_http(loop, server.http_routes()) as url,
    ):
        yield World(loop, clock, server, grpc_address, url.removeprefix("http://"))
    loop.call(server.close)


@contextmanager
def behind(loop: LoopThread, folder: Path, patch: pytest.MonkeyPatch, wrap: Any) -> Iterator[Any]:
    """Let clients talk to a server through what `wrap` makes of its service; yield that."""
    server = loop.call(lambda: DatastoreServer(folder / "state", MachineClock()))
    wrapped = wrap(server.grpc_service())
    with serving(loop, wrapped) as address:
        patch.setenv("DATASTORE_EMULATOR_HOST", address)
        yield wrapped
    loop.call(server.close)


def put(client, kind, name, *, parent=None, exclude=(), **properties):
    entity = datastore.Entity(client.key(kind, name, parent=parent), exclude_from_indexes=exclude)
    entity.update(properties)
    client.put(entity)
    return entity


def names(found):
    return [entity.key.id_or_name for entity in found]


@contextmanager
def google_emulator() -> Iterator[str]:
    """Run Google's emulator in a process group, so that its Java child ends with it."""
    missing = [tool for tool in ("gcloud", "java") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"Google's emulator needs {' and '.join(missing)}, not installed here")
    address = f"{HOST}:{choose(0, None)[0]}"
    command = ["gcloud", "emulators", "firestore", "start", "--database-mode=datastore-mode"]
    process = subprocess.Popen(
        [*command, f"--host-port={address}"],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    patience = threading.Timer(60, os.killpg, (process.pid, signal.SIGTERM))
    patience.start()
    # It logs every error with its trace and would stop at a full pipe.
    drain = threading.Thread(target=process.stdout.read)
    try:
        _await(process, address)
        patience.cancel()
        drain.start()
        yield address
    finally:
        patience.cancel()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)
        if drain.ident:
            drain.join()
        process.stdout.close()


def _await(process, address):
    """Wait for the line that says so; if the output ends before it, there is no emulator."""
    host, port = address.split(":")
    if not any(b"is now running" in line for line in process.stdout):
        pytest.skip("gcloud could not start Google's emulator; is its component installed?")
    socket.create_connection((host, int(port)), timeout=10).close()

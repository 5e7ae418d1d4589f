"""The application that bench.iteration measures."""

import os
import socket
import time
from functools import cache
from typing import Any

from google.cloud import datastore

import adjourn

app = adjourn.App()


def tell(word: str) -> None:
    """Let the measuring process know."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.sendto(word.encode(), os.environ["BENCH_EAR"])


class Walk(adjourn.QueryIter[datastore.Entity]):
    """Does nothing with each entity."""

    def handle_entry(self, entry: datastore.Entity, custom_data: Any) -> None:
        """Do nothing."""

    def handle_finish(self, total_count: int, custom_data: Any) -> None:  # noqa: ARG002
        """Say so."""
        tell(str(total_count))


@app.query_iter
class Trivial(Walk):
    """Does nothing with each entity."""


@app.query_iter
class Waiting(Walk):
    """Waits for something else, as most handlers do."""

    def handle_entry(self, entry: datastore.Entity, custom_data: Any) -> None:  # noqa: ARG002
        """Wait."""
        time.sleep(0.005)


@app.query_iter
class Delete(adjourn.DeleteEntitiesIter):
    """Deletes in bulk."""

    handle_finish = Walk.handle_finish


@app.query_iter
class Update(adjourn.UpdateEntitiesIter):
    """Updates in bulk."""

    handle_finish = Walk.handle_finish

    def update_entry(self, entry: datastore.Entity, custom_data: Any) -> None:  # noqa: ARG002
        """Change something."""
        entry["price"] += 1


@app.query_iter
class DeleteSingly(Walk):
    """Deletes each entity by itself."""

    def handle_entry(self, entry: datastore.Entity, custom_data: Any) -> None:  # noqa: ARG002
        """Delete it."""
        client().delete(entry.key)


@app.query_iter
class UpdateSingly(Walk):
    """Reads, changes and writes each entity in a transaction of its own."""

    def handle_entry(self, entry: datastore.Entity, custom_data: Any) -> None:  # noqa: ARG002
        """Change something."""
        with client().transaction():
            found = client().get(entry.key)
            found["price"] += 1
            client().put(found)


@cache
def client() -> datastore.Client:
    """Return a client that is made once."""
    return datastore.Client()

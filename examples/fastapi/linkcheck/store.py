"""What the link checker keeps in Datastore."""

from functools import cache
from typing import Protocol

from google.cloud import datastore


class Store(Protocol):
    """Where results are."""

    def save(self, page: str, link: str, status: int) -> None:
        """Keep the status of a link of a page."""

    def results(self, page: str) -> dict[str, int]:
        """Return the status of each link of a page that was looked at."""


class DatastoreStore:
    """Keeps results in Datastore, below their page."""

    def __init__(self) -> None:
        self._client = datastore.Client()

    def save(self, page: str, link: str, status: int) -> None:
        """Keep the status of a link of a page."""
        entity = datastore.Entity(self._client.key("Page", page, "Link", link))
        entity["status"] = status
        self._client.put(entity)

    def results(self, page: str) -> dict[str, int]:
        """Return the status of each link of a page that was looked at."""
        query = self._client.query(kind="Link", ancestor=self._client.key("Page", page))
        return {link.key.name: link["status"] for link in query.fetch()}


@cache
def store() -> Store:
    """Return this process's store, made on first use."""
    return DatastoreStore()

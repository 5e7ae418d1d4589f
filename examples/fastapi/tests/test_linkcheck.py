"""The link checker without any server: Starlette's client, tasks in adjourn's sandbox."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from fastapi.testclient import TestClient

from adjourn.testing import fake
from linkcheck import tasks
from linkcheck.http import http
from linkcheck.store import store
from linkcheck.tasks import app, check
from linkcheck.web import web


class MemoryStore:
    """Keeps results in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], int] = {}

    def save(self, page: str, link: str, status: int) -> None:
        """Keep the status of a link of a page."""
        self.kept[page, link] = status

    def results(self, page: str) -> dict[str, int]:
        """Return the status of each link of a page."""
        return {link: status for (of, link), status in self.kept.items() if of == page}


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryStore]:
    """Give the requests (FastAPI's way) and the tasks a store in memory."""
    kept = MemoryStore()
    web.dependency_overrides[store] = lambda: kept
    monkeypatch.setattr(tasks, "store", lambda: kept)
    yield kept
    web.dependency_overrides.clear()


def test_links_are_enqueued_and_results_are_shown(kept: MemoryStore) -> None:
    links = ["https://shop.example/a", "https://shop.example/b"]
    with fake(app) as box, TestClient(web) as client:
        assert client.put("/pages/home", json=links).json() == {"enqueued": 2}

        for link in links:
            box.assert_enqueued(check, "home", link)
        assert client.get("/pages/home").json() == {}

        kept.save("home", links[0], 200)
        assert client.get("/pages/home").json() == {links[0]: 200}


def test_a_link_is_looked_at(kept: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(404))

    async def look() -> None:
        async with httpx.AsyncClient(transport=transport) as client:
            monkeypatch.setattr(http, "client", client, raising=False)
            await check.call_local("home", "https://shop.example/gone")

    asyncio.run(look())

    assert kept.results("home") == {"https://shop.example/gone": 404}

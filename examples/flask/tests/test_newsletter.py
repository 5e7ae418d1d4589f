"""The newsletter without any server: requests by Flask's client, tasks in adjourn's sandbox."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.cloud.datastore import Entity, Key

from adjourn.testing import MemoryQuery, Sandbox, fake
from newsletter import store
from newsletter.tasks import app, welcome
from newsletter.web import web

Kept = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Keep entities in a dictionary instead of Datastore."""
    kept: Kept = {}
    monkeypatch.setattr(store, "save", lambda kind, name, **v: kept.update({(kind, name): v}))
    monkeypatch.setattr(store, "find", lambda kind, name: kept.get((kind, name)))
    monkeypatch.setattr(store, "subscribers", lambda: MemoryQuery("Subscriber"))
    return kept


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """Keep calls in memory instead of Cloud Tasks."""
    with fake(app) as box:
        yield box


def test_whoever_subscribes_is_welcomed_after_the_answer(kept: Kept, box: Sandbox) -> None:
    assert web.test_client().put("/subscribers/ann@shop.example").status_code == 202

    box.assert_enqueued(welcome, "ann@shop.example")
    assert web.test_client().get("/subscribers/ann@shop.example").json == {"is_welcomed": False}

    box.drain()

    assert kept["Mail", "welcome ann@shop.example"]["text"] == "Good to have you."
    assert web.test_client().get("/subscribers/ann@shop.example").json == {"is_welcomed": True}


def test_an_issue_goes_to_every_subscriber(kept: Kept, box: Sandbox) -> None:
    for name in ("ann", "bob"):
        box.queries.add("Subscriber", Entity(Key("Subscriber", name, project="test")))

    answer = web.test_client().put("/issues/spring", data="It is spring.")

    assert answer.status_code == 202
    box.drain()
    assert kept["Mail", "spring bob"]["text"] == "It is spring."
    assert web.test_client().get("/issues/spring").json == {"sent": 2}

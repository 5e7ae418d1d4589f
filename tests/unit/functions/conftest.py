import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import functions_framework
import pytest
from flask.testing import FlaskClient

from adjourn.testing import FakeClock, MemoryQueue, MemoryStore
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.tokens.issuer import CERTS_PATH, TokenIssuer
from tests.support import serving_http
from tests.unit import shop
from tests.unit.adjourn.test_settings import ENVIRONMENT
from tests.unit.conftest import Lines

FUNCTIONS = Path(__file__).parents[3] / "functions"

Serve = Callable[..., FlaskClient]


@pytest.fixture(scope="module")
def clock() -> FakeClock:
    """Return the time at the functions and at whoever issues tokens."""
    return FakeClock()


@pytest.fixture(scope="module")
def issuer(clock: FakeClock) -> TokenIssuer:
    """Return who signs tokens as Google does."""
    return TokenIssuer(clock)


@pytest.fixture(scope="module")
def keys_url(loop: LoopThread, issuer: TokenIssuer) -> Iterator[str]:
    """Publish the issuer's keys."""
    with serving_http(loop, issuer.routes()) as url:
        yield url + CERTS_PATH


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, keys_url: str, clock: FakeClock) -> Iterator[Serve]:
    """Return what starts a function and gives a client of it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    loggers = [
        each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger)
    ]
    enabled = [each for each in loggers if not each.disabled]
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    shop.sent.clear()

    def start(
        name: str = "deferred", source: Path | None = None, **environment: str
    ) -> FlaskClient:
        own = {"ADJOURN_APP": "tests.unit.shop:app", "ADJOURN_KEYS_URL": keys_url}
        for variable, value in {**ENVIRONMENT, **own, **environment}.items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setattr(shop.app, "_wiring", None)
        monkeypatch.setattr("adjourn.gcp.SystemClock", lambda: clock)
        source = source or FUNCTIONS / name / "main.py"
        return functions_framework.create_app(name, str(source)).test_client()

    yield start
    root.handlers[:] = handlers
    root.setLevel(level)
    for logger in enabled:  # functions-framework may have disabled them
        logger.disabled = False


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """Let the functions keep their state in memory."""
    kept = MemoryStore()
    for name in ("get", "put", "transact"):
        monkeypatch.setattr(
            f"adjourn.gcp.datastore_store.DatastoreStore.{name}", _in_memory(kept, name)
        )
    return kept


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> MemoryQueue:
    """Let the functions enqueue into memory."""
    kept = MemoryQueue(FakeClock())
    for name in ("enqueue", "full_name"):
        monkeypatch.setattr(f"adjourn.gcp.cloudtasks.CloudTaskQueue.{name}", _in_memory(kept, name))
    return kept


def _in_memory(twin: object, name: str) -> Callable[..., Any]:
    return lambda _, *args, **kwargs: getattr(twin, name)(*args, **kwargs)


@pytest.fixture
def reasons(lines: Lines) -> Callable[[], list[Any]]:
    """Return what gives the reasons for which callers were refused."""
    return lambda: [line["reason"] for line in lines() if line.get("event") == "caller.refused"]

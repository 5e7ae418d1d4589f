import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from adjourn import App
from adjourn.log import JsonFormatter
from adjourn.testing import Sandbox, sandbox

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def app() -> App:
    """Return an application that declares nothing yet."""
    return App()


@pytest.fixture
def box(app: App) -> Iterator[Sandbox]:
    """Give the application an outside world in memory."""
    with sandbox(app) as made:
        yield made


@pytest.fixture
def ran() -> list[Any]:
    """Return what the tasks under test put something down in when they run."""
    return []


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Return what gives the lines that were logged, as Cloud Logging receives them."""
    stream, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(stream), root.level
    handler.setFormatter(JsonFormatter())
    # Not what a laptop stack of other tests goes on to log on its own thread.
    handler.addFilter(lambda record: record.threadName != "adjourn-loop")
    handler.addFilter(lambda record: not record.name.startswith(("asyncio", "grpc")))
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def commits(box):
    """Return a list to which each commit adds how many entities it writes."""
    made, commit = [], box.store.commit

    def counted(changes):
        if changes:
            made.append(len(changes))
        commit(changes)

    box.store.commit = counted
    return made

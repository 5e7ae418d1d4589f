from collections.abc import Iterator

import pytest

from adjourn_local.runtime.harness import RunningStack, running_for_tests
from tests.console.application import app
from tests.console.browser import Browser


@pytest.fixture(scope="package")
def stack() -> Iterator[RunningStack]:
    with running_for_tests(
        app, "tests.console.application:app", lambda _name, _line: None
    ) as stack:
        yield stack


@pytest.fixture(autouse=True)
def environment(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process's clients talk to the stack."""
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def browser(stack: RunningStack) -> Browser:
    return Browser(stack.ports.http)

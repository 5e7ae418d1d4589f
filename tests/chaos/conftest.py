from collections.abc import Iterator

import pytest

from adjourn_local.stack import Stack, running
from adjourn_local.tasks import Options
from tests.chaos.application import app
from tests.chaos.world import FAULTS, Ear


@pytest.fixture(scope="session")
def environment() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="session")
def open_ear(
    tmp_path_factory: pytest.TempPathFactory, environment: pytest.MonkeyPatch
) -> Iterator[Ear]:
    path = tmp_path_factory.mktemp("chaos") / "ear"
    environment.setenv("CHAOS_EAR", str(path))
    ear = Ear(path)
    yield ear
    ear.close()


@pytest.fixture
def ear(open_ear: Ear) -> Ear:
    open_ear.told.clear()
    return open_ear


@pytest.fixture(scope="session")
def shared_stack(
    open_ear: Ear,  # noqa: ARG001 - the functions inherit its address
    environment: pytest.MonkeyPatch,
) -> Iterator[Stack]:
    stack = Stack(app, "tests.chaos.application:app", faults=FAULTS, tasks=Options(limits=False))
    for name, value in stack.ports.environment().items():
        environment.setenv(name, value)
    with running(stack):
        yield stack


@pytest.fixture
def stack(shared_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    for name, value in shared_stack.ports.environment().items():
        monkeypatch.setenv(name, value)
    shared_stack.sender.faults = FAULTS
    return shared_stack

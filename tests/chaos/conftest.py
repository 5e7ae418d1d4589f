from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from adjourn_local.stack import Stack, running
from adjourn_local.tasks import Options
from tests.chaos.application import app
from tests.chaos.world import FAULTS, Ear


@pytest.fixture(scope="session")
def open_ear(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ear]:
    ear = Ear(tmp_path_factory.mktemp("chaos") / "ear")
    yield ear
    ear.close()


@pytest.fixture
def ear(open_ear: Ear) -> Ear:
    open_ear.told.clear()
    return open_ear


@pytest.fixture(scope="session")
def shared_stack(open_ear: Ear) -> Iterator[Stack]:
    stack = Stack(app, "tests.chaos.application:app", faults=FAULTS, tasks=Options(limits=False))
    with ExitStack() as cleanup:
        with pytest.MonkeyPatch.context() as inherited:
            inherited.setenv("CHAOS_EAR", open_ear.path)
            cleanup.enter_context(running(stack))
        yield stack


@pytest.fixture
def stack(shared_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    for name, value in shared_stack.ports.environment().items():
        monkeypatch.setenv(name, value)
    shared_stack.sender.faults = FAULTS
    return shared_stack

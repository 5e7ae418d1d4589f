"""`adjourn flows` as an operator uses it, on calls that wait on the running stack."""

import json
from collections.abc import Callable
from contextlib import suppress

import pytest

import adjourn
from adjourn_local.cli import main
from tests.e2e.application import app, limited, loaded
from tests.e2e.conftest import Ear

pytestmark = pytest.mark.usefixtures("environment")

FLOW = "tests.e2e.application.limited"


Flows = Callable[..., str]


@pytest.fixture
def flows(capsys: pytest.CaptureFixture[str]) -> Flows:
    """Return what runs `adjourn flows` in this process, and returns what it prints."""

    def run(*arguments: str) -> str:
        assert main(["flows", *arguments]) == 0
        return capsys.readouterr().out

    return run


def test_a_key_is_paused_watched_changed_and_resumed(ear: Ear, flows: Flows) -> None:
    limited("acme", "first")
    assert ear.hear() == "first"
    assert flows("pause", FLOW, "--key", "acme").startswith(f"{FLOW}, key 'acme', is paused")

    waiting = limited("acme", "second")
    limited("other", "third")
    assert ear.hear() == "third"
    while not json.loads(flows("show", FLOW, "--key", "acme", "--json"))["waiting"]:
        pass

    shown = flows("show", FLOW, "--key", "acme")
    assert str(waiting.id) in shown
    assert "concurrency=1" in shown
    row = next(line for line in flows("list", FLOW).splitlines() if "acme" in line)
    assert row.split()[1:5] == ["acme", "0", "1", "concurrency=1"]
    state = waiting.fetch()
    assert state is not None
    assert state.last_status == "WAITING"
    flows("limit", FLOW, "--key", "acme", "--concurrency", "3")
    flows("resume", FLOW, "--key", "acme")
    assert ear.hear() == "second"
    assert json.loads(flows("list", FLOW, "--json"))[0]["flow"] == FLOW


def test_what_expires_while_it_waits_says_so_to_its_handle_and_its_batch(ear: Ear) -> None:
    flows, short = app.flows(), limited.options(keep_result=60, expires=2)
    flows.pause(FLOW, "late")
    late = short("late", "one")
    with app.batch(name="late", on_done=loaded) as batch:
        batch.add(short, "late", "two")
    with suppress(adjourn.ResultNotReadyError, adjourn.CallDroppedError):
        late.result(wait=3)  # until both have expired
    flows.resume(FLOW, "late")

    with pytest.raises(adjourn.CallDroppedError, match="it has expired"):
        late.result(wait=30)
    assert ear.hear() == "late 0 0 1"
    (child,) = app.batches().get("late").results()
    assert child is not None
    with pytest.raises(adjourn.CallDroppedError, match="it has expired"):
        child.returned()

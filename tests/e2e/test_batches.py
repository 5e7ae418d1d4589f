"""`adjourn batches` as an operator uses it, on batches of the running stack."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from adjourn_local.cli import main
from tests.e2e.application import app, load, loaded
from tests.e2e.conftest import Ear

pytestmark = pytest.mark.usefixtures("environment")

Batches = Callable[..., str]


@pytest.fixture
def batches(capsys: pytest.CaptureFixture[str]) -> Batches:
    """Return what runs `adjourn batches` in this process, and returns what it prints."""

    def run(*arguments: str) -> str:
        assert main(["batches", *arguments]) == 0
        return capsys.readouterr().out

    return run


def test_a_batch_is_watched_and_what_failed_retried(ear: Ear, batches: Batches) -> None:
    with app.batch(name="import", on_done=loaded) as batch:
        batch.map(load, ["first", "second", "broken"])

    heard = [ear.hear() for _ in range(5)]
    assert sorted(heard[:4]) == ["broken", "first", "grown", "second"]
    assert heard[4] == "import 3 1 0"
    shown = batches("show", "import")
    assert "status      failed" in shown
    (failed,) = json.loads(batches("show", "import", "--json"))["failed_children"]
    assert f"\n{failed}\n" in shown
    row = next(line for line in batches("list").splitlines() if "import" in line)
    assert row.split()[2:7] == ["failed", "3", "1", "0", "4"]

    mended = Path(os.environ["E2E_EAR"] + ".mended")
    mended.touch()
    assert batches("retry", "import").startswith("1 failed")
    assert [ear.hear(), ear.hear()] == ["broken", "import 4 0 0"]
    mended.unlink()
    assert json.loads(batches("list", "--json"))[0]["round"] == 1


def test_a_batch_whose_block_broke_off_is_cancelled(ear: Ear, batches: Batches) -> None:
    batch = app.batch(name="export", on_done=loaded).__enter__()
    batch.add(load.options(delay=1), "never")
    batch.flush()  # and the block breaks off

    assert json.loads(batches("show", "export", "--json"))["status"] == "open"
    assert batches("cancel", "export", "--yes").startswith("export is cancelled")
    assert ear.hear() == "export 0 0 1"
    assert main(["batches", "cancel", "export", "--yes"]) == 1

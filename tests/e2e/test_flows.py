"""`adjourn flows` as an operator uses it, on calls that wait on the running stack."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.application import limited
from tests.e2e.conftest import Ear

pytestmark = pytest.mark.usefixtures("environment")

ROOT = Path(__file__).resolve().parents[2]
FLOW = "tests.e2e.application.limited"


def flows(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "adjourn_local", "flows", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_key_is_paused_watched_changed_and_resumed(ear: Ear) -> None:
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

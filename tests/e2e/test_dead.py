"""`adjourn dead` as an operator uses it, on dead letters that the running stack made."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.stack import Stack
from tests.e2e.application import Size, moody
from tests.e2e.conftest import Ear, Log
from tests.support import serving

pytestmark = pytest.mark.usefixtures("environment")

ROOT = Path(__file__).resolve().parents[2]


def dead(*arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "adjourn_local", "dead", *arguments],
        cwd=ROOT,
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def listed(*arguments: str) -> Mapping[str, Any]:
    done = dead("list", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    told: Mapping[str, Any] = json.loads(done.stdout)
    return told


def ids(*arguments: str) -> set[str]:
    return {letter["id"] for letter in listed(*arguments)["letters"]}


@pytest.fixture
def mood(tmp_path: Path) -> Path:
    """Return a file; tasks that are given it succeed once it exists."""
    return tmp_path / "mood"


def hear(ear: Ear) -> None:
    """Wait until the task has run; the bell may ring meanwhile."""
    while ear.hear() != "moody":
        pass


def die(mood: Path, ear: Ear, log: Log, *arguments: object, queue: str = "default") -> str:
    call = moody.options(queue=queue).defer(str(mood), *arguments)
    log.find('"task.dead"', str(call.id))
    hear(ear)
    return str(call.id)


def test_one_is_listed_shown_and_replayed(mood: Path, ear: Ear, log: Log) -> None:
    task_id = die(mood, ear, log, "why\x1b[2J?")

    (row,) = [line for line in dead("list").stdout.splitlines() if task_id in line]
    assert row.split()[:4] == [task_id, "tests.e2e.application.moody", "default", "1"]
    assert row.rstrip().endswith(r"PermanentTaskFailure: why\x1b[2J?")

    shown = dead("show", task_id).stdout
    assert f"moody({str(mood)!r}, 'why\\x1b[2J?')" in shown
    assert "in moody" in shown

    mood.touch()
    replayed = dead("replay", task_id)
    assert (replayed.returncode, replayed.stderr) == (0, "")
    start = f"{task_id} is now projects/adjourn-local/locations/europe-west1/queues/default/tasks/"
    assert replayed.stdout.startswith(start)
    hear(ear)
    assert dead("show", task_id).returncode == 1


def test_a_call_with_the_applications_own_types_needs_no_application(
    mood: Path, ear: Ear, log: Log
) -> None:
    task_id = die(mood, ear, log, Size.LARGE, "x" * 40_000)

    shown = dead("show", task_id).stdout
    assert "Nothing is registered for the marker '$:tests.e2e.application.Size'" in shown
    assert '"$:tests.e2e.application.Size": "LARGE"' in shown
    told = json.loads(dead("show", task_id, "--json").stdout)
    assert told["body"]["args"][1] == {"$:tests.e2e.application.Size": "LARGE"}

    mood.touch()
    assert dead("replay", task_id).returncode == 0
    hear(ear)


def test_all_that_the_filters_leave(mood: Path, ear: Ear, log: Log) -> None:
    first, second = (die(mood, ear, log, queue="keys") for _ in range(2))
    other = die(mood, ear, log)

    assert ids("--queue", "keys") == {first, second}
    assert other in ids("--task", "tests.e2e.application.moody", "--newer", "1h")
    assert dead("list", "--older", "1d").stdout == "No dead letters.\n"
    assert listed("--queue", "keys", "--limit", "1")["more"] == 1
    assert "1 more" in dead("list", "--queue", "keys", "--limit", "1").stdout

    mood.touch()
    assert dead("replay", "--all", "--queue", "keys", "--yes").stdout.count(" is now ") == 2
    hear(ear)
    hear(ear)
    discarded = dead("discard", other, "unknown", "--yes")
    assert discarded.stdout == f"{other} is discarded\n"
    assert discarded.stderr == "adjourn: There is no dead letter 'unknown'.\n"
    assert discarded.returncode == 1
    assert not ids("--queue", "keys")
    assert other not in ids()


@pytest.mark.parametrize(("answer", "is_gone"), [("y", True), ("", False)])
def test_a_terminal_is_asked(
    terminal: tuple[int, int], mood: Path, ear: Ear, log: Log, answer: str, *, is_gone: bool
) -> None:
    task_id = die(mood, ear, log)
    ours, theirs = terminal
    os.write(ours, f"{answer}\n".encode())

    done = dead("discard", task_id, stdin=theirs)

    os.close(theirs)
    os.close(ours)
    assert "Discard 1 dead letters for good? [y/N]" in done.stdout
    assert done.returncode == (0 if is_gone else 1)
    assert (task_id in ids()) is not is_gone


@pytest.mark.parametrize("action", [["list"], ["replay", "a"]])
def test_a_service_that_does_not_do_it_is_said(
    loop: LoopThread, monkeypatch: pytest.MonkeyPatch, action: list[str]
) -> None:
    with serving(loop) as address:
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", address)
        done = dead(*action)

    assert done.returncode == 1
    assert done.stderr.startswith("adjourn: A request to Datastore failed: ")
    assert done.stderr.count("\n") == 1


def test_an_unknown_one_is_said(stack: Stack) -> None:  # noqa: ARG001 - it has to run
    done = dead("show", "unknown")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "adjourn: There is no dead letter 'unknown'.\n"

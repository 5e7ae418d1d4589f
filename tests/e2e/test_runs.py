"""`adjourn runs` as an operator uses it, on iterations that the running stack carries out."""

import json
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from google.cloud import datastore

from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.stack import Stack
from tests.e2e.application import Tour, app
from tests.e2e.conftest import Ear
from tests.support import serving

pytestmark = pytest.mark.usefixtures("environment")

ROOT = Path(__file__).resolve().parents[2]
LAST = 9
NAME = "tests.e2e.application.Tour"


def command(*arguments: str) -> Sequence[str]:
    return [sys.executable, "-m", "adjourn_local", "runs", *arguments]


def runs(
    *arguments: str, stdin: int = subprocess.DEVNULL, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def shown(run_id: str) -> Mapping[str, Any]:
    done = runs("show", run_id, "--json")
    assert done.returncode == 0, done.stderr
    told: Mapping[str, Any] = json.loads(done.stdout)
    return told


def ids(*arguments: str) -> list[str]:
    done = runs("list", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [state["id"] for state in json.loads(done.stdout)["runs"]]


class Walk:
    """A run that has come to the door before its last entity."""

    def __init__(self, door: Path, ear: Ear) -> None:
        self._door, self._ear = str(door), ear
        client = datastore.Client()
        self._kind = f"Sight-{uuid.uuid4().hex}"
        entities = []
        for n in range(LAST + 1):
            entity = datastore.Entity(client.key(self._kind, n + 1))
            entity["n"] = n
            entities.append(entity)
        client.put_multi(entities)
        self._data = {"door": self._door, "last": LAST}
        self.id = Tour.start(client.query(kind=self._kind), self._data).id
        self.arrives()

    def hears(self, word: str) -> None:
        assert self._ear.hear() == word

    def arrives(self) -> None:
        self.hears("waiting")

    def knock(self, word: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as knock:
            knock.sendto(word, self._door)


@pytest.fixture
def walk(stack: Stack, tmp_path: Path, ear: Ear) -> Walk:  # noqa: ARG001 - it has to run
    return Walk(tmp_path / "door", ear)


@pytest.fixture
def watch(walk: Walk) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command("watch", walk.id), cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def ends(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    out, _ = process.communicate(timeout=60)
    return process.returncode, out.splitlines()


def test_one_is_watched_to_its_end(walk: Walk, watch: subprocess.Popen[str]) -> None:
    assert watch.stdout
    assert f"running {LAST}/{LAST + 1}, " in watch.stdout.readline()

    walk.knock(b"open")

    walk.hears(f"{LAST + 1} seen")
    status, lines = ends(watch)
    assert status == 0
    assert lines[-1].endswith(f" finished {LAST + 1}/{LAST + 1}")


def test_one_is_paused_and_resumed(walk: Walk) -> None:
    paused = runs("pause", walk.id)
    assert (paused.returncode, paused.stdout) == (0, f"{walk.id} is pausing\n")
    walk.knock(b"open")
    walk.hears("paused")
    assert shown(walk.id)["done"] == LAST + 1
    assert runs("pause", walk.id).returncode == 0  # it may be repeated

    resumed = runs("resume", walk.id)
    # All entities are done, so the run may have finished before its status is read.
    assert resumed.returncode == 0
    statuses = ("running", "finishing", "finished")
    assert resumed.stdout in {f"{walk.id} is {status}\n" for status in statuses}
    walk.hears(f"{LAST + 1} seen")
    assert runs("watch", walk.id).returncode == 0
    again = runs("resume", walk.id)
    said = f"adjourn: {walk.id} is finished; there is nothing to resume.\n"
    assert (again.returncode, again.stderr) == (1, said)


def test_one_that_stopped_goes_on_where_it_stopped(
    walk: Walk, watch: subprocess.Popen[str]
) -> None:
    walk.knock(b"locked")
    status, lines = ends(watch)
    assert status == 1
    assert f" stopped {LAST}/{LAST + 1}; RuntimeError: locked (at Sight-" in lines[-1]
    assert walk.id in ids("--status", "stopped")
    (row,) = [line for line in runs("list").stdout.splitlines() if walk.id in line]
    assert row.split()[1:4] == [NAME, "stopped", f"{LAST}/{LAST + 1}"]
    assert "RuntimeError: locked" in row
    assert runs("resume", walk.id).returncode == 1

    assert runs("retry", walk.id).stdout == f"{walk.id} is running\n"
    walk.arrives()
    walk.knock(b"open")
    walk.hears(f"{LAST + 1} seen")


def test_one_is_cancelled_while_others_are_unknown(
    walk: Walk, watch: subprocess.Popen[str]
) -> None:
    done = runs("cancel", "unknown", walk.id, "--yes")
    assert done.stdout == f"{walk.id} is cancelling\n"
    assert done.stderr == "adjourn: There is no run 'unknown'.\n"
    assert done.returncode == 1

    walk.knock(b"open")
    walk.hears("cancelled")
    status, lines = ends(watch)
    assert status == 1
    assert " cancelled " in lines[-1]


def test_runs_are_chosen_by_class_and_status(walk: Walk) -> None:
    nothing = runs("pause", "--iteration", "no.such.Class")
    assert (nothing.returncode, nothing.stdout) == (0, "No runs.\n")

    paused = runs("pause", "--iteration", NAME, "--status", "running")
    assert (paused.returncode, paused.stdout) == (0, f"{walk.id} is pausing\n")
    cancelled = runs("cancel", "--all", "--yes")
    # Other tests may have left runs, whose queues are gone.
    assert f"{walk.id} is cancelling\n" in cancelled.stdout
    walk.knock(b"open")
    walk.hears("cancelled")


def test_what_failed_in_none_is_not_handled_again(walk: Walk) -> None:
    assert runs("rerun", walk.id).returncode == 2
    going_on = runs("rerun", "--failed", walk.id)
    walk.knock(b"open")
    walk.hears(f"{LAST + 1} seen")
    assert runs("watch", walk.id).returncode == 0
    ended = runs("rerun", "--failed", walk.id)

    assert (going_on.returncode, ended.returncode) == (2, 2)
    assert f"Run {walk.id} is running; wait for its end" in going_on.stderr
    assert "gave no entity up" in ended.stderr


def test_the_pace_of_one_is_changed_while_it_runs(walk: Walk) -> None:
    slower = runs("pace", walk.id, "0.5")
    assert (slower.returncode, slower.stdout) == (0, f"{walk.id}: 0.5/s\n")
    assert shown(walk.id)["entities_per_second"] == 0.5
    assert "at most       0.5/s" in runs("show", walk.id).stdout
    wrong = runs("pace", walk.id, "0")
    assert wrong.returncode == 2
    assert "must be a number from 0.001" in wrong.stderr

    assert runs("pace", walk.id, "none").stdout == f"{walk.id} goes as fast as it can\n"
    assert shown(walk.id)["entities_per_second"] is None
    walk.knock(b"open")
    walk.hears(f"{LAST + 1} seen")
    assert runs("watch", walk.id).returncode == 0
    late = runs("pace", walk.id, "5")
    assert late.returncode == 1
    assert "is finished; it has no pace any more" in late.stderr


def start(*arguments: str) -> str:
    """Start a run, and return its id."""
    done = runs("start", "--app", "tests.e2e.application:app", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def wait_for(run_id: str) -> Mapping[str, Any]:
    assert runs("watch", run_id).returncode == 0
    return shown(run_id)


@pytest.mark.usefixtures("stack")
def test_a_dry_run_deletes_nothing_and_keys_from_a_file_are_deleted(
    tmp_path: Path, ear: Ear
) -> None:
    client, kind = datastore.Client(), f"Old-{uuid.uuid4().hex}"
    keys = [client.key(kind, n) for n in range(1, 31)]
    client.put_multi([datastore.Entity(key) for key in keys])

    dry = wait_for(start("Forget", "--kind", kind, "--shards", "2", "--dry-run"))
    assert (dry["done"], dry["dry_run"]["counts"]) == (30, {"delete": 30})
    assert [f"{kind}/1", "delete"] in dry["dry_run"]["samples"]
    assert "would: delete 30" in runs("show", dry["id"]).stdout
    assert len(client.get_multi(keys)) == 30

    listed = tmp_path / "keys"
    listed.write_text("".join(f"{kind}/{n}\n" for n in [*range(1, 21), 99]))
    done = wait_for(start("e2e.application.Forget", "--keys-file", str(listed)))
    assert ear.hear() == "21 forgotten"
    assert (done["done"], done["missing"], done["total"]) == (21, 1, 21)
    assert len(client.get_multi(keys)) == 10
    assert not list(client.query(kind="AdjournList").fetch())


@pytest.mark.usefixtures("stack")
def test_a_csv_file_is_gone_through_at_a_pace_and_what_failed_once_more(
    tmp_path: Path, ear: Ear
) -> None:
    rows = [f"{n},{'free' if n == 7 else 5}\r\n" for n in range(40)]
    path = tmp_path / "prices.csv"
    path.write_text("id,price\r\n" + "".join(rows), newline="")

    run = start("Import", "--csv", str(path), "--shards", "2", "--entities-per-second", "20")
    heard = {ear.hear() for _ in range(39)}  # at once: the socket holds but a few
    done = wait_for(run)

    assert heard == {str(n) for n in range(40) if n != 7}
    state = app.runs().get(run).fetch()  # the command tells whole seconds
    assert (state.ended_at - state.started_at).total_seconds() >= 1.5
    assert (done["done"], done["errors"], done["entities_per_second"]) == (40, 1, 20)
    assert "row 8: ValueError: no price" in runs("show", "--failures", run).stdout
    again = wait_for(runs("rerun", "--failed", run).stdout.strip())
    assert (again["done"], again["total"], again["errors"]) == (1, 1, 1)


@pytest.mark.parametrize(("answer", "is_cancelled"), [("y", True), ("", False)])
def test_a_terminal_is_asked(
    terminal: tuple[int, int], walk: Walk, answer: str, *, is_cancelled: bool
) -> None:
    ours, theirs = terminal
    os.write(ours, f"{answer}\n".encode())

    done = runs("cancel", walk.id, stdin=theirs)

    os.close(theirs)
    os.close(ours)
    assert "Cancel 1 runs for good? [y/N]" in done.stdout
    assert done.returncode == (0 if is_cancelled else 1)
    walk.knock(b"open")
    walk.hears("cancelled" if is_cancelled else f"{LAST + 1} seen")


def test_the_filters_leave_what_they_say(walk: Walk) -> None:
    running = ["--iteration", NAME, "--status", "running"]
    assert walk.id in ids(*running)
    assert walk.id not in ids("--status", "finished")
    assert walk.id in ids("--newer", "1h")
    assert runs("list", "--older", "1d").stdout == "No runs.\n"
    assert runs("list", "--iteration", "other").stdout == "No runs.\n"
    walk.knock(b"open")
    walk.hears(f"{LAST + 1} seen")
    assert runs("watch", walk.id).returncode == 0
    assert walk.id not in ids(*running)

    Tour.start(datastore.Client().query(kind="Nothing"), {})
    walk.hears("0 seen")
    assert len(ids("--iteration", NAME, "--limit", "1")) == 1
    assert "There are more" in runs("list", "--limit", "1").stdout


def test_a_terminal_sees_bars(terminal: tuple[int, int], walk: Walk) -> None:
    ours, theirs = terminal
    with subprocess.Popen(
        command("watch", walk.id), cwd=ROOT, stdout=theirs, env={**os.environ, "TERM": "xterm"}
    ) as process:
        os.close(theirs)
        screen = os.read(ours, 1 << 16).decode()
        while f"{LAST}/{LAST + 1}" not in screen:
            screen += os.read(ours, 1 << 16).decode()
        walk.knock(b"open")
        walk.hears(f"{LAST + 1} seen")
        while f"{LAST + 1}/{LAST + 1}" not in screen or "shards: 1 ended" not in screen:
            screen += os.read(ours, 1 << 16).decode()
        assert process.wait(timeout=60) == 0
    os.close(ours)
    assert "━━━━" in screen


def test_all_about_one_is_shown(walk: Walk) -> None:
    told = shown(walk.id)
    assert (told["status"], told["done"], told["total"]) == ("running", LAST, LAST + 1)
    assert [shard["status"] for shard in told["shards"]] == ["running"]
    text = runs("show", walk.id).stdout
    assert f"iteration     {NAME}" in text
    assert text.splitlines()[-1].split()[:-1] == ["0", "running", f"{LAST}", "0", "0", f"{LAST}"]

    with subprocess.Popen(
        command("watch", walk.id, "--json"), cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["done"] == LAST
        walk.knock(b"open")
        assert json.loads(ends(process)[1][-1])["status"] == "finished"
    walk.hears(f"{LAST + 1} seen")


@pytest.mark.parametrize("action", [["show"], ["watch"], ["pause"]])
def test_an_unknown_one_is_said(stack: Stack, action: list[str]) -> None:  # noqa: ARG001 - it has to run
    done = runs(*action, "unknown")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "adjourn: There is no run 'unknown'.\n"


def test_a_service_that_does_not_do_it_is_said(loop: LoopThread) -> None:
    with serving(loop) as address:
        done = runs("list", DATASTORE_EMULATOR_HOST=address)

    assert done.returncode == 1
    assert done.stderr.startswith("adjourn: A request to Datastore failed: ")

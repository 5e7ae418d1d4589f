"""The log of `adjourn up`, in its terminal and in its file."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.cloud import datastore

from adjourn_local.runtime.log_file import NAME
from tests.e2e.up_process import SHOP, Up, up

CODE = """
import datetime as dt
import logging

seen = set()


@app.deferred(max_backoff=dt.timedelta(seconds=1))
def pay(order):
    if adjourn.current_task().attempt < 3:
        raise ValueError(f"no money for {order}")
    logging.getLogger("shop").info("paid %s", order)


@app.deferred
def steer():
    say("\\x1b[2Jcleared\\rover")


@app.query_iter
class Reprice(adjourn.QueryIter):
    max_entry_retries = 0

    def handle_entry(self, entry, custom_data):
        if entry.key.name == "bad":
            raise LookupError("no price")

    def handle_error(self, entry, custom_data, exception):
        return adjourn.OnError.CONTINUE


@app.periodic(interval=dt.timedelta(hours=4), cron_name="rare")
def sweep(): ...
"""
HEAD = r"\d\d:\d\d:\d\d \[{source}\] +{task} [0-9a-f-]{{8}} #{attempt} "


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(SHOP + CODE)
    return folder


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Up]:
    with up(folder, "--port", "0", "--state", ".adjourn") as stack:
        yield stack.ready()


def matching(stack: Up, task: str, attempt: int, rest: str, source: str = "deferred") -> str:
    """Return the only line that begins with a task and its attempt and goes on as given."""
    pattern = re.compile(HEAD.format(source=source, task=re.escape(task), attempt=attempt) + rest)
    stack.find(f"{task} ", f"#{attempt}")
    (line,) = [line for line in stack.lines if pattern.fullmatch(line)]
    return line


def logs(folder: Path, *options: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "adjourn_local", "logs", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()


def until(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up


def test_one_failure_is_one_line_with_its_traceback_once(stack: Up) -> None:
    stack.call("shop.pay", "A-1")
    stack.find("paid A-1")

    failed = r"WARNING failed: ValueError: no money for A-1 \(shop\.py:\d+\)"
    first = matching(stack, "shop.pay", 1, failed)
    matching(stack, "shop.pay", 2, failed)
    matching(stack, "shop.pay", 3, "paid A-1")
    own = [line for line in stack.lines if "shop.pay" in line]
    assert len(own) == 3
    after = stack.lines[stack.lines.index(first) + 1]
    assert after == "    Traceback (most recent call last):"
    assert len([line for line in stack.lines if "Traceback" in line]) == 1
    assert not [line for line in stack.lines if "\x1b" in line]


def test_what_a_task_prints_is_its_own_and_steers_nothing(stack: Up) -> None:
    stack.call("shop.steer")
    stack.find("cleared")

    matching(stack, "shop.steer", 1, re.escape(r"\x1b[2Jcleared\rover"))


def test_an_entity_that_fails_is_named_with_class_and_run(
    stack: Up, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    for name, value in stack.variables.items():
        monkeypatch.setenv(name, value)
    client = datastore.Client()
    client.put_multi([datastore.Entity(client.key("Row", name)) for name in ("bad", "good")])
    program = (
        "import shop\n"
        "from google.cloud import datastore\n"
        "print(shop.Reprice.start(datastore.Client().query(kind='Row')).id)\n"
    )
    run = subprocess.check_output([sys.executable, "-c", program], cwd=folder, text=True).strip()

    text = r"ERROR Row/bad: LookupError: no price \(shop\.py:\d+\)"
    stack.find("Row/bad")
    line = matching(stack, "shop.Reprice", 1, text, source="queryiter")
    assert f" {run[:8]} " in line


def test_idle_ticks_of_cron_are_silent(stack: Up, folder: Path) -> None:
    def advance() -> None:
        words = [sys.executable, "-m", "adjourn_local", "clock", "advance", "1m"]
        subprocess.run(words, cwd=folder, check=True, capture_output=True)

    def ticks() -> list[object]:
        lines = map(json.loads, logs(folder, "--json", "-n", "1000"))
        return [line["due"] for line in lines if line.get("cron_name") == "rare"]

    for count in (1, 2):
        advance()
        until(lambda count=count: len(ticks()) >= count)  # type: ignore[misc]

    assert ticks()[:2] == [1, 0]
    assert [line for line in stack.lines if "0 of 1 due" in line] == []
    stack.find("rare: 1 of 1 due")


def test_the_log_is_read_by_task_and_queue_while_it_is_written(stack: Up, folder: Path) -> None:
    stack.call("shop.note", "one")
    stack.find("noted one attempt 1")
    stack.call("shop.note", "two", queue="slow")
    stack.find("noted two attempt 1")

    until(lambda: any("noted two" in line for line in logs(folder)))
    noted = [line.partition(" noted ")[2] for line in logs(folder, "--task", "note")]
    assert noted == ["one attempt 1", "two attempt 1"]
    slow = logs(folder, "--queue", "slow", "-n", "1")
    assert [line.partition(" noted ")[2] for line in slow] == ["two attempt 1"]
    assert stack.lines[-1] in logs(folder, "-n", "5")
    assert logs(folder, "--task", "shop.nothing") == []

    words = [sys.executable, "-m", "adjourn_local", "logs", "-f", "--task", "shop.note", "-n", "1"]
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout
        assert "noted two" in follower.stdout.readline()
        stack.call("shop.note", "three")
        assert "noted three" in follower.stdout.readline()
        follower.send_signal(signal.SIGINT)
        assert follower.wait(30) == 130
    assert (folder / ".adjourn" / NAME).stat().st_mode & 0o777 == 0o600


def test_what_went_well_is_shown_if_it_is_asked_for(folder: Path) -> None:
    with up(folder, "--port", "0", "--memory", "--verbose") as stack:
        stack.ready().call("shop.note", "one")
        stack.find("shop.note", "done")

        matching(stack, "shop.note", 1, "done")


def test_a_stack_without_state_keeps_no_log(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    with up(tmp_path, "--port", "0", "--memory") as stack:
        stack.ready()
        with pytest.raises(subprocess.CalledProcessError) as failed:
            logs(tmp_path)

    assert "keeps no log, as it was started with --memory" in failed.value.stderr


def test_where_there_is_no_log_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        logs(tmp_path)

    assert failed.value.returncode == 2
    assert failed.value.stderr == (
        "adjourn: There is no log in .adjourn; name the state folder with --state.\n"
    )

"""The figures of the demo against a plain computation over the same rows."""

import csv
import datetime as dt
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from adjourn_local.runtime.running_stack import find
from adjourn_local.runtime.stack import Stack, running
from examples.packages import demo
from examples.packages.app import client
from examples.packages.rows import CSV, BadRow, read

ROOT = Path(__file__).resolve().parents[2]
# The demo as `make demo` starts it, with a few rows.
FEW = """
import sys
from pathlib import Path
from examples.packages import __main__, demo
demo.CSV = Path(sys.argv.pop())
sys.exit(__main__.main())
"""
TODAY = dt.date(2026, 11, 23)
BAD = ["x9,no-rank,1.0,2020-01", "20001,,1.0,2020-01", "20002,bad-month,1.0,2020-13"]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Return the real rows and three that nobody can use."""
    path = tmp_path / "packages.csv"
    path.write_text(CSV.read_text(encoding="utf-8") + "\n".join(BAD) + "\n", encoding="utf-8")
    return path


def test_the_audit_finds_what_a_plain_computation_finds(
    rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CSV.open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    stale = [row for row in table if row["last_release"] and row["last_release"] < "2023-11"]
    top = sorted(stale, key=lambda row: int(row["rank"]))[:10]

    stack = Stack("examples.packages.app:app")
    for name, value in stack.ports.environment().items():
        monkeypatch.setenv(name, value)
    client.cache_clear()
    with running(stack) as loop, Progress(console=Console(quiet=True)) as progress:
        summary = demo.audit(stack, loop, rows, TODAY, progress)

    assert summary.rows == len(table) + len(BAD)
    assert len(summary.bad) == len(BAD)
    assert summary.audited == len(table)
    assert summary.undated == sum(not row["last_release"] for row in table)
    assert summary.stale == summary.advisories == summary.reported == len(stale)
    assert list(summary.top) == [
        (int(row["rank"]), row["name"], row["last_release"]) for row in top
    ]
    assert summary.counters.succeeded >= len(stale)
    assert summary.counters.failed == 0


def test_a_bad_row_is_reported_with_its_line_and_reason(rows: Path) -> None:
    found = [row for row in read(rows) if isinstance(row, BadRow)]

    assert [row.reason for row in found] == [
        "rank 'x9' is not a number",
        "there is no name",
        "last release '2020-13' of bad-month is not a month such as 2026-11",
    ]
    assert found[0].line == 14_987


@pytest.fixture
def few(tmp_path: Path) -> Path:
    path = tmp_path / "few.csv"
    path.write_text("".join(CSV.read_text(encoding="utf-8").splitlines(keepends=True)[:50]))
    return path


@contextmanager
def started(few: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    demo = subprocess.Popen(
        [sys.executable, "-c", FEW, *options, str(few)],
        cwd=few.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield demo
    finally:
        demo.kill()
        demo.communicate(timeout=30)


def read_until(demo: subprocess.Popen[str], text: str) -> list[str]:
    assert demo.stdout
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError("".join(lines))


def test_the_stack_stays_up_if_it_is_to_be_kept_and_ctrl_c_ends_with_one_line(few: Path) -> None:
    with started(few, "--keep") as demo:
        lines = read_until(demo, "function queryiter")
        (first,) = [number for number, line in enumerate(lines) if "The stack stays up" in line]
        ports = re.findall(r"127\.0\.0\.1:(\d+)$", "".join(lines[first:]), re.MULTILINE)
        assert len(ports) == 5
        for port in ports:
            socket.create_connection(("127.0.0.1", int(port)), timeout=30).close()
        (found,) = find(few.parent)
        assert [str(port) for port in found.ports] == ports

        os.kill(demo.pid, signal.SIGINT)

        assert demo.communicate(timeout=60)[0].strip() == "The demo is stopped."
    assert demo.returncode == 0  # to anything else make would add a line

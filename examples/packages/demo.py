"""Run the audit on the laptop stack, with all of packages.csv, and print what it found."""

import argparse
import datetime as dt
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.cloud import datastore
from google.cloud.scheduler_v1 import CloudSchedulerClient
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
)
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as RichTask
from rich.table import Table
from rich.text import Text

from adjourn_local.runtime.addresses import LOCATION, PROJECT
from adjourn_local.runtime.function_programs import NAMES
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.running_stack import RunningStack, announced
from adjourn_local.runtime.stack import Stack, running
from adjourn_local.tasks.counters import Counters
from examples.packages.app import Audit, client, cutoff
from examples.packages.rows import CSV, BadRow, Package, read

LOG = Path(".adjourn") / "demo.log"
PATIENCE = 120.0

APP = "examples.packages.app:app"
_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the demo found and did."""

    rows: int
    bad: Sequence[BadRow]
    audited: int
    undated: int
    stale: int
    advisories: int
    reported: int
    top: Sequence[tuple[int, str, str]]
    counters: Counters


def audit(
    stack: Stack, loop: LoopThread, path: Path, today: dt.date, progress: Progress
) -> Summary:
    """Load the rows, walk over them, wait for the advisories and ask for the report.

    Raises:
        TimeoutError: Something did not come to its end.
    """
    rows = list(read(path))
    packages = [row for row in rows if isinstance(row, Package)]
    _load(packages, progress)
    undated, stale, audited = _walk(cutoff(today), progress)
    advisories = _advisories(stale, progress)
    report = _report(stack, advisories)
    query = client().query(kind="Advisory", order=["rank"])
    return Summary(
        rows=len(rows),
        bad=[row for row in rows if isinstance(row, BadRow)],
        audited=audited,
        undated=undated,
        stale=stale,
        advisories=advisories,
        reported=report["advisories"],
        top=[(a["rank"], a.key.name, a["last_release"]) for a in query.fetch(limit=10)],
        counters=loop.call(stack.tasks.counters),
    )


def _load(packages: Sequence[Package], progress: Progress) -> None:
    bar = progress.add_task("load packages", total=len(packages))
    for start in range(0, len(packages), _BATCH):
        batch = packages[start : start + _BATCH]
        client().put_multi([_entity(package) for package in batch])
        progress.advance(bar, len(batch))


def _entity(package: Package) -> datastore.Entity:
    entity = datastore.Entity(client().key("Package", package.name))
    entity.update(
        rank=package.rank,
        name=package.name,
        version=package.version,
        last_release=package.last_release,
    )
    return entity


def _walk(month: str, progress: Progress) -> tuple[int, int, int]:
    run = Audit.start(client().query(kind="Package"), {"cutoff": month, "undated": 0, "stale": 0})
    state = run.fetch()
    bar = progress.add_task("audit packages", total=state.total if state else None)

    def has_ended() -> bool:
        state = run.fetch()
        progress.update(bar, completed=state.done if state else 0)
        return state is not None and state.has_ended

    _wait(has_ended, "The audit")
    result = client().get(client().key("AuditResult", month))
    return result["undated"], result["stale"], result["audited"]


def _advisories(expected: int, progress: Progress) -> int:
    bar = progress.add_task("record advisories", total=expected)

    def count() -> int:
        counting = client().aggregation_query(client().query(kind="Advisory")).count("n")
        found = int(next(iter(counting.fetch()))[0].value)
        progress.update(bar, completed=found)
        return found

    _wait(lambda: count() >= expected, "Recording the advisories")
    return count()


def _report(stack: Stack, advisories: int) -> datastore.Entity:
    """Let the Cloud Scheduler job call now; it may have called before, so wait."""
    channel = grpc.insecure_channel(f"127.0.0.1:{stack.ports.grpc}")
    scheduler = CloudSchedulerClient(transport=CloudSchedulerGrpcTransport(channel=channel))
    scheduler.run_job(name=f"projects/{PROJECT}/locations/{LOCATION}/jobs/daily")
    channel.close()
    reports: list[datastore.Entity] = []

    def is_full() -> bool:
        query = client().query(kind="Report", order=["-__key__"])
        reports[:] = query.fetch(limit=1)
        return bool(reports) and reports[0]["advisories"] == advisories

    _wait(is_full, "The report")
    return reports[0]


def _wait(is_done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} took longer than {PATIENCE:.0f} s; see {LOG}.")
        time.sleep(0.1)


def main(arguments: Sequence[str]) -> int:
    """Run the demo and return its exit status; `--keep` leaves the stack up until Ctrl-C.

    Raises:
        StackError: The stack did not start.
        TimeoutError: Something did not come to its end.
    """
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the stack up until Ctrl-C")
    keeps = parser.parse_args(arguments).keep
    console = Console()
    began = time.monotonic()
    LOG.parent.mkdir(mode=0o700, exist_ok=True)
    with LOG.open("w", encoding="utf-8") as log:
        stack = Stack(APP, write=lambda name, line: print(name, line, file=log))
        os.environ.update(stack.ports.environment())
        with running(stack) as loop, _progress(console) as progress:
            summary = audit(stack, loop, CSV, dt.datetime.now(dt.UTC).date(), progress)
            progress.stop()
            _show(console, summary, time.monotonic() - began)
            if keeps:
                ports = stack.ports.numbers()
                found = RunningStack.here(APP, Path(), ports, stack.environment())
                with announced(found):  # by commands such as `python -m adjourn_local tasks list`
                    console.print(_addresses(stack), soft_wrap=True, highlight=False)
                    threading.Event().wait()
    return 0


def _addresses(stack: Stack) -> str:
    ports = stack.ports
    return "\n".join(
        [
            "",
            "The stack stays up, Ctrl-C stops it.",
            f"  Cloud Tasks, Cloud Scheduler, Datastore (gRPC)  127.0.0.1:{ports.grpc}",
            f"  the same over HTTP                              {ports.url('http')}",
            *(f"  function {name:<39}{ports.url(name)}" for name in NAMES),
        ]
    )


class _Rate(ProgressColumn):
    """Steps per second, which rich has for bytes only."""

    def render(self, task: RichTask) -> Text:
        """Return the rate of one bar."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:>8,.0f}/s" if speed else "")


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<18}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=console,
    )


def _show(console: Console, summary: Summary, seconds: float) -> None:
    counters = summary.counters
    figures = Table("Audit of Python packages", "", show_header=True, box=None)
    for label, value in (
        ("rows read", summary.rows),
        ("rows that could not be used", len(summary.bad)),
        ("packages audited", summary.audited),
        ("of these without a known release", summary.undated),
        ("without a release for three years", summary.stale),
        ("advisories recorded", summary.advisories),
        ("advisories in the daily report", summary.reported),
        ("tasks executed", counters.succeeded),
        ("retries", counters.retries),
    ):
        figures.add_row(label, f"{value:,}")
    figures.add_row("wall time", f"{seconds:.1f} s")
    figures.add_row("log", str(LOG))
    top = Table("rank", "stale package", "last release", box=None)
    for rank, name, last_release in summary.top:
        top.add_row(f"{rank:,}", name, last_release)
    console.print(figures, top, sep="\n\n")
    for bad in summary.bad:
        console.print(f"line {bad.line}: {bad.reason}")

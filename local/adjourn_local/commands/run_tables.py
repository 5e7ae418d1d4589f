"""Runs as tables and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from adjourn.iteration.progress import RunState, ShardState
from adjourn_local.commands.output import iso, plain
from adjourn_local.commands.run_display import pace, title

_LONGEST_ERROR = 100


def table(states: Sequence[RunState]) -> Table:
    """Return a line for each run."""
    drawn = Table(box=None, pad_edge=False)
    for name in ("id", "iteration", "status", "progress", "started (UTC)", "error"):
        drawn.add_column(name, no_wrap=name not in {"iteration", "error"}, overflow="fold")
    for state in states:
        cells = (
            state.id,
            title(state),
            state.status,
            pace(state),
            f"{state.started_at:%Y-%m-%d %H:%M}",
            state.last_error.partition("\n")[0][:_LONGEST_ERROR],
        )
        drawn.add_row(*map(plain, cells))
    return drawn


def shard_table(shards: Sequence[ShardState]) -> Table:
    """Return a line for each shard of a run."""
    drawn = Table(box=None, pad_edge=False)
    for name in ("shard", "status", "done", "errors", "waiting", "step", "updated (UTC)"):
        drawn.add_column(name, justify="left" if name == "status" else "right")
    for number, shard in enumerate(shards):
        counts = (shard.done, shard.errors, shard.waiting, shard.step)
        updated = f"{shard.updated_at:%H:%M:%S}"
        drawn.add_row(str(number), plain(shard.status), *map(cell, counts), updated)
    return drawn


def summary(state: RunState) -> dict[str, Any]:
    """Return what the list tells of a run, as JSON."""
    return {
        "id": state.id,
        "iteration": state.iteration,
        "queue": state.queue,
        "status": state.status.value,
        "done": state.done,
        "total": state.total,
        "errors": state.errors,
        "waiting": state.waiting,
        "missing": state.missing,
        "dry_run": None if state.dry_run is None else asdict(state.dry_run),
        "rate": round(state.rate, 2),
        "entities_per_second": state.entities_per_second,
        "seconds_left": None if state.time_left is None else round(state.time_left.total_seconds()),
        "stalled_since": iso(state.stalled_since),
        "stalled_because": state.stalled_because,
        "started_at": iso(state.started_at),
        "updated_at": iso(state.updated_at),
        "ended_at": iso(state.ended_at),
        "last_error": state.last_error,
    }


def record(state: RunState) -> dict[str, Any]:
    """Return everything about a run, as JSON."""
    shards = [asdict(shard) | {"updated_at": iso(shard.updated_at)} for shard in state.shards]
    failures = [each._asdict() for each in state.failures]
    return {**summary(state), "failures": failures, "shards": shards}


def cell(value: object) -> str:
    """Return a value as the text of a table."""
    if value is None or value == "":
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)

"""Show the progress of a run: as one line, as a line for each change, or as live bars."""

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from adjourn.iteration.progress import RunState
from adjourn.iteration.status import Status
from adjourn_local.commands.output import console, plain, say

# More would push the first line off a small terminal.
_MOST_BARS = 16

Show = Callable[[Iterable[RunState]], RunState]
"""Shows a run until it ends, and returns its last state."""


def pace(state: RunState) -> str:
    """Describe a run's progress, rate, time left, retries and errors."""
    parts = [f"{state.done:,}/{state.total:,}"]
    if state.stalled_since:
        since = f"{state.stalled_since:%Y-%m-%d %H:%M:%S} UTC"
        parts.append(f"no progress since {since}, because {state.stalled_because}")
    if state.rate and not state.has_ended and state.status is not Status.PAUSED:
        most = state.entities_per_second
        limit = "" if most is None else f" of at most {most:g}/s"
        parts.append(f"{state.rate:,.1f}/s{limit}")
        if state.time_left is not None:
            parts.append(f"{_rounded(state.time_left)} left")
    if state.waiting:
        parts.append(f"{state.waiting:,} to be tried again")
    if state.missing:
        parts.append(f"{state.missing:,} missing")
    if state.errors:
        parts.append(f"{state.errors:,} error{'s' if state.errors > 1 else ''}")
    return ", ".join(parts)


def title(state: RunState) -> str:
    """Return the name of a run's class, and whether it is a dry run."""
    return state.iteration if state.dry_run is None else f"{state.iteration} (dry run)"


def answers(state: RunState) -> str:
    """Describe what a dry run would do; "" if it is none."""
    counts = state.dry_run.counts if state.dry_run else {}
    return ", ".join(f"{answer} {count:,}" for answer, count in counts.items())


def show_plain(states: Iterable[RunState]) -> RunState:
    """Print a line for each change."""
    for state in _changes(states):
        say(f"{state.updated_at:%H:%M:%S} {_describe(state)}")
    return state


def show_records(record: Callable[[RunState], Mapping[str, object]]) -> Show:
    """Return a function that prints a line of JSON for each change."""

    def show(states: Iterable[RunState]) -> RunState:
        for state in _changes(states):
            console().out(json.dumps(record(state)), highlight=False)
        return state

    return show


def show_live(states: Iterable[RunState]) -> RunState:
    """Show live bars, one for the run and one for each active shard."""
    with Live(console=Console(), auto_refresh=False) as live:
        for state in states:
            live.update(display(state), refresh=True)
    return state


def display(state: RunState) -> Group:
    """Return what the terminal shows for a run.

    The number of entities in a shard is not known, so its bar stands for an equal share of the
    total.
    """
    bars = Table.grid(padding=(0, 1))
    bars.add_row(plain(state.status), _bar(state.done, state.total), plain(pace(state)))
    share = max(1, state.total // max(1, len(state.shards)))
    active = [
        (number, shard)
        for number, shard in enumerate(state.shards)
        if shard.status in {"running", "resting"}
    ]
    if len(state.shards) > 1:
        for number, shard in active[:_MOST_BARS]:
            bars.add_row(
                f"shard {number}",
                _bar(shard.done, max(share, shard.done + 1)),
                f"{shard.done:,} {shard.status}, step {shard.step:,}",
            )
    counts = Counter(shard.status for shard in state.shards)
    shards = "shards: " + ", ".join(f"{counts[each]} {each}" for each in sorted(counts))
    lines: list[RenderableType] = [plain(f"{title(state)} {state.id}"), bars, plain(shards)]
    if state.dry_run is not None:
        lines.append(plain(f"would: {answers(state)}"))
    if state.last_error:
        lines.append(plain(f"last error: {state.last_error.partition(chr(10))[0]}"))
    return Group(*lines)


def _changes(states: Iterable[RunState]) -> Iterable[RunState]:
    """Yield the states that differ from the one before."""
    before = None
    for state in states:
        current = (state.status, state.updated_at, state.stalled_since)
        if current != before:
            yield state
        before = current


def _describe(state: RunState) -> str:
    error = f"; {state.last_error.partition(chr(10))[0]}" if state.last_error else ""
    return f"{state.status} {pace(state)}{error}"


def _bar(done: int, total: int) -> ProgressBar:
    # A run over nothing is complete from the beginning.
    return ProgressBar(total=max(1, total), completed=done if total else 1, width=30)


def _rounded(left: dt.timedelta) -> dt.timedelta:
    return dt.timedelta(seconds=round(left.total_seconds()))

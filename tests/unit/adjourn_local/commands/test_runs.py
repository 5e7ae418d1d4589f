"""What `adjourn runs` makes of a run, and of wrong usage; tests/e2e/test_runs.py has the rest."""

import datetime as dt
import io

import pytest
from rich.console import Console

from adjourn.iteration.progress import state_of
from adjourn.iteration.runs import Run
from adjourn.iteration.shards import Shard
from adjourn.iteration.status import Status
from adjourn_local.cli import main
from adjourn_local.commands.run_display import display, pace, show_plain
from tests.support import SHOP

NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


def state(
    *,
    seconds=10,
    done=(20, 0),
    count=2,
    errors=0,
    waiting=0,
    missing=0,
    error="",
    age=0,
    tally=b"",
    **changes,
):
    at = NOON + dt.timedelta(seconds=seconds)
    run = {
        "id": "r",
        "iteration": "shop.Reprice",
        "queue": "default",
        "query": b"{}",
        "custom_data": b"null",
        "context": b"{}",
        "total": 100,
        "shards": count,
        "next_shard": 1,
        "active": (0,),
        "started_at": NOON,
        "updated_at": NOON,
        "resumed_at": NOON,
    }
    shards = [
        Shard(run_id="r", number=n, query=b"{}", updated_at=at, done=each)
        for n, each in enumerate(done)
    ]
    first = {
        "errors": errors,
        "waiting": waiting,
        "missing": missing,
        "error": error,
        "tally": tally,
    }
    shards[0] = Shard.from_record("r", 0, {**shards[0].record(), **first})
    return state_of(Run(**run | changes), shards, at + dt.timedelta(seconds=age))


def drawn(seen):
    console = Console(file=io.StringIO(), width=100)
    console.print(display(seen))
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (state(), "20/100, 2.0/s, 0:00:40 left"),
        (state(entities_per_second=2.5), "20/100, 2.0/s of at most 2.5/s, 0:00:40 left"),
        (state(missing=2), "20/100, 2.0/s, 0:00:40 left, 2 missing"),
        (state(done=(0, 0)), "0/100"),
        (state(seconds=0), "20/100"),
        (state(errors=3, waiting=1), "20/100, 2.0/s, 0:00:40 left, 1 to be tried again, 3 errors"),
        (state(status=Status.PAUSED), "20/100"),
        (state(status=Status.FINISHED, errors=1), "20/100, 1 error"),
        (
            state(age=121),
            (
                "20/100, no progress since 2026-11-23 12:00:10 UTC, because no step is under way;"
                " its tasks may wait in the queue default"
            ),
        ),
    ],
)
def test_the_pace_tells_what_is_known(seen, told):
    assert pace(seen) == told


def test_lines_are_told_only_of_what_has_changed(capsys):
    first, second = state(), state(seconds=12, done=(30, 0), error="ValueError: no\nreally")
    last = state(seconds=12, done=(30, 0), status=Status.FINISHED)

    assert show_plain(iter([first, first, second, second, last])) is last

    assert capsys.readouterr().out.splitlines() == [
        "12:00:10 running 20/100, 2.0/s, 0:00:40 left",
        "12:00:12 running 30/100, 2.5/s, 0:00:28 left; ValueError: no",
        "12:00:12 finished 30/100",
    ]


def test_the_display_has_a_bar_for_the_run_and_for_each_shard_under_way():
    lines = drawn(state(done=(20, 5, 0), count=3, active=(0, 1), error="ValueError: \x1b[2J"))

    assert lines[0] == "shop.Reprice r"
    assert lines[1].startswith("running ━━━━━")
    assert [line.split()[:2] for line in lines[2:4]] == [["shard", "0"], ["shard", "1"]]
    assert [" ".join(line.split()[-4:]) for line in lines[2:4]] == [
        "20 running, step 0",
        "5 running, step 0",
    ]
    assert lines[4:] == ["shards: 2 running, 1 waiting", r"last error: ValueError: \x1b[2J"]


def test_a_dry_run_says_what_it_would_do():
    seen = state(iteration="shop.Reprice (dry run)", tally=b'[{"delete": 1200, "leave": 3}, []]')

    lines = drawn(seen)

    assert lines[0] == "shop.Reprice (dry run) r"
    assert lines[-1] == "would: delete 1,200, leave 3"
    assert seen.iteration == "shop.Reprice"


def test_a_run_in_one_shard_has_one_bar():
    lines = drawn(state(done=(20,), count=1))

    assert len(lines) == 3
    assert lines[2] == "shards: 1 running"


def test_more_shards_than_a_terminal_has_lines_are_counted():
    lines = drawn(state(done=(1,) * 40, count=40, active=tuple(range(30))))

    assert len(lines) == 1 + 1 + 16 + 1
    assert lines[-1] == "shards: 30 running, 10 waiting"


@pytest.fixture
def settings(monkeypatch):
    for name, value in SHOP.items():
        monkeypatch.setenv(name, value)


def status(*arguments):
    try:
        return main(["runs", *arguments])
    except SystemExit as end:
        return end.code


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: action"),
        (["list", "--status", "ended"], "argument --status: invalid choice: 'ended' (choose from "),
        (["list", "--older", "soon"], "'soon' is not a duration such as 90s"),
        (["watch", "a", "--every", "0"], "'0' is not a number from 1"),
        (["show", ""], "argument id: an id is empty"),
        (["pause", "a", ""], "argument id: an id is empty"),
        (["pace", "a", "slow"], "'slow' is not a number, nor none"),
        (["pace", "a"], "the following arguments are required: entities_per_second"),
        (["pause"], "Name runs by their ids, or choose them by --all, --iteration, --status."),
        (["pause", "a", "--all"], "Name runs by their ids, or choose them by --all"),
        (["cancel", "a"], "There is no terminal to ask for confirmation; give --yes."),
    ],
)
def test_wrong_usage_is_said(monkeypatch, capsys, arguments, said):
    monkeypatch.setattr("sys.stdin", io.StringIO())

    assert status(*arguments) == 2
    assert said in capsys.readouterr().err

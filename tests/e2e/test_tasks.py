"""`adjourn tasks` and `adjourn queues`, on a stack that they find by themselves."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import adjourn
from adjourn_local.cli import main
from adjourn_local.runtime.running_stack import RunningStack, announced
from adjourn_local.runtime.stack import Stack, running
from adjourn_local.runtime.variables import variables

SHOP = """\
import adjourn

app = adjourn.App()

@app.deferred(queue="mail")
def note(text):
    raise ValueError(text)

@app.deferred(queue="other")
def other(text): ...

@app.query_iter
class Forget(adjourn.DeleteEntitiesIter): ...
"""


@dataclass
class Said:
    """What a command has returned and printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Said]


@pytest.fixture(scope="module")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(SHOP)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        stack = Stack("shop:app", source=folder)
        with running(stack):
            found = RunningStack.here(
                "shop:app", folder, stack.ports.numbers(), stack.environment()
            )
            with announced(found):
                yield found


@pytest.fixture
def adjourn_(
    running_stack: RunningStack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Command]:
    """Return the command line, called in the folder of the stack; its queues are empty."""

    def call(*words: str) -> Said:
        status = main(words)
        return Said(status, *capsys.readouterr())

    monkeypatch.chdir(running_stack.folder)
    yield call
    call("tasks", "purge", "--yes")


@pytest.fixture
def later(running_stack: RunningStack) -> Iterator[Callable[..., str]]:
    """Return what enqueues a call for an hour from now and returns its id."""
    app = adjourn.App()

    @app.deferred(name="shop.note", queue="mail", max_retries=0)
    def note(text: str) -> None: ...

    @app.deferred(name="shop.other", queue="other")
    def other(text: str) -> None: ...

    with variables(running_stack.environment):
        tasks = {"note": note, "other": other}
        yield lambda name, text: tasks[name].options(delay=3600).defer(text).id


def test_what_waits_is_listed_with_its_call_made_harmless(
    adjourn_: Command, later: Callable[..., str]
) -> None:
    made = later("note", "an \x1b[31m order")

    listed = adjourn_("tasks", "list", "--queue", "mail")

    assert r"shop.note('an \x1b[31m order')" in listed.out
    assert "\x1b" not in listed.out
    assert listed.err == ""
    (task,) = adjourn_("tasks", "list", "--json").json["tasks"]
    assert (task["task"], task["attempts"], task["queue"]) == ("shop.note", 0, "mail")
    assert task["id"] == made
    assert task["call"][0] == r"shop.note('an \x1b[31m order')"


def test_one_is_shown_by_its_id_or_its_full_name(
    adjourn_: Command, later: Callable[..., str]
) -> None:
    made = later("note", "x" * 30_000)

    shown = adjourn_("tasks", "show", made)
    record = adjourn_("tasks", "show", made, "--json").json

    assert "shop.note('xxx" in shown.out
    assert "more characters, which --json shows" in shown.out
    assert len(record["call"][0]) > 30_000
    assert made in adjourn_("tasks", "show", record["name"]).out
    assert adjourn_("tasks", "show", made, "--queue", "other").status == 2


def test_a_list_goes_on_at_its_cursor(adjourn_: Command, later: Callable[..., str]) -> None:
    made = [later("note", str(number)) for number in range(5)]

    first = adjourn_("tasks", "list", "--limit", "3", "--json").json
    second = adjourn_("tasks", "list", "--limit", "3", "--cursor", first["cursor"], "--json").json

    assert [task["id"] for task in first["tasks"] + second["tasks"]] == made
    assert (
        second["cursor"] is None
        or not adjourn_("tasks", "list", "--cursor", second["cursor"], "--json").json["tasks"]
    )
    assert "There may be more: --cursor " in adjourn_("tasks", "list", "--limit", "3").out
    wrong = adjourn_("tasks", "list", "--cursor", "x")
    assert (wrong.status, "no cursor" in wrong.err) == (2, True)


def test_one_is_cancelled_if_somebody_agrees(adjourn_: Command, later: Callable[..., str]) -> None:
    made = later("note", "a")

    assert adjourn_("tasks", "cancel", made).status == 2  # there is no terminal
    assert adjourn_("tasks", "cancel", made, "--yes").out == f"{made} is deleted.\n"

    gone = adjourn_("tasks", "show", made)
    assert (gone.status, "has ended" in gone.err) == (2, True)


def test_one_is_run_before_its_time(adjourn_: Command, later: Callable[..., str]) -> None:
    made = later("note", "a")

    assert adjourn_("tasks", "run", made).out == f"{made} is attempted now.\n"

    give_up = time.monotonic() + 30
    while not (letters := adjourn_("dead", "list", "--json").json["letters"]):
        assert time.monotonic() < give_up
    assert letters[0]["id"] == made
    assert adjourn_("tasks", "list").out == "No tasks.\n"


def test_those_of_one_task_or_all_are_purged(adjourn_: Command, later: Callable[..., str]) -> None:
    for number in range(3):
        later("note", str(number))
    later("other", "x")

    assert adjourn_("tasks", "purge", "--failed", "--yes").out == "No tasks.\n"
    assert adjourn_("tasks", "purge", "--task", "shop.note").status == 2
    told = adjourn_("tasks", "purge", "--task", "shop.note", "--yes")
    assert told.out == "3 tasks are deleted.\n"
    (left,) = adjourn_("tasks", "list", "--json").json["tasks"]
    assert left["queue"] == "other"
    assert "other is empty." in adjourn_("tasks", "purge", "--yes").out
    assert adjourn_("tasks", "list").out == "No tasks.\n"


def test_queues_are_counted_paused_resumed_and_purged(
    adjourn_: Command, later: Callable[..., str]
) -> None:
    assert adjourn_("queues", "pause", "mail").out == "mail is paused.\n"
    later("note", "a")

    queues = {each["name"]: each for each in adjourn_("queues", "list", "--json").json["queues"]}

    assert {name: each["waiting"] for name, each in queues.items()} == {
        "default": 0,
        "mail": 1,
        "other": 0,
    }
    assert queues["mail"]["state"] == "PAUSED"
    assert "paused" in adjourn_("queues", "list").out
    assert adjourn_("queues", "resume", "mail").out == "mail is running.\n"
    assert adjourn_("queues", "purge", "mail").status == 2
    assert adjourn_("queues", "purge", "mail", "--yes").out == "mail is empty.\n"
    assert adjourn_("tasks", "list", "--queue", "mail").out == "No tasks.\n"
    missing = adjourn_("queues", "pause", "nothing")
    assert (missing.status, "There is no" in missing.err) == (1, True)


def test_a_run_is_started_of_the_application_that_the_stack_runs(adjourn_: Command) -> None:
    started = adjourn_("runs", "start", "Forget", "--kind", "Nothing")

    assert started.status == 0, started.err
    assert adjourn_("runs", "watch", started.out.strip()).status == 0

"""How `adjourn dead` takes wrong usage; tests/e2e/test_dead.py has the rest."""

import datetime as dt
import io
import socket

import pytest

from adjourn.iteration.runs import Step
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn.serialization.payload_reference import PayloadReference
from adjourn_local.cli import main
from adjourn_local.clients.call_text import call_lines
from tests.support import SHOP


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    for name, value in SHOP.items():
        monkeypatch.setenv(name, value)


def status(*arguments):
    try:
        return main(["dead", *arguments])
    except SystemExit as end:
        return end.code


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: action"),
        (["list", "--older", "soon"], "'soon' is not a duration such as 90s"),
        (["list", "--limit", "0"], "'0' is not a number from 1"),
        (["show", ""], "argument id: an id is empty"),
        (["replay", "a", ""], "argument id: an id is empty"),
        (["replay"], "Give either ids or --all"),
        (["replay", "a", "--all"], "Give either ids or --all"),
        (["discard", "a", "--task", "b"], "Give either ids or --all"),
        (["discard", "a"], "There is no terminal to ask for confirmation; give --yes."),
    ],
)
def test_wrong_usage_is_said(monkeypatch, capsys, arguments, said):
    monkeypatch.setattr("sys.stdin", io.StringIO())

    assert status(*arguments) == 2
    assert said in capsys.readouterr().err


def test_missing_settings_are_said(monkeypatch, capsys):
    monkeypatch.delenv("ADJOURN_LOCATION")

    assert status("list") == 2
    told = capsys.readouterr().err
    assert "ADJOURN_LOCATION is not set" in told
    assert "A laptop stack that was started here" in told


def test_arguments_that_are_kept_elsewhere_are_told_by_their_size():
    call = Envelope(
        id="1",
        task="work",
        enqueued_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        stowed=PayloadReference(pieces=3, size=2_000_123, sha256="0", until=0),
    )

    assert call_lines(call.encode(Codec()))[0] == "work(<2,000,123 bytes in AdjournPayload>)"


def test_an_id_that_is_no_text_is_said(monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", f"127.0.0.1:{listener.getsockname()[1]}")
        assert status("show", "a\udcff") == 1

    assert "There is no dead letter 'a\\udcff'." in capsys.readouterr().err


def test_the_step_of_an_iteration_is_told_in_words():
    assert call_lines(Step("r1", 3, 7, 1).encode()) == ["step 7 of shard 3 of the run r1"]
    assert call_lines(Step("r1", None, 2, 1).encode()) == ["step 2 of the run r1"]

"""`adjourn schedules` on the running stack."""

import json
from typing import Any

import pytest

from adjourn_local.cli import main
from tests.e2e.schedule_application import app, report

pytestmark = pytest.mark.usefixtures("environment")

APP = ("--app", "tests.e2e.schedule_application:app")
CALL = ("--args", "[42]", "--kwargs", '{"language": "de"}')
CRON = ("--cron", "0 8 * * mon", "--time-zone", "Europe/Berlin")


@pytest.fixture(autouse=True)
def _clean() -> Any:
    yield
    for each in list(app.schedules.list()):
        app.schedules.delete(each.name)


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_schedule_is_put_shown_paused_resumed_and_deleted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    until = ("--until", "2099-01-01T00:00:00+01:00", "--grace", "2h", "--overlap", "allow")
    assert main(["schedules", "put", "tenant-42", "report", *CALL, *CRON, *until, *APP]) == 0
    assert "report(42, language='de')" in capsys.readouterr().out
    put = app.schedules.get("tenant-42")
    assert put is not None
    assert (put.args, put.kwargs, put.status) == ((42,), {"language": "de"}, "active")

    assert main(["schedules", "show", "tenant-42", "--json", *APP]) == 0
    shown = told(capsys)
    assert (shown["task"], shown["args"], shown["kwargs"]) == (
        "report",
        ["42"],
        {"language": "'de'"},
    )
    assert shown["timing"] == "0 8 * * mon (Europe/Berlin)"
    assert shown["until"] == "2098-12-31T23:00:00+00:00"

    for action, status in (("pause", "paused"), ("resume", "active"), ("delete", "deleted")):
        yes = ("--yes",) if action == "delete" else ()
        assert main(["schedules", action, "tenant-42", *yes, *APP]) == 0
        assert capsys.readouterr().out == f"tenant-42 is {status}\n"
    assert app.schedules.get("tenant-42") is None


def test_schedules_are_listed_by_the_beginning_of_their_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("a-1", "b-1", "b-2", "b-3"):
        app.schedules.put(name, report, args=(1,), cron="0 8 * * mon")

    assert main(["schedules", "list", "b-", "--limit", "2", "--json", *APP]) == 0
    listed = told(capsys)
    assert [each["name"] for each in listed["schedules"]] == ["b-1", "b-2"]
    assert listed["more"] is True

    assert main(["schedules", "list", "--limit", "3", *APP]) == 0
    table = capsys.readouterr().out
    assert "a-1" in table
    assert "There are more" in table

    assert main(["schedules", "list", "c", *APP]) == 0
    assert capsys.readouterr().out == "No schedules.\n"


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("show", "nobody"), 1, "There is no schedule 'nobody'"),
        (("pause", "nobody"), 1, "There is no schedule 'nobody'"),
        (("delete", "nobody", "--yes"), 1, "There is no schedule 'nobody'"),
        (("delete", "nobody"), 2, "give --yes"),
        (("put", "one", "report", "--args", "{", *CRON), 2, "is not JSON"),
        (("put", "one", "report", "--args", "{}", *CRON), 2, "must be like [42]"),
        (("put", "one", "report", *CRON), 1, "missing a required argument"),
        (("put", "one", "report", "--args", '["42"]', *CRON), 1, "tenant must be of the type int"),
        (("put", "one", "nobody", *CRON), 1, "No task is named 'nobody'"),
        (("put", "one", "report", *CALL, "--cron", "0 8"), 2, "five fields"),
    ],
)
def test_what_cannot_be_done_is_told(
    arguments: tuple[str, ...], status: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schedules", *arguments, *APP]) == status
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("time", ["tomorrow", "2099-01-01", "2099-01-01T08:00:00"])
def test_a_time_needs_an_offset(time: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["schedules", "put", "one", "report", "--at", time, *APP])
    assert "2027-01-01T08:00:00+01:00" in capsys.readouterr().err

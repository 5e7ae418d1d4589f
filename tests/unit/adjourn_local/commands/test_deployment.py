"""Commands say at once that the servers are gone to which the environment leads."""

import socket

import pytest

from adjourn_local.cli import main
from adjourn_local.commands.deployment import check_emulators
from adjourn_local.errors import StackError

SETTINGS = {
    "ADJOURN_PROJECT": "shop",
    "ADJOURN_LOCATION": "europe-west1",
    "ADJOURN_DEFERRED_URL": "http://127.0.0.1:1",
    "ADJOURN_QUERYITER_URL": "http://127.0.0.1:1",
    "ADJOURN_CRON_URL": "http://127.0.0.1:1",
    "ADJOURN_SERVICE_ACCOUNT": "tasks@shop.example",
    "ADJOURN_APP": "tests.doctor_shop:app",
}
DATASTORE, TASKS, SCHEDULER = (
    f"{service}_EMULATOR_HOST" for service in ("DATASTORE", "CLOUDTASKS", "CLOUDSCHEDULER")
)


@pytest.fixture
def free():
    """Return an address of this machine at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["dead", "list"], DATASTORE),
        (["runs", "list"], DATASTORE),
        (["audit"], DATASTORE),
        (["queues", "list"], TASKS),
        (["tasks", "list"], TASKS),
        (["cron", "diff"], SCHEDULER),
        (["cron", "pause", "default"], SCHEDULER),
    ],
    ids=lambda each: "-".join(each) if isinstance(each, list) else each,
)
def test_a_server_that_is_gone_is_said_with_its_variable(monkeypatch, capsys, free, words, name):
    for variable, value in SETTINGS.items():
        monkeypatch.setenv(variable, value)
    for variable in (DATASTORE, TASKS, SCHEDULER):
        monkeypatch.setenv(variable, free)

    assert main(words) == 2

    said = capsys.readouterr().err
    assert f"adjourn: Nothing answers at {free}, where {name} leads (" in said
    assert f"Start the stack with `adjourn up`, or unset {name}." in said


def test_what_listens_or_is_not_named_is_no_fault(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv(TASKS, f"127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.delenv(SCHEDULER, raising=False)
        monkeypatch.setenv(DATASTORE, "no address")

        check_emulators(TASKS, SCHEDULER, DATASTORE)


@pytest.mark.parametrize("address", ["127.0.0.1:70000", "nowhere.invalid:80"])
def test_an_address_that_leads_nowhere_is_said(monkeypatch, address):
    monkeypatch.setenv(TASKS, address)

    with pytest.raises(StackError, match=f"Nothing answers at {address}"):
        check_emulators(TASKS)

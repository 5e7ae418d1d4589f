"""Which deployment a command works on."""

import argparse
import os
import socket
from pathlib import Path

import pytest

from adjourn_local.cli import main
from adjourn_local.commands.deployment import check_emulators, choose, in_project, running
from adjourn_local.errors import StackError, UsageError
from adjourn_local.runtime.addresses import Ports
from adjourn_local.runtime.running_stack import RunningStack, announced

REAL = {
    "ADJOURN_PROJECT": "my-shop",
    "ADJOURN_LOCATION": "europe-west1",
    "ADJOURN_DEFERRED_URL": "https://deferred.example",
    "ADJOURN_QUERYITER_URL": "https://queryiter.example",
    "ADJOURN_CRON_URL": "https://cron.example",
}


def stack(first: int = 8710, folder: str = "/shop") -> RunningStack:
    ports = Ports(*range(first, first + 5))
    return RunningStack(
        app="shop:app",
        source=folder,
        folder=folder,
        ports=tuple(range(first, first + 5)),
        environment=ports.environment(),
    )


def test_the_only_stack_is_meant_if_nothing_else_is_named():
    assert choose({}, [stack()], None) == stack()
    assert choose({"GOOGLE_CLOUD_PROJECT": "my-shop"}, [stack()], None) == stack()
    assert choose({}, [], None) is None


def test_the_environment_is_meant_if_no_stack_runs_here():
    assert choose(REAL, [], None) is None


def test_the_stack_is_meant_to_which_the_environment_leads():
    stacks = [stack(8710), stack(9000)]

    assert choose(stacks[1].environment, stacks, None) == stacks[1]


@pytest.mark.parametrize("names", [set(REAL), {"ADJOURN_PROJECT"}, {"ADJOURN_CRON_URL"}])
def test_a_named_deployment_and_a_stack_are_not_mixed(names):
    environ = {name: REAL[name] for name in names}

    with pytest.raises(UsageError) as refused:
        choose(environ, [stack()], None)

    named = "ADJOURN_PROJECT=my-shop" if "ADJOURN_PROJECT" in names else "https://cron.example"
    assert named in str(refused.value)
    assert "--stack 8710" in str(refused.value)
    assert "port 8710: shop:app, started in /shop" in str(refused.value)


def test_the_variables_of_a_stack_that_was_started_anew_on_other_ports_are_not_followed():
    with pytest.raises(UsageError, match="ADJOURN_PROJECT=adjourn-local"):
        choose(stack(8710).environment, [stack(9000)], None)


def test_of_several_stacks_one_has_to_be_named():
    stacks = [stack(8710), stack(9000)]

    with pytest.raises(UsageError, match=r"--stack:\n  port 8710: .*\n  port 9000: "):
        choose({}, stacks, None)
    assert choose({}, stacks, 9000) == stacks[1]
    assert choose(REAL, stacks, 9001) == stacks[1]  # any of its ports
    with pytest.raises(UsageError, match="No laptop stack with the port 1 runs here"):
        choose({}, stacks, 1)


def test_a_project_is_that_of_the_environment_and_no_laptop_stack():
    assert in_project("my-shop", REAL) == {"ADJOURN_PROJECT": "my-shop"}
    assert in_project("my-shop", {}) == {"ADJOURN_PROJECT": "my-shop"}
    with pytest.raises(UsageError, match="but ADJOURN_PROJECT is my-shop"):
        in_project("another", REAL)
    with pytest.raises(UsageError, match="DATASTORE_EMULATOR_HOST leads to a laptop stack"):
        in_project("my-shop", {**REAL, "DATASTORE_EMULATOR_HOST": "127.0.0.1:1"})


@pytest.mark.parametrize(
    "words",
    [
        ("--project", "another", "list"),
        ("list", "--project", "another"),
        ("list", "--project=another"),
    ],
)
@pytest.mark.parametrize("command", ["dead", "runs", "tasks", "queues", "cron", "call"])
def test_the_project_is_named_before_or_after_the_action(
    tmp_path, monkeypatch, capsys, command, words
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADJOURN_PROJECT", "my-shop")

    assert main([command, *words]) == 2

    said = capsys.readouterr().err
    assert said == (
        "adjourn: --project is another, but ADJOURN_PROJECT is my-shop; which is meant?\n"
    )


def test_a_project_and_a_stack_contradict_each_other(capsys):
    assert main(["dead", "--project", "my-shop", "list", "--stack", "8710"]) == 2
    assert "contradict each other" in capsys.readouterr().err


def test_the_environment_is_as_before_after_a_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)

    with announced(stack(1, str(tmp_path))):
        assert main(["call", "list"]) == 2  # since no user is named
    assert dict(os.environ) == before


def test_a_command_for_stacks_alone_heeds_no_other_deployment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in REAL.items():
        monkeypatch.setenv(name, value)
    mine = stack(8710, str(tmp_path))

    with announced(mine):
        assert running(argparse.Namespace()).app == "shop:app"
    with pytest.raises(UsageError, match="adjourn up"):
        running(argparse.Namespace())


def test_a_stack_of_a_folder_above_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    with announced(stack(1, str(tmp_path))):
        main(["call", "list", "--user", "not an address", "--token", "\n"])

    assert f"the laptop stack with port 1: shop:app, started in {tmp_path}" in (
        capsys.readouterr().err
    )
    assert not (Path(tmp_path) / ".adjourn").exists()


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

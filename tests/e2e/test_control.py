"""Faults and time, changed while a stack runs."""

import argparse
import datetime as dt
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import requests

from adjourn_local.cli import main
from adjourn_local.commands.arguments import stack_control
from adjourn_local.commands.up_options import DEFAULT_PORT
from adjourn_local.runtime.stack import Stack, running
from tests.e2e.application import app
from tests.e2e.conftest import Ear, Log

JOBS = len(app.cron_names())
HOUR = dt.timedelta(hours=1)
Control = Callable[..., requests.Response]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def log() -> Log:
    return Log()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, log: Log) -> Iterator[str]:
    ear = Ear(tmp_path_factory.mktemp("ear") / "ear")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("E2E_EAR", ear.path)
        stack = Stack("tests.e2e.application:app", write=log.write)
        with running(stack):
            yield stack.ports.url("http")
    ear.close()


@pytest.fixture
def control(url: str) -> Iterator[Control]:
    def control(method: str, what: str, text: str = "", **headers: str) -> requests.Response:
        return requests.request(
            method, f"{url}/control/{what}", data=text, headers=headers, timeout=30
        )

    yield control
    control("DELETE", "faults")
    control("DELETE", "clock")


@pytest.fixture
def adjourn(
    url: str,
    control: Control,  # noqa: ARG001 - it undoes what the commands do
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """Return what calls the command line, and gives its status and what it has said."""
    monkeypatch.setenv("ADJOURN_KEYS_URL", f"{url}/oauth2/v1/certs")

    def adjourn(*words: str) -> tuple[int, str, str]:
        status = main(words)
        return status, *capsys.readouterr()

    return adjourn


def now(answer: requests.Response) -> dt.datetime:
    assert answer.status_code == 200
    return dt.datetime.fromisoformat(answer.json()["now"])


def test_jobs_and_functions_go_by_the_stacks_clock(control: Control, log: Log) -> None:
    control("PUT", "clock", "freeze")
    noon = now(control("PUT", "clock", "jump=2031-05-04T12:00:00Z"))
    log.find("watered north")
    log.find("cron", "garden: 2 of 2 due")  # its transactions are over, and none would last 50 m

    control("PUT", "clock", "advance=50m")
    log.find("cron", "garden: 0 of 2 due")
    control("PUT", "clock", "advance=10m")
    log.find("watered north", count=2)

    assert now(control("GET", "clock")) == noon + HOUR
    assert control("PUT", "clock", "go").json()["frozen"] is False
    back = now(control("DELETE", "clock"))
    assert abs(back - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)


def test_faults_are_changed_and_told(control: Control) -> None:
    assert control("GET", "faults").json() == {"faults": "none", "injected": {}}
    control("PUT", "clock", "freeze")

    told = control("PUT", "faults", "errors=1,seed=3").json()
    control("PUT", "clock", "advance=1m")

    assert told == {"faults": "errors=1.0,seed=3", "injected": {}}
    give_up = time.monotonic() + 30
    while (injected := control("GET", "faults").json()["injected"]).get("error", 0) < JOBS:
        assert injected.keys() <= {"error"}
        assert time.monotonic() < give_up
    assert control("DELETE", "faults").json()["faults"] == "none"


@pytest.mark.parametrize(
    ("what", "text", "reason"),
    [
        ("faults", "errors=5", "errors=5 is not a share from 0 to 1, such as errors=0.05\n"),
        ("clock", "stop", "'stop' is not freeze, go, reset, advance=4h or jump=2026-12-24T18:00"),
        ("clock", "advance=x", "advance=x: 'x' is not a duration such as 90s, 5m, 2h, 7d or 2w\n"),
    ],
)
def test_what_is_wrong_is_refused_with_what_to_write(
    control: Control, what: str, text: str, reason: str
) -> None:
    answer = control("PUT", what, text)

    assert answer.status_code == 400
    assert answer.text.startswith(reason)


@pytest.mark.parametrize("what", ["faults", "clock"])
def test_a_foreign_name_for_this_machine_is_refused(control: Control, what: str) -> None:
    assert control("PUT", what, "none", Host="evil.example").status_code == 403
    assert control("POST", what, "none").status_code == 405
    assert control("POST", what, "none", **{"Content-Type": "text/plain"}).status_code == 415


def test_the_control_port_is_not_mistaken_for_a_service(url: str) -> None:
    assert requests.get(f"{url}/control/nonsense", timeout=30).status_code == 404


# As commands


def test_the_clock_is_frozen_moved_and_set_back(adjourn: Command, control: Control) -> None:
    assert adjourn("clock", "show")[1].endswith("+00:00, the machine's time\n")
    assert adjourn("clock", "freeze")[1].endswith(", the machine's time, frozen\n")
    frozen = now(control("GET", "clock"))

    status, said, _ = adjourn("clock", "advance", "4h")

    assert status == 0
    assert said.startswith((frozen + 4 * HOUR).isoformat(timespec="seconds"))
    assert said.endswith(" ahead of the machine's, frozen\n")
    assert now(control("GET", "clock")) == frozen + 4 * HOUR

    said = adjourn("clock", "jump", "2020-12-24T18:00:00+01:00")[1]
    assert said.startswith("2020-12-24T17:00:00+00:00, ")
    assert said.endswith(" behind the machine's, frozen\n")
    assert adjourn("clock", "go")[1].endswith(" behind the machine's\n")
    assert adjourn("clock", "reset")[1].endswith(", the machine's time\n")


def test_faults_are_set_shown_and_ended(adjourn: Command, control: Control) -> None:
    assert adjourn("faults", "show") == (0, "faults    none\ninjected  none\n", "")
    adjourn("clock", "freeze")

    assert adjourn("faults", "set", "errors=1,seed=3")[1].startswith(
        "faults    errors=1.0,seed=3\n"
    )
    adjourn("clock", "advance", "1m")
    give_up = time.monotonic() + 30
    while (count := control("GET", "faults").json()["injected"].get("error", 0)) < JOBS:
        assert time.monotonic() < give_up

    assert adjourn("faults", "show")[1].startswith("faults    errors=1.0,seed=3\ninjected  error ")
    assert count
    assert adjourn("faults", "off") == (0, "faults    none\ninjected  none\n", "")


@pytest.mark.parametrize("words", [("clock", "show"), ("clock", "freeze"), ("faults", "show")])
def test_the_answer_can_be_had_as_json(
    adjourn: Command, control: Control, words: tuple[str, str]
) -> None:
    told = json.loads(adjourn(*words, "--json")[1])

    assert told.keys() == control("GET", words[0]).json().keys()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            ("clock", "advance", "x"),
            "advance=x: 'x' is not a duration such as 90s, 5m, 2h, 7d or 2w",
        ),
        (
            ("clock", "jump", "noon"),
            "jump=noon is not a time with a time zone, such as 2026-12-24T",
        ),
        (("faults", "set", "errors=5"), "errors=5 is not a share from 0 to 1, such as errors=0.05"),
        (("clock", "show", "--url", "https://shop.example"), "https://shop.example is not the ad"),
        (("faults", "show", "--url", "nonsense"), "nonsense is not the address of a laptop stack"),
    ],
)
def test_a_command_tells_what_to_write(
    adjourn: Command, words: tuple[str, ...], reason: str
) -> None:
    status, said, error = adjourn(*words)

    assert (status, said) == (2, "")
    assert error.startswith(f"adjourn: {reason}")
    assert error.count("\n") == 1


@pytest.mark.parametrize("answer", ["", "HTTP/1.0 404 x\r\n\r\n", "HTTP/1.0 200 x\r\n\r\n[]", "?"])
def test_where_no_stack_answers_a_command_says_how_to_reach_one(
    adjourn: Command, answer: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def speak() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(answer.encode())

        other = threading.Thread(target=speak)
        other.start()
        status, _, error = adjourn("clock", "show", "--url", url)
        other.join(30)

    assert status == 1
    assert error == (
        f"adjourn: No laptop stack answers at {url}; start it with `adjourn up`, or name its HTTP"
        " port with --url or by the variables that it prints.\n"
    )
    assert adjourn("clock", "show", "--url", url)[2] == error  # now that nobody listens there


def test_without_an_address_it_is_that_of_the_default_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADJOURN_KEYS_URL", raising=False)

    assert stack_control(argparse.Namespace(url=None)).url == f"http://127.0.0.1:{DEFAULT_PORT + 1}"


def test_what_queries_have_needed_is_read(url: str, control: Control) -> None:
    assert control("GET", "indexes").json() == {"needed": [], "needs": [], "declared": None}

    path = f"{url}/v1/projects/adjourn-local:runQuery"
    order = [{"property": {"name": "a"}}, {"property": {"name": "b"}, "direction": "DESCENDING"}]
    query = {"kind": [{"name": "Order"}], "order": order}
    requests.post(path, json={"query": query}, timeout=30).raise_for_status()

    properties = [{"name": "a", "direction": "asc"}, {"name": "b", "direction": "desc"}]
    needed = [{"kind": "Order", "ancestor": False, "properties": properties}]
    state = control("GET", "indexes").json()
    assert (state["needed"], state["declared"]) == (needed, None)
    assert [each["kind"] for each in state["needs"]] == ["Order"]
    assert control("PUT", "indexes").status_code == 405

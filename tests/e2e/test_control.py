"""Faults and time, changed while a stack runs."""

import datetime as dt
import time
from collections.abc import Callable, Iterator

import pytest
import requests

from adjourn_local.stack import Stack, running
from tests.e2e.application import app
from tests.e2e.conftest import Ear, Log

JOBS = len(app.cron_names())
HOUR = dt.timedelta(hours=1)
Control = Callable[..., requests.Response]


@pytest.fixture(scope="module")
def log() -> Log:
    return Log()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, log: Log) -> Iterator[str]:
    ear = Ear(tmp_path_factory.mktemp("ear") / "ear")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("E2E_EAR", ear.path)
        stack = Stack(app, "tests.e2e.application:app", write=log.write)
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


def now(answer: requests.Response) -> dt.datetime:
    assert answer.status_code == 200
    return dt.datetime.fromisoformat(answer.json()["now"])


def test_jobs_and_functions_go_by_the_stacks_clock(control: Control, log: Log) -> None:
    control("PUT", "clock", "freeze")
    noon = now(control("PUT", "clock", "jump=2031-05-04T12:00:00Z"))
    log.find("watered north")

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
        ("clock", "advance=x", "advance=x: 'x' is not a time such as 90s, 5m, 2h, 7d or 2w\n"),
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


def test_the_control_port_is_not_mistaken_for_a_service(url: str) -> None:
    assert requests.get(f"{url}/control/nonsense", timeout=30).status_code == 404

"""An own web application serves the functions: the stack calls it as it would call them."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import requests
from google.cloud import datastore

from adjourn.gcp.cloudscheduler import CloudSchedulerJobs
from adjourn.settings import Settings
from adjourn_local.runtime.addresses import SERVICE_ACCOUNT, USER_AUDIENCE
from adjourn_local.runtime.ports import find_free
from adjourn_local.runtime.stack import Stack, running
from tests.e2e import web_application
from tests.e2e.conftest import Ear
from tests.e2e.up_process import ROOT, up
from tests.hostile.wire import connected, head, receive
from tests.terraform.cloud_run import wait_for

MODULE = web_application.__name__
SERVERS = {
    "flask": ("gunicorn", "--threads", "4", "--bind", "127.0.0.1:{port}", f"{MODULE}:flask"),
    "starlette": ("uvicorn", "--port", "{port}", f"{MODULE}:starlette"),
    "asgi around it": ("uvicorn", "--port", "{port}", f"{MODULE}:around"),
}
LONG = 500_000


class Shop(NamedTuple):
    """A running web application and the stack that calls it."""

    port: int
    stack: Stack
    ear: Ear
    settings: Settings
    is_asgi: bool

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def bearer(self, audience: str, email: str = SERVICE_ACCOUNT) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.stack.issuer.mint(email, audience)}"}

    def post(self, path: str, headers: Mapping[str, str], body: bytes = b"") -> int:
        return requests.post(f"{self.url}{path}", body, headers=headers, timeout=10).status_code


@contextmanager
def served(server: str, port: int, environment: Mapping[str, str]) -> Iterator[None]:
    command = [word.format(port=port) for word in SERVERS[server]]
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-m", *command], env={**os.environ, **environment, **paths}
    )
    try:
        wait_for(port)
        yield
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module", params=SERVERS)
def shop(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    path = tmp_path_factory.mktemp("ear") / "ear"
    ear, (port,) = Ear(path), find_free(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEB_EAR", str(path))
        stack = Stack(f"{MODULE}:app", service=f"http://127.0.0.1:{port}/_adjourn")
        environment = stack.environment()
        for name, value in environment.items():
            patch.setenv(name, value)
        settings, app = Settings.from_env(environment), web_application.app
        with (
            served(request.param, port, environment),
            running(stack),
            app.rewired(settings, app._adapters(settings)),
        ):
            yield Shop(port, stack, ear, settings, request.param != "flask")
    ear.close()


def test_a_call_runs_and_the_first_one_enqueues_the_startup_tasks(shop: Shop) -> None:
    web_application.say("hello")

    assert {shop.ear.hear(), shop.ear.hear()} == {"hello in attempt 1", "begin"}


def test_a_failure_becomes_a_dead_letter(shop: Shop) -> None:
    web_application.stumble()

    assert shop.ear.hear() == "dead: RuntimeError: "


def test_coroutines_run_at_once_each_in_its_context(shop: Shop) -> None:
    # gunicorn has four threads here; ASGI has no such limit.
    count = 40 if shop.is_asgi else 4
    names = [f"n{index}" for index in range(count)]

    web_application.meet.map(names, [count] * count)

    told = {shop.ear.hear() for _ in names}
    assert told == {f"{name} True {shop.is_asgi} in attempt 1" for name in names}


def test_a_job_enqueues_what_is_due(shop: Shop) -> None:
    CloudSchedulerJobs(shop.settings).run("bells")

    shop.ear.hear_the_bell()


def test_an_iteration_walks_to_its_end(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in shop.stack.environment().items():
        monkeypatch.setenv(name, value)
    client = datastore.Client()
    client.put_multi([datastore.Entity(client.key("Thing", i + 1)) for i in range(20)])

    web_application.Count.start(client.query(kind="Thing"), custom_data="things")

    assert shop.ear.hear() == "things: 20"


def test_people_list_and_start_callable_tasks(shop: Shop) -> None:
    person = shop.bearer(USER_AUDIENCE, "ann@shop.example")
    place = f"{shop.url}/_adjourn/deferred"

    listed = requests.get(f"{place}/list", headers=person, timeout=10)
    started = requests.post(
        f"{place}/execute/greet", json={"whom": "Bob"}, headers=person, timeout=10
    )

    assert [each["key"] for each in listed.json()["tasks"]] == ["greet"]
    assert listed.headers["cache-control"] == "no-store"
    assert started.status_code == 202
    assert shop.ear.hear() == "greetings to Bob"
    assert requests.head(f"{place}/list", headers=person, timeout=10).text == ""
    assert requests.get(f"{place}/list", timeout=10).status_code == 401


def test_own_pages_are_answered_as_before(shop: Shop) -> None:
    assert requests.get(shop.url, timeout=10).text == "a page"
    assert requests.get(f"{shop.url}/nowhere", timeout=10).status_code == 404
    assert requests.get(f"{shop.url}/_adjournment", timeout=10).status_code == 404


@pytest.mark.parametrize("name", ["deferred", "cron", "queryiter"])
def test_nobody_else_is_let_in(shop: Shop, name: str) -> None:
    path = f"/_adjourn/{name}/{MODULE}.say"
    stranger = shop.bearer(shop.url, "eve@evil.iam.gserviceaccount.com")

    assert shop.post(path, {}) == 401
    assert shop.post(path, shop.bearer("https://other.example")) == 401
    assert shop.post(path, stranger) == 403
    assert requests.get(f"{shop.url}{path}", timeout=10).status_code == 405


def test_tokens_are_for_the_origin_or_the_function(shop: Shop) -> None:
    for audience in (shop.url, f"{shop.url}/_adjourn/deferred"):
        # No call, so it becomes a dead letter.
        assert shop.post("/_adjourn/deferred", shop.bearer(audience), b"{}") == 200
    assert shop.post("/_adjourn/deferred", shop.bearer(f"{shop.url}/_adjourn/cron"), b"{}") == 401


@pytest.mark.parametrize("path", ["/_adjourn", "/_adjourn/other", "/_adjourn/receive_task"])
def test_there_is_nothing_else_under_the_prefix(shop: Shop, path: str) -> None:
    assert shop.post(path, shop.bearer(shop.url), b"{}") == 404


@pytest.mark.parametrize(("headers", "status"), [({}, 401), ({"Authorization": "Basic x"}, 401)])
def test_the_answer_comes_before_the_body_and_ends_the_connection(
    shop: Shop, headers: dict[str, str], status: int
) -> None:
    with connected(shop.port) as connection:
        connection.sendall(head(path="/_adjourn/deferred/x", headers=headers, length=LONG))
        answer = receive(connection)

    assert (answer.status, answer.headers["connection"]) == (status, "close")


def test_a_body_that_is_too_long_is_not_read(shop: Shop) -> None:
    headers = shop.bearer(shop.url)
    with connected(shop.port) as connection:
        connection.sendall(head(path="/_adjourn/deferred/x", headers=headers, length=2 << 20))
        answer = receive(connection)

    assert answer.status == 413


def test_names_with_underscores_are_no_headers(shop: Shop) -> None:
    headers = {"Authorization": "Bearer a.b.c", "X_Serverless_Authorization": "Bearer d.e.f"}

    assert shop.post("/_adjourn/deferred", headers) == 401


def test_up_calls_an_own_server_instead_of_starting_functions(tmp_path: Path) -> None:
    ear, (port,) = Ear(tmp_path / "ear"), find_free(1)
    options = ("--memory", "--port", "0", "--serve", f"http://127.0.0.1:{port}")
    paths = {"PYTHONPATH": str(ROOT), "WEB_EAR": ear.path}
    with up(tmp_path, *options, app=f"{MODULE}:app", **paths) as stack:
        variables = stack.ready().variables
        with served("flask", port, {**variables, **paths}):
            assert requests.get(f"http://127.0.0.1:{port}/", timeout=10).text == "a page"

            assert {ear.hear(), ear.hear()} == {"flask in attempt 1", "begin"}
        assert stack.stop() == 0
    ear.close()
    assert variables["ADJOURN_SERVICE_URL"] == f"http://127.0.0.1:{port}/_adjourn"
    assert variables["ADJOURN_CRON_URL"] == f"http://127.0.0.1:{port}/_adjourn/cron"


def test_up_tells_why_the_application_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import nothing_like_it\n")
    options = ("--memory", "--port", "0", "--serve", "http://127.0.0.1:9")
    with up(tmp_path, *options) as stack:
        assert stack.end() == 2

    assert "No module named 'nothing_like_it'" in stack.lines[-1]

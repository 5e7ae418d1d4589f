"""`adjourn up` as a user starts and stops it."""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import requests
from google.api_core.exceptions import Aborted
from google.auth.credentials import AnonymousCredentials
from google.cloud import datastore, scheduler_v1, tasks_v2

import adjourn
from adjourn_local.cli import main
from tests.support import refused, variables_of

APP = "tests.e2e.application:app"
ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "adjourn_local", "up")
SHOP = """\
import adjourn
from google.cloud import datastore
from shop import rates

app = adjourn.App()

@app.deferred(name="note")
def note():
    client = datastore.Client()
    client.put(datastore.Entity(client.key("Note", rates.RATE)))
"""


class Up:
    """A running `adjourn up` and the variables that lead to it."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self.said: list[str] = []
        assert process.stdout
        for line in process.stdout:
            self.said.append(line)
            if "adjourn is up for " in line:
                self.variables = variables_of(process.pid, folder)
                return
        raise AssertionError("".join(self.said))

    def connect(self, function: str) -> socket.socket:
        """Return a connection to a function; it is closed when the function ends."""
        host, port = self.variables[f"ADJOURN_{function}_URL"].removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)), timeout=30)


@contextmanager
def up(
    *options: str, app: str = APP, cwd: Path | None = None, command: Sequence[str] = COMMAND
) -> Iterator[Up]:
    """Start a stack, by default in a folder of its own, where no other test finds it."""
    words = [*command, app, *options]
    with TemporaryDirectory() as name, _up(Path(name) if cwd is None else cwd, words) as stack:
        yield stack


@contextmanager
def _up(folder: Path, words: Sequence[str]) -> Iterator[Up]:
    process = subprocess.Popen(
        words,
        cwd=folder,
        env={**os.environ, "PWD": str(folder), "PYTHONPATH": str(ROOT)},  # PWD as a shell has it
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # a terminal sends Ctrl-C to a group of processes
    )
    try:
        yield Up(process, folder)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)


def wait_for_end(connection: socket.socket) -> None:
    """Return when the process at the other end is gone; fail after the connection's timeout."""
    with connection, suppress(ConnectionResetError):
        while connection.recv(1024):
            pass


def is_free(address: str) -> bool:
    host, port = address.rsplit(":", 1)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.bind((host, int(port))) is None


def stop(stack: Up) -> int:
    os.killpg(stack.process.pid, signal.SIGINT)
    stack.process.communicate(timeout=30)
    return stack.process.returncode


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "adjourn_local", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_ctrl_c_stops_everything_and_frees_every_port() -> None:
    with up("--memory", "--port", "0") as stack:
        connections = [stack.connect(name) for name in ("DEFERRED", "CRON", "QUERYITER")]

        assert stop(stack) == 0

        for connection in connections:
            wait_for_end(connection)
        for variable in ("DATASTORE_EMULATOR_HOST", "ADJOURN_DEFERRED_URL", "ADJOURN_CRON_URL"):
            assert is_free(stack.variables[variable].removeprefix("http://"))


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_a_killed_stack_leaves_no_function_behind() -> None:
    with up("--memory", "--port", "0") as stack:
        connections = [stack.connect(name) for name in ("DEFERRED", "CRON", "QUERYITER")]

        stack.process.kill()

        for connection in connections:
            wait_for_end(connection)


def test_state_survives_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = set()
    for attempt in range(2):
        with up("--state", str(tmp_path), "--port", "0") as stack:
            for name, value in stack.variables.items():
                monkeypatch.setenv(name, value)
            client = datastore.Client()
            key = client.key("Kept", "it")
            urls.add(stack.variables["ADJOURN_DEFERRED_URL"])
            if attempt == 0:
                entity = datastore.Entity(key)
                entity["n"] = 7
                client.put(entity)
            else:
                assert client.get(key) == {"n": 7}
            assert stop(stack) == 0
    assert len(urls) == 1  # where the tasks that wait are to be delivered


class Service(BaseHTTPRequestHandler):
    """An App Engine service that notes the paths it is asked for."""

    paths: "queue.Queue[str]"

    def do_POST(self) -> None:
        self.paths.put(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[tuple[str, "queue.Queue[str]"]]:
    paths: queue.Queue[str] = queue.Queue()
    with HTTPServer(("127.0.0.1", 0), type("Noting", (Service,), {"paths": paths})) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()


def test_the_options_of_queues_and_the_rest_forms_work_together(
    service: tuple[str, "queue.Queue[str]"],
) -> None:
    url, paths = service
    options = ("--create-queues", "--throttle", "--no-limits", "--app-engine", f"default={url}")
    options = (*options, "--tombstone", "24h")
    with up("--memory", "--port", "0", *options) as stack:
        keys = stack.variables["ADJOURN_KEYS_URL"]
        where = {
            "transport": "rest",
            "credentials": AnonymousCredentials(),
            "client_options": {"api_endpoint": keys.removesuffix("/oauth2/v1/certs")},
        }
        tasks, jobs = tasks_v2.CloudTasksClient(**where), scheduler_v1.CloudSchedulerClient(**where)
        location = "projects/adjourn-local/locations/europe-west1"

        tasks.create_task(
            parent=f"{location}/queues/made-on-the-way",
            task={"app_engine_http_request": {"relative_uri": "/x?y"}},
        )

        assert paths.get(timeout=30) == "/x?y"
        assert [job.name.rpartition("/")[2] for job in jobs.list_jobs(parent=location)]
        assert len(tasks.list_locations({"name": "projects/p"}).locations) > 20
        named = {"name": f"{location}/queues/default/tasks/once", "http_request": {"url": url}}
        tasks.pause_queue(name=f"{location}/queues/default")
        tasks.delete_task(
            name=tasks.create_task(parent=f"{location}/queues/default", task=named).name
        )
        assert (
            main(["clock", "advance", "23h", "--url", where["client_options"]["api_endpoint"]]) == 0
        )
        with refused("ALREADY_EXISTS"):
            tasks.create_task(parent=f"{location}/queues/default", task=named)
        wrong = requests.get(where["client_options"]["api_endpoint"] + "/v2/x", timeout=30)
        assert wrong.json()["error"]["status"] == "NOT_FOUND"


def test_a_transaction_is_in_nobodys_way_if_it_is_to_be_optimistic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with up("--memory", "--port", "0", "--concurrency-mode", "optimistic") as stack:
        for name, value in stack.variables.items():
            monkeypatch.setenv(name, value)
        mine, other = datastore.Client(), datastore.Client()
        key = mine.key("Row", "a")
        transaction = mine.transaction()
        transaction.begin()
        mine.get(key, transaction=transaction)

        other.put(datastore.Entity(key))
        transaction.put(datastore.Entity(key))

        with pytest.raises(Aborted):
            transaction.commit()


@pytest.mark.parametrize("text", ["default", "=http://x", "default=127.0.0.1:80"])
def test_an_app_engine_service_needs_a_name_and_a_url(text: str) -> None:
    done = run("up", APP, "--app-engine", text)

    assert done.returncode == 2
    assert f"{text} is not SERVICE=http://HOST:PORT" in done.stderr


def test_faults_that_cannot_be_read_are_refused_with_what_to_write() -> None:
    done = run("up", APP, "--faults", "errors=5")

    assert done.returncode == 2
    assert "errors=5 is not a share from 0 to 1, such as errors=0.05" in done.stderr


def test_a_port_in_use_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        done = run("up", APP, "--memory", "--port", str(port))

    assert done.returncode == 2
    assert done.stderr == (
        f"adjourn: Port {port} is in use; stop the program that listens there, or choose other"
        " ports with --port.\n"
    )


@pytest.mark.parametrize("port", ["80", "abc", "-1", "70000"])
def test_a_port_that_cannot_be_is_said(port: str) -> None:
    done = run("up", APP, "--memory", f"--port={port}")

    assert done.returncode == 2
    assert done.stderr.endswith(f"argument --port: {port} is not 0 or from 1024 to 65530\n")


def test_a_folder_that_cannot_keep_state_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    done = run("up", APP, "--port", "0", "--state", str(tmp_path / "file"))

    assert done.returncode == 2
    assert done.stderr == (
        f"adjourn: The state cannot be kept in {tmp_path / 'file'}: it is not a folder.\n"
    )


def test_a_state_file_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    (tmp_path / "adjourn.sqlite3").mkdir()

    done = run("up", APP, "--port", "0", "--state", str(tmp_path))

    assert done.returncode == 2
    assert done.stderr == (
        f"adjourn: The state file {tmp_path}/adjourn.sqlite3 cannot be used:"
        " unable to open database file.\n"
    )


def test_two_stacks_do_not_share_a_state(tmp_path: Path) -> None:
    refusal = (
        f"adjourn: Another stack keeps its state in {tmp_path}; stop it, or name another with"
        " --state.\n"
    )
    with up("--state", str(tmp_path), "--port", "0") as stack:
        ports = (tmp_path / "ports.json").read_text()

        second = run("up", APP, "--port", "0", "--state", str(tmp_path))

        assert (second.returncode, second.stderr) == (2, refusal)
        assert (tmp_path / "ports.json").read_text() == ports
        stack.process.kill()
        stack.process.wait(30)
        with up("--state", str(tmp_path), "--port", "0") as third:  # what was killed holds nothing
            assert stop(third) == 0


def test_a_state_and_none_contradict_each_other(tmp_path: Path) -> None:
    done = run("up", APP, "--port", "0", "--state", str(tmp_path), "--memory")

    assert done.returncode == 2
    assert "argument --memory: not allowed with argument --state" in done.stderr


def test_wrong_settings_are_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADJOURN_MAX_ATTEMPTS", "many")

    done = run("up", APP, "--memory", "--port", "0")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("ADJOURN_MAX_ATTEMPTS") == 1


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("nonsense", "must be package.module:app"),
        ("no.such.module:app", "there is no module 'no'"),
        ("tests.e2e.application:nothing", "has no adjourn.App named 'nothing'"),
    ],
)
def test_a_wrong_application_is_said_in_one_line(app: str, said: str) -> None:
    done = run("up", app, "--memory", "--port", "0")

    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Return a folder with a package that is on nobody's path."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "rates.py").write_text("RATE = 19\n")
    (tmp_path / "shop" / "tasks.py").write_text(SHOP)
    return tmp_path


def runs_the_shop(stack: Up, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Let the function run a task of the shop, and say whether it did."""
    for name, value in stack.variables.items():
        monkeypatch.setenv(name, value)
    adjourn.App().deferred(name="note")(lambda: None)()  # as the shop itself would call it
    client = datastore.Client()
    give_up = time.monotonic() + 30
    while client.get(client.key("Note", 19)) is None:
        assert time.monotonic() < give_up, stack.said
        time.sleep(0.05)
    return True


def test_an_application_is_named_by_its_file(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = str(shop / "shop" / "tasks.py")
    with up("--memory", "--port", "0", app=f"{file}:app") as stack:
        assert runs_the_shop(stack, monkeypatch)
        assert stop(stack) == 0
    assert "adjourn is up for shop.tasks:app" in "".join(stack.said)


@pytest.mark.skipif(not (Path(sys.prefix) / ".ready").exists(), reason="needs `make venv`")
def test_make_finds_an_application_where_it_is_called(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = ("make", "-C", str(ROOT), "up", "OPTIONS=--port 0", f"VENV={sys.prefix}")
    with up(app="APP=shop.tasks:app", cwd=shop, command=make) as stack:
        assert runs_the_shop(stack, monkeypatch)
        assert stop(stack) == -signal.SIGINT  # as make ends itself on Ctrl-C
    assert (shop / ".adjourn").is_dir()

"""What the stack has acknowledged outlives it, however it ends; over real processes and sockets."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc
import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import datastore, tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

PARENT = "projects/adjourn-local/locations/europe-west1"
QUEUE = f"{PARENT}/queues/durable"

CHILD = """
import asyncio, contextlib, json, logging, sys
from pathlib import Path
from adjourn_local.runtime.stack import Stack

async def main():
    async with Stack(None, state=Path(sys.argv[1])) as stack:
        print(json.dumps(dict(stack.environment())), flush=True)
        await asyncio.Event().wait()

logging.basicConfig(stream=sys.stdout)
with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
"""


class Process:
    """A stack in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder)], stdout=subprocess.PIPE, text=True
        )
        self.said: list[str] = []
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("{"):
                self._variables: dict[str, str] = json.loads(line)
                return
            self.said.append(line)
        raise AssertionError("".join(self.said))

    def tasks(self) -> tasks_v2.CloudTasksClient:
        channel = grpc.insecure_channel(self._variables["CLOUDTASKS_EMULATOR_HOST"])
        return tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))

    def datastore(self, monkeypatch: pytest.MonkeyPatch) -> datastore.Client:
        name = "DATASTORE_EMULATOR_HOST"
        monkeypatch.setenv(name, self._variables[name])
        return datastore.Client(project="adjourn-local")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=30)

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)


@contextmanager
def stack(folder: Path) -> Iterator[Process]:
    running = Process(folder)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate(timeout=30)


class Written:
    """What was acknowledged of two endless streams of writes; after so many it calls `then`."""

    def __init__(self, enough: int, then: Callable[[], None]) -> None:
        self.tasks: list[str] = []
        self.entities: list[int] = []
        self._enough = enough
        self._then = then

    def write(self, create: Callable[[int], None], acknowledged: list[object], first: int) -> None:
        with suppress(GoogleAPICallError):
            for number in range(first, first + 100_000):
                create(number)
                acknowledged.append(number)
                if len(self.tasks) + len(self.entities) == self._enough:
                    self._then()


@pytest.mark.parametrize("enough", [1, 40, 173])
def test_kill_nine_loses_nothing_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worker: "Worker", enough: int
) -> None:
    with stack(tmp_path) as first:
        make_paused_queue(first.tasks())
        written = Written(enough, first.kill)
        write_until_killed(first, written, monkeypatch, worker.url)
        assert first.process.wait(timeout=30) == -signal.SIGKILL

    with stack(tmp_path) as second:
        client = second.tasks()
        waiting = {task.name.rsplit("-")[-1] for task in client.list_tasks(parent=QUEUE)}
        assert waiting >= {str(number) for number in written.tasks}
        found = second.datastore(monkeypatch).query(kind="Row", order=["n"]).fetch()
        numbers = [entity["n"] for entity in found]
        assert numbers[: len(written.entities)] == written.entities
        assert not second.said

        client.resume_queue(name=QUEUE)
        worker.hear(waiting)


def make_paused_queue(client: tasks_v2.CloudTasksClient) -> None:
    client.create_queue(parent=PARENT, queue=tasks_v2.Queue(name=QUEUE))
    client.pause_queue(name=QUEUE)


def write_until_killed(
    running: Process, written: Written, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    tasks, store = running.tasks(), running.datastore(monkeypatch)

    def create(number: int) -> None:
        task = tasks_v2.Task(
            name=f"{QUEUE}/tasks/t-{number}",
            http_request=tasks_v2.HttpRequest(url=url, headers={"X-Number": str(number)}),
        )
        tasks.create_task(parent=QUEUE, task=task, retry=None, timeout=30)

    def put(number: int) -> None:
        entity = datastore.Entity(store.key("Row", number))
        entity["n"] = number
        store.put(entity, retry=None, timeout=30)

    threads = [
        threading.Thread(target=written.write, args=(create, written.tasks, 1)),
        threading.Thread(target=written.write, args=(put, written.entities, 1)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)


class Worker:
    """A target of tasks that notes which came."""

    def __init__(self) -> None:
        self._heard: set[str] = set()
        self._news = threading.Condition()

        def note(handler: BaseHTTPRequestHandler) -> None:
            with self._news:
                self._heard.add(handler.headers["X-Number"])
                self._news.notify()
            handler.send_response(200)
            handler.end_headers()

        handlers = {"do_POST": note, "log_message": lambda *_: None}
        self.server = HTTPServer(
            ("127.0.0.1", 0), type("Noting", (BaseHTTPRequestHandler,), handlers)
        )
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def hear(self, expected: set[str]) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self._heard >= expected, timeout=60)


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


def garbage(content: bytes) -> bytes:
    return b"no database" + content


def torn(content: bytes) -> bytes:
    return content[: len(content) // 2]


def overwritten(content: bytes) -> bytes:
    return content[:4096] + b"\xa5" * 8192 + content[12288:]


@pytest.mark.parametrize("damage", [garbage, torn, overwritten])
def test_a_damaged_state_file_is_reported_and_kept_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "adjourn.sqlite3"
    with stack(tmp_path) as first:
        put_rows(first.datastore(monkeypatch))
        first.stop()
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)

    with stack(tmp_path) as second:
        (said,) = second.said
        assert "is damaged" in said
        kept = tmp_path / "adjourn.sqlite3.damaged-1"
        assert str(kept) in said
        assert kept.read_bytes() == damaged
        client = second.datastore(monkeypatch)
        assert not list(client.query(kind="Row").fetch())
        put_rows(client)
        second.kill()
        second.process.wait(timeout=30)

    with stack(tmp_path) as third:
        assert not third.said
        assert len(list(third.datastore(monkeypatch).query(kind="Row").fetch())) == 200
        assert kept.read_bytes() == damaged


def test_a_stack_that_was_stopped_is_not_checked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stack(tmp_path) as first:
        put_rows(first.datastore(monkeypatch))
        first.stop()
    closed = (tmp_path / "adjourn.sqlite3").stat()
    mark = tmp_path / "adjourn.sqlite3.unchanged"
    looks = f"{closed.st_size} {closed.st_mtime_ns} {closed.st_ctime_ns}"
    assert mark.read_text() == looks

    with stack(tmp_path) as second:
        assert len(list(second.datastore(monkeypatch).query(kind="Row").fetch())) == 200
        assert mark.read_text() != looks
        second.kill()
        second.process.wait(timeout=30)
    assert mark.read_text() != looks


def put_rows(client: datastore.Client) -> None:
    rows = [datastore.Entity(client.key("Row", n)) for n in range(1, 201)]
    for row in rows:
        row["text"] = "x" * 500
    client.put_multi(rows)


def test_damaged_files_do_not_replace_one_another(tmp_path: Path) -> None:
    path = tmp_path / "adjourn.sqlite3"
    for content in (b"first" * 100, b"second" * 100):
        path.write_bytes(content)
        with stack(tmp_path) as running:
            running.stop()

    assert (tmp_path / "adjourn.sqlite3.damaged-1").read_bytes() == b"first" * 100
    assert (tmp_path / "adjourn.sqlite3.damaged-2").read_bytes() == b"second" * 100

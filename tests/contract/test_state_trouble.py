"""A full disk and a state that cannot be written, while the stack runs."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import pytest
import requests
from google.api_core.exceptions import ServiceUnavailable
from google.cloud import datastore, scheduler_v1, tasks_v2
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
)
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from adjourn_local.runtime.stack import LOCATION, PROJECT, Stack, running

PARENT = f"projects/{PROJECT}/locations/{LOCATION}"
QUEUE = f"{PARENT}/queues/mail"
BODY = b"x" * 20_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a disk of two megabytes of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
    mount = shutil.which("mount")
    done = subprocess.run([mount or "false", *options], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip() or 'no mount'}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Leave no space on a disk."""
    with (disk / "ballast").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


class Clients:
    """Google's clients of a stack, and its HTTP port."""

    def __init__(self, stack: Stack, channel: grpc.Channel) -> None:
        self.tasks = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        self.jobs = scheduler_v1.CloudSchedulerClient(
            transport=CloudSchedulerGrpcTransport(channel=channel)
        )
        self.entities = datastore.Client(project=PROJECT)
        self.url = stack.ports.url("http")

    def create(self, name: str) -> None:
        request = {"url": "http://127.0.0.1:1/", "body": BODY}
        task = {"name": f"{QUEUE}/tasks/{name}", "http_request": request}
        self.tasks.create_task(parent=QUEUE, task=task)

    def put(self, name: str) -> None:
        entity = datastore.Entity(self.entities.key("Row", name), exclude_from_indexes=["data"])
        entity.update(data=BODY, **{f"property_{name}": 1})
        self.entities.put(entity, retry=None)

    def put_job(self, name: str) -> None:
        job = {"name": f"{PARENT}/jobs/{name}", "schedule": "0 0 1 1 *"}
        target = {"uri": "http://127.0.0.1:1/", "body": BODY}
        self.jobs.create_job(parent=PARENT, job={**job, "http_target": target})

    def held(self) -> tuple[set[str], set[str], set[str]]:
        """Return the names of all tasks, entities and jobs."""
        tasks = {task.name.rpartition("/")[2] for task in self.tasks.list_tasks(parent=QUEUE)}
        entities = {entity.key.name for entity in self.entities.query(kind="Row").fetch()}
        jobs = {job.name.rpartition("/")[2] for job in self.jobs.list_jobs(parent=PARENT)}
        return tasks, entities, jobs


@contextmanager
def serving(folder: Path) -> Iterator[Clients]:
    stack = Stack(None, state=folder)
    with (
        running(stack),
        pytest.MonkeyPatch.context() as patch,
        grpc.insecure_channel(f"127.0.0.1:{stack.ports.grpc}") as channel,
    ):
        patch.setenv("DATASTORE_EMULATOR_HOST", f"127.0.0.1:{stack.ports.grpc}")
        yield Clients(stack, channel)


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up


def prepared(clients: Clients) -> None:
    clients.tasks.create_queue(parent=PARENT, queue={"name": QUEUE})
    clients.tasks.pause_queue(name=QUEUE)


def acknowledged(work: Callable[[str], None], trouble: str, tries: int = 60) -> set[str]:
    """Return the names with which some work was acknowledged, before the first that was refused."""
    done: set[str] = set()
    for number in range(tries):
        try:
            work(f"n{number}")
        except ServiceUnavailable as refused:
            assert "The state file" in refused.message  # noqa: PT017
            assert trouble in refused.message  # noqa: PT017
            return done
        done.add(f"n{number}")
    raise AssertionError("everything was acknowledged")


def test_on_a_full_disk_nothing_is_acknowledged_that_is_not_stored(
    disk: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(disk / "state") as clients:
        prepared(clients)
        fill(disk)
        full = "database or disk is full"
        kept = [acknowledged(each, full) for each in (clients.create, clients.put, clients.put_job)]
        over_http = requests.post(
            f"{clients.url}/v2/{PARENT}/queues", json={"name": f"{PARENT}/queues/new"}, timeout=10
        )
        copy = tmp_path / "copy"
        copy.mkdir()
        for file in (disk / "state").glob("adjourn.sqlite3*"):  # as a kill would leave it
            shutil.copy(file, copy)

        (disk / "ballast").unlink()
        for work in (clients.create, clients.put, clients.put_job):
            work("later")
        after = clients.held()

    assert over_http.status_code == 503
    assert over_http.json()["error"]["status"] == "UNAVAILABLE"
    assert list(after) == [{*names, "later"} for names in kept]
    with serving(copy) as clients:
        assert list(clients.held()) == kept
    assert not [record for record in caplog.records if record.exc_info]


def test_a_task_is_delivered_once_there_is_space_again(
    disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The queue of a full disk does not lose what is due, nor does a job."""
    with serving(disk / "state") as clients:
        prepared(clients)
        clients.put_job("job")
        for number in range(3):
            clients.create(f"n{number}")
        fill(disk)
        clients.tasks.run_task(name=f"{QUEUE}/tasks/n0")
        with pytest.raises(ServiceUnavailable):
            clients.tasks.resume_queue(name=QUEUE)
        with pytest.raises(ServiceUnavailable):
            clients.jobs.run_job(name=f"{PARENT}/jobs/job", retry=None)
        (disk / "ballast").unlink()

        clients.tasks.resume_queue(name=QUEUE)
        clients.jobs.run_job(name=f"{PARENT}/jobs/job")
        for number in range(3):
            name = f"{QUEUE}/tasks/n{number}"
            until(lambda name=name: clients.tasks.get_task(name=name).dispatch_count)  # type: ignore[misc]
        until(lambda: clients.jobs.get_job(name=f"{PARENT}/jobs/job").status.code)
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("trouble", ["read-only", "full"])
def test_a_stack_that_cannot_store_does_not_start_and_says_why(disk: Path, trouble: str) -> None:
    if trouble == "full":
        fill(disk)
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

    done = _up("--state", str(disk / "state"))

    assert done.returncode == 2
    assert done.stderr.startswith("adjourn: The state ")
    reason = "Read-only file system" if trouble == "read-only" else "full|No space left"
    assert re.search(reason, done.stderr)
    assert done.stderr.count("\n") == 1


def test_a_state_that_cannot_grow_is_said_at_the_start(tmp_path: Path) -> None:
    """Without a disk of its own: by the limit of a process."""
    done = _up("--state", str(tmp_path), limit=8192)

    assert done.returncode == 2
    assert done.stderr.startswith(f"adjourn: The state file {tmp_path}/adjourn.sqlite3 cannot be")
    assert done.stderr.count("\n") == 1


def _up(*options: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    line = f'ulimit -f {limit // 512}; exec "$@"' if limit else 'exec "$@"'
    words = [sys.executable, "-m", "adjourn_local", "up", "tests.e2e.application:app"]
    return subprocess.run(
        ["bash", "-c", line, "bash", *words, "--port", "0", *options],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

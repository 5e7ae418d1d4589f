from collections.abc import Callable, Iterator

import grpc
import pytest
import requests
from google.cloud import scheduler_v1, tasks_v2
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
)
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from adjourn_local.runtime.addresses import LOCATION, PROJECT
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.servers import ServerOptions
from adjourn_local.runtime.stack import Stack
from adjourn_local.tasks import TasksOptions
from tests.chaos.world import FAULTS, Ear

PARENT = f"projects/{PROJECT}/locations/{LOCATION}"


@pytest.fixture(scope="session")
def open_ear(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ear]:
    ear = Ear(tmp_path_factory.mktemp("chaos") / "ear")
    yield ear
    ear.close()


@pytest.fixture
def ear(open_ear: Ear) -> Ear:
    open_ear.forget()
    return open_ear


@pytest.fixture(scope="session")
def shared_stack(open_ear: Ear, loop: LoopThread) -> Iterator[Stack]:
    stack = Stack(
        "tests.chaos.application:app",
        write=print,  # shown if a test fails
        faults=FAULTS,
        servers=ServerOptions(tasks=TasksOptions(limits=False)),
    )
    with pytest.MonkeyPatch.context() as inherited:
        inherited.setenv("CHAOS_EAR", open_ear.path)
        loop.run(stack.__aenter__())
    _for_each_job(stack, "pause_job")  # or one that is due takes part in whatever is tested
    yield stack
    loop.run(stack.__aexit__(None, None, None))


@pytest.fixture
def stack(shared_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    for name, value in shared_stack.ports.environment().items():
        monkeypatch.setenv(name, value)
    shared_stack.sender.faults = FAULTS
    _purge(shared_stack)  # those who look after limited calls are queued for later
    return shared_stack


@pytest.fixture
def jobs(stack: Stack) -> Iterator[None]:
    """Let the application's jobs run by schedule."""
    _for_each_job(stack, "resume_job")
    yield
    _for_each_job(stack, "pause_job")


def _for_each_job(stack: Stack, method: str) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{stack.ports.grpc}") as channel:
        transport = CloudSchedulerGrpcTransport(channel=channel)
        client = scheduler_v1.CloudSchedulerClient(transport=transport)
        for job in client.list_jobs(parent=PARENT):
            getattr(client, method)(name=job.name)


def _purge(stack: Stack) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{stack.ports.grpc}") as channel:
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        for queue in client.list_queues(parent=PARENT):
            client.purge_queue(name=queue.name)


@pytest.fixture
def steer(stack: Stack) -> Iterator[Callable[[str], None]]:
    """Return what steers the stack's clock, which is set back in the end."""

    def steer(method: str, text: str = "") -> None:
        url = f"{stack.ports.url('http')}/control/clock"
        requests.request(method, url, data=text, timeout=30).raise_for_status()

    yield lambda text: steer("PUT", text)
    steer("DELETE")

"""What the README shows, run as it stands."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud.tasks_v2 import CloudTasksClient, Queue
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

import adjourn.testing
from adjourn_local.runtime.addresses import LOCATION, PROJECT
from adjourn_local.runtime.stack import Stack

README = Path(__file__).resolve().parents[2] / "README.md"
PARENT = f"projects/{PROJECT}/locations/{LOCATION}"


@pytest.fixture
def queues(stack: Stack) -> Iterator[CloudTasksClient]:
    """Return a client, with paused queues for what the README enqueues."""
    with grpc.insecure_channel(f"127.0.0.1:{stack.ports.grpc}") as channel:
        client = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        for name in ("mail", "readme"):
            client.create_queue(parent=PARENT, queue=Queue(name=f"{PARENT}/queues/{name}"))
            client.pause_queue(name=f"{PARENT}/queues/{name}")
        yield client
        for name in ("mail", "readme"):
            client.delete_queue(name=f"{PARENT}/queues/{name}")


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.usefixtures("environment")
def test_the_example_enqueues_two_calls_and_a_step(
    queues: CloudTasksClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADJOURN_QUEUE", "readme")
    names: dict[str, Any] = {"__name__": "readme"}

    exec(compile(blocks()[0], "README.md", "exec"), names)
    names["place"]("A-1")

    calls = list(queues.list_tasks(parent=f"{PARENT}/queues/mail"))
    steps = list(queues.list_tasks(parent=f"{PARENT}/queues/readme"))
    assert [call.http_request.url.rsplit("/", 1)[1] for call in calls] == [
        "readme.send_receipt"
    ] * 2
    assert [step.http_request.url.rsplit("/", 1)[1] for step in steps] == ["readme.Reprice"]


def test_the_sandbox_drains_the_example() -> None:
    app = adjourn.App()
    ran: list[str] = []

    @app.deferred(name="send_receipt")
    def send_receipt(key: str) -> None:
        ran.append(key)

    names = {"adjourn": adjourn, "app": app, "send_receipt": send_receipt}
    order = type("Order", (), {"key": "k"})

    exec(compile(blocks()[1], "README.md", "exec"), {**names, "order": order})

    assert ran == ["k"]

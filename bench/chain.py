"""The way of adjourn's ancestor: five entities a task, and each task makes the next one.

Plain Cloud Tasks and plain cursors, without any of adjourn; bench.iteration runs it as a function.
"""

import json
import os
from functools import cache
from typing import Any

import grpc
from google.cloud import datastore
from google.cloud.tasks_v2 import CloudTasksClient, HttpRequest, Task
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from bench.walks import tell

AT_ONCE = 5


@cache
def _clients() -> tuple[datastore.Client, CloudTasksClient]:
    channel = grpc.insecure_channel(os.environ["CLOUDTASKS_EMULATOR_HOST"])
    tasks = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
    return datastore.Client(), tasks


def step(request: Any) -> str:
    """Walk over five entities and enqueue what goes on behind them."""
    told = json.loads(request.data)
    found = _clients()[0].query(kind=told["kind"]).fetch(AT_ONCE, start_cursor=told["cursor"])
    entities = list(found)
    for _ in entities:
        told["done"] += 1
    if entities:
        enqueue({**told, "cursor": (found.next_page_token or b"").decode()})
    else:
        tell(str(told["done"]))
    return "done"


def enqueue(told: dict[str, Any]) -> None:
    """Enqueue a step."""
    url, body = os.environ["BENCH_CHAIN"], json.dumps(told).encode()
    task = Task(http_request=HttpRequest(url=url, body=body))
    _clients()[1].create_task(parent=os.environ["BENCH_QUEUE"], task=task)

"""Cloud Tasks v2beta3 and v2beta2, by Google's clients of these versions."""

import datetime as dt

import pytest
from google.api_core.exceptions import BadRequest, GoogleAPICallError, MethodNotImplemented
from google.cloud import tasks_v2, tasks_v2beta2, tasks_v2beta3
from google.cloud.tasks_v2beta2.services.cloud_tasks.transports import (
    CloudTasksGrpcTransport as Beta2Transport,
)
from google.cloud.tasks_v2beta3.services.cloud_tasks.transports import (
    CloudTasksGrpcTransport as Beta3Transport,
)

from tests.contract.tasks_world import LOCATION, QUEUE, START, older_client, tasks_world

LATER = START + dt.timedelta(hours=1)


@pytest.fixture(params=["grpc", "rest"])
def world(request, loop, tmp_path):
    path, transport = tmp_path / "state.db", request.param
    options = {"app_engine": {"default": "http://127.0.0.1:1"}}
    with tasks_world(loop, path, transport=transport, **options) as world, world.running():
        yield world


@pytest.fixture
def beta3(world):
    return older_client(world, tasks_v2beta3, Beta3Transport)


@pytest.fixture
def beta2(world):
    return older_client(world, tasks_v2beta2, Beta2Transport)


@pytest.mark.parametrize("version", ["beta3", "beta2"])
def test_tasks_are_created_delivered_and_deleted(request, world, version):
    client = request.getfixturevalue(version)
    client.create_queue(parent=LOCATION, queue={"name": QUEUE})
    http = {"url": f"{world.worker.url}/note", "body": b"\xff", "headers": {"X-Shop": "1"}}

    now = client.create_task(parent=QUEUE, task={"http_request": http})
    arrival = world.worker.next()
    assert (arrival.path, arrival.body, arrival["x-shop"]) == ("/work/note", b"\xff", "1")
    assert arrival["x-cloudtasks-taskname"] == now.name.rpartition("/")[2]

    task = {"name": f"{QUEUE}/tasks/a", "http_request": http, "schedule_time": LATER}
    client.create_task(parent=QUEUE, task=task)
    assert [each.name for each in client.list_tasks(parent=QUEUE)] == [f"{QUEUE}/tasks/a"]
    found = client.get_task(request={"name": f"{QUEUE}/tasks/a", "response_view": "FULL"})
    assert (found.http_request.body, found.schedule_time) == (b"\xff", LATER)
    assert world.client.get_task(name=found.name).http_request.url == http["url"]
    client.run_task(name=found.name)
    assert world.worker.next().path == "/work/note"
    client.create_task(parent=QUEUE, task={**task, "name": f"{QUEUE}/tasks/b"})
    client.delete_task(name=f"{QUEUE}/tasks/b")
    with pytest.raises(GoogleAPICallError):
        client.get_task(name=f"{QUEUE}/tasks/b")


@pytest.mark.parametrize("version", ["beta3", "beta2"])
def test_queues_are_changed_paused_and_deleted(request, world, version):
    client = request.getfixturevalue(version)
    client.create_queue(parent=LOCATION, queue={"name": QUEUE})

    assert [queue.name for queue in client.list_queues(parent=LOCATION)] == [QUEUE]
    assert client.pause_queue(name=QUEUE).state.name == "PAUSED"
    assert client.get_queue(name=QUEUE).state.name == "PAUSED"
    assert client.resume_queue(name=QUEUE).state.name == "RUNNING"
    assert client.purge_queue(name=QUEUE).purge_time == START
    policy = client.get_iam_policy(request={"resource": QUEUE})
    assert client.set_iam_policy(request={"resource": QUEUE, "policy": policy}).etag
    client.delete_queue(name=QUEUE)
    with pytest.raises(BadRequest, match="Queue ID"):
        client.get_queue(name=f"{LOCATION}/queues/a_b")
    assert list(world.client.list_queues(parent=LOCATION)) == []


def test_a_queue_of_v2beta3_has_its_own_fields(world, beta3):
    routing = {"app_engine_routing_override": {"service": "worker"}}
    queue = {"name": QUEUE, "app_engine_http_queue": routing, "task_ttl": dt.timedelta(days=20)}

    made = beta3.create_queue(parent=LOCATION, queue=queue)

    assert made.app_engine_http_queue.app_engine_routing_override.service == "worker"
    assert world.client.get_queue(name=QUEUE).app_engine_routing_override.service == "worker"
    routing["app_engine_routing_override"]["service"] = "other"
    changed = beta3.update_queue(queue=queue, update_mask={"paths": ["app_engine_http_queue"]})
    assert changed.app_engine_http_queue.app_engine_routing_override.service == "other"
    assert changed.retry_config.max_attempts == 100


def test_a_queue_of_v2beta2_has_its_own_names(world, beta2):
    queue = {
        "name": QUEUE,
        "app_engine_http_target": {"app_engine_routing_override": {"service": "worker"}},
        "rate_limits": {"max_tasks_dispatched_per_second": 7, "max_concurrent_tasks": 3},
        "retry_config": {"unlimited_attempts": True, "max_doublings": 4},
    }

    made = beta2.create_queue(parent=LOCATION, queue=queue)

    assert made.app_engine_http_target.app_engine_routing_override.service == "worker"
    assert (made.rate_limits.max_tasks_dispatched_per_second, made.retry_config.max_doublings) == (
        7,
        4,
    )
    assert made.retry_config.unlimited_attempts
    newest = world.client.get_queue(name=QUEUE)
    assert newest.rate_limits.max_dispatches_per_second == 7
    assert newest.rate_limits.max_concurrent_dispatches == 3
    assert newest.retry_config.max_attempts == -1
    limits = {"max_tasks_dispatched_per_second": 9, "max_concurrent_tasks": 1}
    paths = ["rate_limits.max_tasks_dispatched_per_second"]
    change = {"name": QUEUE, "rate_limits": limits}
    changed = beta2.update_queue(queue=change, update_mask={"paths": paths})
    assert changed.rate_limits.max_tasks_dispatched_per_second == 9
    assert changed.rate_limits.max_concurrent_tasks == 3
    stats = {"name": QUEUE, "read_mask": {"paths": ["stats", "name"]}}
    assert beta2.get_queue(request=stats).stats.effective_execution_rate == 9


def test_a_task_of_v2beta2_has_its_own_names(world, beta2):
    beta2.create_queue(parent=LOCATION, queue={"name": QUEUE})
    wanted = {"relative_url": "/note", "payload": b"x", "http_method": "POST"}
    task = {"app_engine_http_request": wanted, "schedule_time": LATER}

    made = beta2.create_task(request={"parent": QUEUE, "task": task, "response_view": "FULL"})

    assert made.app_engine_http_request.relative_url == "/note"
    assert made.app_engine_http_request.payload == b"x"
    world.worker.answers.append(500)
    http = {"url": f"{world.worker.url}/note"}
    failing = beta2.create_task(parent=QUEUE, task={"http_request": http})
    world.worker.next()
    world.answered(attempts=1)
    status = beta2.get_task(name=failing.name).status
    assert (status.attempt_dispatch_count, status.attempt_response_count) == (1, 1)
    assert status.last_attempt_status.response_status.code == 13
    newest = world.client.get_task(
        request={"name": made.name, "response_view": tasks_v2.Task.View.FULL}
    )
    assert newest.app_engine_http_request.body == b"x"


def test_pull_queues_are_refused(world, beta2):  # noqa: ARG001 - it serves
    pull = {"name": QUEUE, "pull_target": {}}
    with pytest.raises(MethodNotImplemented, match="Pull queues are not served"):
        beta2.create_queue(parent=LOCATION, queue=pull)
    beta2.create_queue(parent=LOCATION, queue={"name": QUEUE})
    with pytest.raises(MethodNotImplemented, match="Pull queues are not served"):
        beta2.create_task(parent=QUEUE, task={"pull_message": {"payload": b"x"}})
    lease = {"parent": QUEUE, "lease_duration": dt.timedelta(seconds=10), "max_tasks": 1}
    with pytest.raises(MethodNotImplemented, match="Pull queues are not served"):
        beta2.lease_tasks(request=lease)

"""HTTP and JSON: the rules of Google's clients, and what other clients send."""

import base64

import grpc
import pytest
import requests
from google.cloud.scheduler_v1 import CloudSchedulerClient
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
)
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    rest_base as scheduler_base,
)
from google.cloud.tasks_v2 import CloudTasksClient
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from google.cloud.tasks_v2.services.cloud_tasks.transports import rest_base as tasks_base

from adjourn_local.http import locations, rest
from adjourn_local.scheduler.job_routes import RULES as SCHEDULER_RULES
from adjourn_local.tasks.task_routes import RULES as TASKS_RULES
from tests.contract.scheduler_stack import prepared
from tests.contract.tasks_world import LOCATION, QUEUE, tasks_world
from tests.support import serving, serving_http


@pytest.fixture
def world(loop, tmp_path):
    with tasks_world(loop, tmp_path / "state.db", transport="rest") as world, world.running():
        yield world


def of_google(base):
    """Return the rules that Google's own client follows."""
    methods = {name.removeprefix("_Base"): value for name, value in vars(base).items()}
    return {
        name: rest.Rule(option["method"].upper(), option["uri"], option.get("body", ""))
        for name, method in methods.items()
        if hasattr(method, "_get_http_options")
        for option in method._get_http_options()
    }


def test_the_rules_of_cloud_tasks_are_those_of_google_s_client():
    google = of_google(tasks_base._BaseCloudTasksRestTransport)

    assert {**TASKS_RULES, **locations._rules("v2")} == google


def test_the_rules_of_cloud_scheduler_are_those_of_google_s_client():
    google = of_google(scheduler_base._BaseCloudSchedulerRestTransport)

    assert {**SCHEDULER_RULES, **locations._rules("v1")} == google


def test_enums_are_names_unless_the_client_asks_for_numbers(world):
    world.make_queue()

    named = requests.get(f"{world.url}/v2/{QUEUE}", timeout=10)
    numbered = requests.get(
        f"{world.url}/v2/{QUEUE}", params={"$alt": "json;enum-encoding=int"}, timeout=10
    )

    assert named.headers["Content-Type"] == "application/json; charset=utf-8"
    assert named.json()["state"] == "RUNNING"
    assert numbered.json()["state"] == 1


@pytest.mark.parametrize("method", ["PUT", 4])
def test_enums_are_understood_as_names_and_as_numbers(world, method):
    world.make_queue()
    body = base64.b64encode(b"hello").decode()
    task = {"httpRequest": {"url": world.worker.url, "httpMethod": method, "body": body}}

    created = requests.post(
        f"{world.url}/v2/{QUEUE}/tasks", json={"task": task, "responseView": "FULL"}, timeout=10
    ).json()

    assert created["httpRequest"]["httpMethod"] == "PUT"
    assert created["httpRequest"]["body"] == body
    assert created["view"] == "FULL"
    arrival = world.worker.next()
    assert (arrival.method, arrival.body) == ("PUT", b"hello")


def test_a_field_in_snake_case_is_understood_too(world):
    world.make_queue()
    task = {"http_request": {"url": world.worker.url}}

    answer = requests.post(f"{world.url}/v2/{QUEUE}/tasks", json={"task": task}, timeout=10)

    assert answer.status_code == 200
    world.worker.next()


@pytest.mark.parametrize(
    "mask", ["rateLimits.maxDispatchesPerSecond", "rate_limits.max_dispatches_per_second"]
)
def test_a_mask_is_understood_in_either_spelling(world, mask):
    world.make_queue()

    queue = requests.patch(
        f"{world.url}/v2/{QUEUE}",
        params={"updateMask": mask},
        json={"rateLimits": {"maxDispatchesPerSecond": 7, "maxConcurrentDispatches": 7}},
        timeout=10,
    ).json()

    assert queue["rateLimits"]["maxDispatchesPerSecond"] == 7
    assert queue["rateLimits"]["maxConcurrentDispatches"] == 1000


def test_the_name_in_the_path_wins_over_the_body_s(world):
    world.make_queue()

    queue = requests.patch(
        f"{world.url}/v2/{QUEUE}", json={"name": f"{QUEUE}-other"}, timeout=10
    ).json()

    assert queue["name"] == QUEUE


def test_pages_are_asked_for_in_the_query(world):
    for number in range(3):
        world.make_queue(f"{QUEUE}-{number}")
    url = f"{world.url}/v2/{LOCATION}/queues"

    first = requests.get(url, params={"pageSize": 2, "alt": "json"}, timeout=10).json()
    second = requests.get(
        url, params={"pageSize": 2, "pageToken": first["nextPageToken"]}, timeout=10
    ).json()

    assert [len(page["queues"]) for page in (first, second)] == [2, 1]
    assert "nextPageToken" not in second


def test_an_error_has_google_s_form(world):
    answer = requests.get(f"{world.url}/v2/{QUEUE}", timeout=10)

    assert answer.status_code == 404
    assert answer.json() == {
        "error": {
            "code": 404,
            "message": "Queue does not exist. If you just created the queue, "
            "wait at least a minute for the queue to initialize.",
            "status": "NOT_FOUND",
        }
    }


@pytest.mark.parametrize(
    ("query", "body", "word"),
    [
        ("", b"{", "Invalid request"),
        ("", b'{"speed": 1}', "speed"),
        ("", b'{"rateLimits": {"maxDispatchesPerSecond": "fast"}}', "fast"),
        ("", b"\xff", "Invalid request"),
        ("?speed=1", b"{}", "speed"),
        ("?parent.x=1", b"{}", "parent"),
        ("?parent=a&parent.x=1", b"{}", "parent"),
    ],
)
def test_what_cannot_be_understood_is_refused(world, query, body, word):
    answer = requests.post(
        f"{world.url}/v2/{LOCATION}/queues{query}",
        data=body,
        headers={"Content-Type": "application/json"},
        timeout=10,
    )

    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert word in answer.json()["error"]["message"]


def test_a_broken_handler_is_an_internal_error(world, monkeypatch, caplog):
    world.make_queue()
    monkeypatch.setattr(world.server._queues, "_queues", None)

    answer = requests.get(f"{world.url}/v2/{QUEUE}", timeout=10)

    assert answer.status_code == 500
    assert answer.json()["error"]["status"] == "INTERNAL"
    assert "failed" in caplog.text


def test_whatever_no_rule_covers_is_not_found(loop):
    with serving_http(loop, [*locations.http_routes(), rest.unknown()]) as url:
        wrong = requests.put(f"{url}/v2/projects/p/locations/l", timeout=10)
        unknown = requests.get(f"{url}/v1/projects/p/nothing", timeout=10)

    assert [wrong.status_code, unknown.status_code] == [404, 404]
    assert wrong.json()["error"]["message"] == "There is no PUT /v2/projects/p/locations/l."


def test_locations_are_named_to_both_services_clients(loop):
    with serving_http(loop, locations.http_routes()) as url:
        for version in ("v1", "v2"):
            listed = requests.get(f"{url}/{version}/projects/p/locations", timeout=10).json()
            one = requests.get(f"{url}/{version}/projects/p/locations/europe-west1", timeout=10)

            assert one.json() in listed["locations"]
            assert one.json()["locationId"] == "europe-west1"
        bad = requests.get(f"{url}/v2/projects/p/locations/no_such", timeout=10)
        assert bad.json()["error"]["status"] == "INVALID_ARGUMENT"
        bad = requests.get(f"{url}/v2/projects/p!/locations", timeout=10)
        assert bad.json()["error"]["status"] == "INVALID_ARGUMENT"


def test_locations_are_named_over_grpc_too(loop):
    with (
        serving(loop, locations.grpc_service()) as address,
        grpc.insecure_channel(address) as channel,
    ):
        tasks = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        jobs = CloudSchedulerClient(transport=CloudSchedulerGrpcTransport(channel=channel))
        for client in (tasks, jobs):
            listed = client.list_locations({"name": "projects/p"}).locations
            one = client.get_location({"name": "projects/p/locations/europe-west1"})

            assert one in listed
            assert one.labels == {"cloud.googleapis.com/region": "europe-west1"}


def test_a_job_lives_over_rest_as_it_does_over_grpc(loop, tmp_path):
    with prepared(loop, tmp_path, transport="rest") as stack, stack.running() as client:
        parent = "projects/p/locations/europe-west3"
        job = client.create_job(parent=parent, job=stack.job(schedule="*/5 * * * *"))

        assert client.get_job(name=job.name) == job
        assert [found.name for found in client.list_jobs(parent=parent)] == [job.name]
        changed = client.update_job(
            job={"name": job.name, "description": "new", "schedule": "0 0 * * *"},
            update_mask={"paths": ["description"]},
        )
        assert (changed.description, changed.schedule) == ("new", "*/5 * * * *")
        assert client.pause_job(name=job.name).state == job.State.PAUSED
        assert client.resume_job(name=job.name).state == job.State.ENABLED
        client.run_job(name=job.name)
        stack.advance()
        assert len(stack.handler.calls) == 1
        client.delete_job(name=job.name)
        assert list(client.list_jobs(parent=parent)) == []

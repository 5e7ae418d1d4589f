"""Errors of Cloud Tasks as they were recorded from the service, with their details."""

import pytest
import requests
from google.api_core.exceptions import InvalidArgument, PermissionDenied
from google.rpc import error_details_pb2

from tests.contract.tasks_world import LOCATION, QUEUE, tasks_world

REFERENCE = "https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues"
QUEUE_NAME = ("Definition of queue name", f"{REFERENCE}#Queue.FIELDS.name")
TASK_ID = ("Definition of task ID", f"{REFERENCE}.tasks#Task.FIELDS.name")


@pytest.fixture
def world(loop, tmp_path):
    with tasks_world(loop, tmp_path / "state.db") as world, world.running():
        yield world


def links(error):
    return [
        (link.description, link.url)
        for detail in error.value.details
        if isinstance(detail, error_details_pb2.Help)
        for link in detail.links
    ]


def test_an_invalid_name_comes_with_a_link_to_its_definition(world):
    with pytest.raises(InvalidArgument) as error:
        world.client.create_queue(parent=LOCATION, queue={"name": "mail"})
    assert links(error) == [QUEUE_NAME]
    with pytest.raises(InvalidArgument) as error:
        world.client.get_queue(name=f"{LOCATION}/queues/a_b")
    assert links(error) == [("Definition of queue ID", QUEUE_NAME[1])]

    world.make_queue()
    task = {"name": f"{QUEUE}/tasks/not a valid id", "http_request": {"url": world.worker.url}}
    with pytest.raises(InvalidArgument) as error:
        world.client.create_task(parent=QUEUE, task=task)
    assert links(error) == [TASK_ID]


def test_it_does_so_over_rest(world):
    answer = requests.get(f"{world.url}/v2/{QUEUE}/tasks/a.b", timeout=10)

    link = {"description": TASK_ID[0], "url": TASK_ID[1]}
    assert answer.status_code == 400
    assert answer.json()["error"]["details"] == [
        {"@type": "type.googleapis.com/google.rpc.Help", "links": [link]}
    ]


def test_what_is_no_path_is_taken_for_a_project(world):
    with pytest.raises(PermissionDenied) as error:
        world.client.create_queue(parent="not-a-valid-parent", queue={"name": QUEUE})

    text = "Permission denied on resource project not-a-valid-parent."
    assert error.value.message == text
    info, localized, _ = error.value.details
    assert (info.reason, info.domain) == ("CONSUMER_INVALID", "googleapis.com")
    assert dict(info.metadata) == {
        "consumer": "projects/not-a-valid-parent",
        "containerInfo": "not-a-valid-parent",
        "service": "cloudtasks.googleapis.com",
    }
    assert localized.message == text
    assert links(error) == [("Google developers console", "https://console.developers.google.com")]


def test_a_queue_must_be_in_the_parent(world):
    elsewhere = "projects/shop/locations/us-central1/queues/mail"
    with pytest.raises(InvalidArgument) as error:
        world.client.create_queue(parent=LOCATION, queue={"name": elsewhere})

    assert error.value.message == f'"{elsewhere}" must begin with "{LOCATION}/queues/".'

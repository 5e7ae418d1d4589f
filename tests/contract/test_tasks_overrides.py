"""Queue-level HTTP targets, and BufferTask, which needs one."""

import urllib.parse

import pytest
import requests

from tests.contract.tasks_world import QUEUE, tasks_world
from tests.support import refused


@pytest.fixture(params=["grpc", "rest"])
def world(request, loop, tmp_path):
    path = tmp_path / "state.db"
    with tasks_world(loop, path, transport=request.param) as world, world.running():
        yield world


def at_worker(world, **more):
    """Return an override of the host, port and scheme that leads to the worker."""
    parts = urllib.parse.urlsplit(world.worker.url)
    return {"scheme": "HTTP", "host": parts.hostname, "port": parts.port, **more}


def test_a_queue_leads_its_tasks_elsewhere_and_shows_them_as_they_were_created(world):
    override = at_worker(world, path_override={"path": "/in"}, query_override={"query_params": "a"})
    queue = world.make_queue(http_target={"uri_override": override})

    task = world.create(http_request={"url": "https://shop.example/out?b"})

    assert world.worker.next().path == "/in?a"
    assert task.http_request.url == "https://shop.example/out?b"
    assert world.client.get_queue(name=QUEUE) == queue


def test_a_queue_s_method_and_headers_win_over_the_task_s(world):
    headers = [
        {"header": {"key": "X-Kind", "value": "queue"}},
        {"header": {"key": "X-CloudTasks-TaskName", "value": "mine"}},
        {"header": {"key": "User-Agent", "value": "mine"}},
    ]
    world.make_queue(http_target={"http_method": "PUT", "header_overrides": headers})

    world.create("t", http_request={"headers": {"x-kind": "task", "X-Own": "1"}, "body": b"x"})

    arrival = world.worker.next()
    assert (arrival.method, arrival.body) == ("PUT", b"x")
    assert (arrival["X-Kind"], arrival["X-Own"]) == ("queue", "1")
    assert [name.lower() for name in arrival.names].count("x-kind") == 1
    assert arrival["X-CloudTasks-TaskName"] == "t"
    assert arrival["User-Agent"] == "Google-Cloud-Tasks"


def test_a_queue_that_gets_drops_the_bodies(world):
    world.make_queue(http_target={"http_method": "GET"})

    world.create(http_request={"body": b"ignored"})

    arrival = world.worker.next()
    assert (arrival.method, arrival.body) == ("GET", b"")


def test_a_queue_s_token_wins_over_the_task_s(world):
    token = {"service_account_email": "queue@shop.example", "audience": "all"}
    world.make_queue(http_target={"oidc_token": token})

    world.create(http_request={"oidc_token": {"service_account_email": "task@shop.example"}})

    assert world.worker.next()["Authorization"] == "Bearer token-1"
    assert world.minted == [("queue@shop.example", "all")]


def test_a_queue_s_access_token_wins_over_the_task_s_identity_token(world):
    token = {"service_account_email": "queue@shop.example", "scope": "all"}
    world.make_queue(http_target={"oauth_token": token})

    world.create(http_request={"oidc_token": {"service_account_email": "task@shop.example"}})

    assert world.worker.next()["Authorization"].startswith("Bearer local.")
    assert world.minted == []


def test_an_override_that_waits_for_what_is_missing_leaves_a_full_url_alone(world):
    override = {
        "host": "elsewhere.example",
        "path_override": {"path": "/in"},
        "query_override": {"query_params": "a"},
        "uri_override_enforce_mode": "IF_NOT_EXISTS",
    }
    world.make_queue(http_target={"uri_override": override})

    world.create()

    assert world.worker.next().path == "/work?a"


def test_tasks_that_wait_already_follow_a_change_of_the_target(world):
    world.make_queue()
    world.client.pause_queue(name=QUEUE)
    world.create()
    target = {"uri_override": {"path_override": {"path": "/new"}}}

    world.client.update_queue(
        queue={"name": QUEUE, "http_target": target}, update_mask={"paths": ["http_target"]}
    )
    world.client.resume_queue(name=QUEUE)

    assert world.worker.next().path == "/new"


def test_a_target_that_is_taken_away_has_no_effect_any_more(world):
    world.make_queue(http_target={"uri_override": {"path_override": {"path": "/new"}}})

    world.client.update_queue(queue={"name": QUEUE}, update_mask={"paths": ["http_target"]})
    world.create()

    assert world.worker.next().path == "/work"


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ({"oidc_token": {"service_account_email": "a@b.c"}}, "audience"),
        ({"oauth_token": {"service_account_email": "a@b.c"}}, "scope"),
        ({"uri_override": {"host": ""}}, "empty"),
        ({"uri_override": {"port": -1}}, "port"),
        ({"uri_override": {"port": 65536}}, "port"),
        ({"uri_override": {"path_override": {"path": "/" * 2084}}}, "2083"),
        ({"header_overrides": [{"header": {"key": "a b"}}]}, "valid header"),
        ({"header_overrides": [{"header": {"key": "a", "value": "x" * 81920}}]}, "80 KB"),
    ],
)
def test_a_target_that_no_task_could_be_sent_by_is_refused(world, target, word):
    with refused("INVALID_ARGUMENT") as refusal:
        world.make_queue(http_target=target)

    assert word in refusal.text


def test_a_target_survives_a_restart(loop, tmp_path):
    with tasks_world(loop, tmp_path / "state.db") as world:
        with world.running():
            world.make_queue(http_target={"uri_override": {"path_override": {"path": "/kept"}}})
        with world.running():
            world.create()

            assert world.worker.next().path == "/kept"


@pytest.fixture
def buffer(loop, tmp_path):
    with tasks_world(loop, tmp_path / "state.db") as world, world.running():
        yield world


def post(world, path, body=b"", **headers):
    return requests.post(f"{world.url}/v2/{QUEUE}/{path}", data=body, headers=headers, timeout=10)


@pytest.mark.parametrize("path", ["tasks:buffer", "tasks/:buffer"])
def test_any_body_becomes_a_task(buffer, path):
    buffer.make_queue(http_target={"uri_override": at_worker(buffer)})

    answer = post(buffer, path, b"\x00anything")

    arrival = buffer.worker.next()
    assert answer.status_code == 200
    assert (arrival.method, arrival.path, arrival.body) == ("POST", "/", b"\x00anything")
    assert arrival["Content-Type"] == "application/json"
    task = answer.json()["task"]
    assert task["name"].endswith(arrival["X-CloudTasks-TaskName"])
    assert task["httpRequest"]["url"] == buffer.worker.url.removesuffix("/work")


def test_a_buffered_task_can_be_named_and_is_created_once(buffer):
    override = at_worker(buffer, path_override={"path": "in"})
    header = {"header": {"key": "content-type", "value": "text/plain"}}
    buffer.make_queue(http_target={"uri_override": override, "header_overrides": [header]})

    first = post(buffer, "tasks/once:buffer", b"x")
    second = post(buffer, "tasks/once:buffer", b"x")

    arrival = buffer.worker.next()
    assert first.json()["task"]["name"] == f"{QUEUE}/tasks/once"
    assert (arrival.path, arrival["Content-Type"]) == ("/in", "text/plain")
    assert second.json()["error"]["status"] == "ALREADY_EXISTS"


def test_a_queue_that_knows_no_host_buffers_nothing(buffer):
    missing = post(buffer, "tasks:buffer")
    buffer.make_queue()
    without = post(buffer, "tasks:buffer")

    assert missing.json()["error"]["status"] == "NOT_FOUND"
    assert without.json()["error"]["status"] == "FAILED_PRECONDITION"
    assert "uriOverride.host" in without.json()["error"]["message"]

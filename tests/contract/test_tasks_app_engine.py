"""App Engine targets: their own header family, defaults and limits."""

import datetime as dt
import urllib.parse

import pytest

from tests.contract.tasks_world import QUEUE, tasks_world
from tests.support import refused

AGENT = "AppEngine-Google; (+http://code.google.com/appengine)"


@pytest.fixture(params=["grpc", "rest"])
def world(request, loop, tmp_path):
    services = {}
    path = tmp_path / "state.db"
    with tasks_world(loop, path, transport=request.param, app_engine=services) as world:
        base = world.worker.url.removesuffix("/work")
        services.update({"default": base, "mailer": f"{base}/mailer/"})
        with world.running():
            world.make_queue()
            yield world


def create(world, name="", **fields):
    request = {"relative_uri": "/work?a=1", **fields.pop("request", {})}
    task = {"app_engine_http_request": request, **fields}
    if name:
        task["name"] = f"{QUEUE}/tasks/{name}"
    return world.client.create_task(parent=QUEUE, task=task)


def told(arrival):
    family = ("RetryCount", "ExecutionCount", "PreviousResponse", "RetryReason")
    return tuple(arrival[f"X-AppEngine-Task{name}"] for name in family)


def test_a_task_reaches_the_default_service_with_app_engine_s_headers(world):
    create(world, "t", request={"headers": {"X-Own": "1"}, "body": b"hello"})

    arrival = world.worker.next()

    assert (arrival.method, arrival.path, arrival.body) == ("POST", "/work?a=1", b"hello")
    assert dict(arrival.headers[1:]) == {
        "X-Own": "1",
        "Content-Type": "application/octet-stream",
        "Content-Length": "5",
        "User-Agent": AGENT,
        "X-AppEngine-User-IP": "0.1.0.2",
        "X-AppEngine-QueueName": "mail",
        "X-AppEngine-TaskName": "t",
        "X-AppEngine-TaskRetryCount": "0",
        "X-AppEngine-TaskExecutionCount": "0",
        "X-AppEngine-TaskETA": "1795435200.250000",
    }


def test_the_headers_over_the_retries_are_those_measured_on_the_service(world):
    world.worker.answers.extend([503, 404, 429, 500, 302, 200])
    create(world)

    seen = []
    for attempt in range(1, 7):
        seen.append(told(world.worker.next()))
        world.answered(attempts=attempt)
        world.advance(60)

    assert seen == [
        ("0", "0", None, None),
        ("1", "1", "503", "App Error"),
        ("2", "2", "404", "App Error"),
        ("3", "3", "429", "App Error"),
        ("4", "4", "500", "App Error"),
        ("5", "5", "302", "App Error"),
    ]


def test_a_missed_deadline_is_reported_as_an_instance_that_was_away(world):
    world.worker.answers.append(None)
    create(world, dispatch_deadline={"seconds": 15})

    world.worker.next()
    world.advance(15)
    world.answered(attempts=1)
    world.advance(1)

    assert told(world.worker.next()) == ("1", "0", "0", "Instance Unavailable")


def test_what_the_service_sets_is_shown_from_the_start(world):
    typed = {"user-agent": "me", "content-type": "text/plain", "Content-Length": "99"}
    task = create(world, request={"headers": typed, "body": b"hello"})
    plain = create(world, request={"relative_uri": ""})

    assert task.app_engine_http_request.headers == {
        "content-type": "text/plain",
        "User-Agent": f"me {AGENT}",
        "Content-Length": "5",
    }
    assert task.app_engine_http_request.body == b""
    assert task.app_engine_http_request.app_engine_routing.host == "shop.appspot.com"
    assert plain.app_engine_http_request.relative_uri == "/"
    assert plain.app_engine_http_request.headers == {"User-Agent": AGENT}
    assert not task.dispatch_deadline


def test_the_routing_names_the_service_and_the_queue_s_wins(world):
    create(world, request={"app_engine_routing": {"service": "mailer", "version": "v2"}})
    assert world.worker.next().path == "/mailer/work?a=1"
    override = {"service": "mailer"}

    queue = world.client.update_queue(
        queue={"name": QUEUE, "app_engine_routing_override": override},
        update_mask={"paths": ["app_engine_routing_override"]},
    )
    create(world, request={"app_engine_routing": {"service": "default"}})

    assert queue.app_engine_routing_override.host == "mailer.shop.appspot.com"
    assert world.worker.next().path == "/mailer/work?a=1"


def test_a_service_whose_address_is_not_known_is_refused(world):
    with refused("FAILED_PRECONDITION") as refusal:
        create(world, request={"app_engine_routing": {"service": "shop"}})

    assert refusal.text == (
        'No URL is configured for the App Engine service "shop"; start the stack with '
        "--app-engine shop=http://127.0.0.1:PORT."
    )


def test_a_deadline_may_be_as_long_as_a_day(world):
    longest = dt.timedelta(hours=24, seconds=15)

    assert create(world, dispatch_deadline=longest).dispatch_deadline == longest
    for wrong in (dt.timedelta(seconds=14), longest + dt.timedelta(seconds=1)):
        with refused("INVALID_ARGUMENT", "Task.dispatchDeadline must be between [15s, 24h15s]."):
            create(world, dispatch_deadline=wrong)


def test_without_a_deadline_an_attempt_has_ten_minutes(world):
    world.worker.answers.append(None)
    create(world, dispatch_deadline=dt.timedelta(0))
    world.worker.next()

    world.advance(599)
    assert world.counters().in_flight == 1
    world.advance(1)

    world.answered(attempts=1)


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        ({"relative_uri": "work"}, 'begin with "/"'),
        ({"relative_uri": "/a b"}, "spaces"),
        ({"relative_uri": "/" * 2084}, "2083"),
        ({"http_method": "PATCH", "body": b"x"}, "POST and PUT"),
        ({"http_method": 8}, "known method"),
        ({"headers": {"a b": "c"}}, "valid header"),
        ({"body": b"x" * 1_048_569}, "Task size too large"),
    ],
)
def test_a_request_that_can_never_be_sent_is_refused(world, request_, word):
    with refused("INVALID_ARGUMENT") as refusal:
        create(world, request=request_)

    assert word in refusal.text


def test_headers_that_belong_to_app_engine_are_replaced(world):
    create(world, "t", request={"headers": {"X-AppEngine-TaskName": "mine", "Host": "mine"}})

    arrival = world.worker.next()

    assert arrival["X-AppEngine-TaskName"] == "t"
    assert arrival["Host"] == urllib.parse.urlsplit(world.worker.url).netloc
    assert arrival.names.count("Host") == 1


def test_a_service_that_is_gone_after_a_restart_is_a_failed_attempt(loop, tmp_path, caplog):
    services = {"default": "http://127.0.0.1:1"}
    with tasks_world(loop, tmp_path / "state.db", app_engine=services) as world:
        with world.running():
            world.make_queue()
            world.client.pause_queue(name=QUEUE)
            create(world)
        services.clear()
        with world.running():
            world.client.resume_queue(name=QUEUE)
            world.answered(attempts=1)

            assert world.counters().failed == 1
    assert "--app-engine default=" in caplog.text

import datetime as dt
import re

import pytest
from aiohttp import web
from google.api_core.exceptions import NotFound
from google.cloud import tasks_v2

from tests.contract.tasks_world import QUEUE, START, tasks_world


@pytest.fixture
def world(loop, tmp_path):
    with tasks_world(loop, tmp_path / "state.db") as world, world.running():
        world.client.create_queue(parent=QUEUE.rpartition("/queues")[0], queue={"name": QUEUE})
        yield world


def set_retry(world, **retry):
    queue = tasks_v2.Queue(name=QUEUE, retry_config=tasks_v2.RetryConfig(**retry))
    world.client.update_queue(queue=queue, update_mask={"paths": ["retry_config"]})


def test_a_task_arrives_as_it_was_created_and_is_gone_once_answered(world):
    task = world.create(
        "hello",
        http_request={
            "http_method": "PUT",
            "headers": {"X-Order": "17", "content-TYPE": "text/plain"},
            "body": b"\x00body",
        },
    )

    arrival = world.worker.next()

    assert (arrival.method, arrival.path, arrival.body) == ("PUT", "/work", b"\x00body")
    assert "content-TYPE" in arrival.names
    assert arrival["X-Order"] == "17"
    world.answered(attempts=1)
    with pytest.raises(NotFound, match="The task no longer exists, though a task with this name"):
        world.client.get_task(name=task.name)


def test_only_the_documented_headers_are_added(world):
    world.create("bare")

    arrival = world.worker.next()

    assert arrival.headers[1:] == (
        ("User-Agent", "Google-Cloud-Tasks"),
        ("X-CloudTasks-QueueName", "mail"),
        ("X-CloudTasks-TaskName", "bare"),
        ("X-CloudTasks-TaskRetryCount", "0"),
        ("X-CloudTasks-TaskExecutionCount", "0"),
        ("X-CloudTasks-TaskETA", f"{int(START.timestamp())}.250000"),
        ("Content-Length", "0"),
    )
    assert arrival.names[0] == "Host"


def test_headers_that_belong_to_the_service_are_replaced(world):
    reserved = {
        "Host": "elsewhere",
        "User-Agent": "me",
        "Content-Length": "9",
        "X-Google-Secret": "1",
        "x-appengine-taskname": "1",
        "X-CloudTasks-TaskRetryCount": "99",
        "X-CloudTasks-TaskPreviousResponse": "99",
        "Transfer-Encoding": "chunked",
    }
    world.create(http_request={"headers": {**reserved, "X-Mine": "yes"}, "body": b"four"})

    arrival = world.worker.next()

    assert arrival["Host"] in world.worker.url
    assert arrival["User-Agent"] == "Google-Cloud-Tasks"
    assert arrival["Content-Length"] == "4"
    assert arrival["X-CloudTasks-TaskRetryCount"] == "0"
    assert arrival["X-Mine"] == "yes"
    assert len(arrival.names) == len(set(arrival.names))
    assert not {"X-Google-Secret", "x-appengine-taskname", "Transfer-Encoding"} & {*arrival.names}
    assert arrival["X-CloudTasks-TaskPreviousResponse"] is None


def test_the_headers_over_the_retries_are_those_measured_on_the_service(world):
    world.worker.answers.extend([503, 404, 429, 500, 302, 200])
    world.create()

    seen = []
    for attempt in range(1, 7):
        arrival = world.worker.next()
        seen.append(
            tuple(
                arrival[f"X-CloudTasks-Task{name}"]
                for name in ("RetryCount", "ExecutionCount", "PreviousResponse", "RetryReason")
            )
        )
        world.answered(attempts=attempt)
        world.advance(60)

    assert seen == [
        ("0", "0", None, None),
        ("1", "0", "503", ""),
        ("2", "1", "404", ""),
        ("3", "2", "429", ""),
        ("4", "2", "500", ""),
        ("5", "3", "302", ""),
    ]
    assert world.counters().succeeded == 1


def test_a_redirect_is_not_followed_and_counts_as_a_failure(world):
    world.worker.answers.append(web.Response(status=302, headers={"Location": "/other"}))
    world.create()

    assert world.worker.next().path == "/work"

    world.answered(attempts=1)
    assert world.counters().failed == 1
    assert world.worker.arrivals.empty()


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_completes_a_task(world, status):
    world.worker.answers.append(status)
    world.create()

    world.worker.next()

    world.answered(attempts=1)
    assert world.counters().succeeded == 1
    assert world.counters().queued == 0


def test_the_back_off_doubles_then_grows_linearly_then_stays(world):
    set_retry(
        world,
        min_backoff=dt.timedelta(seconds=10),
        max_backoff=dt.timedelta(seconds=300),
        max_doublings=3,
    )
    world.worker.answers.extend([500] * 9)
    world.create()

    world.worker.next()
    for attempt, delay in enumerate([10, 20, 40, 80, 160, 240, 300, 300], start=1):
        world.answered(attempts=attempt)
        world.advance(delay - 1)
        assert world.counters().attempts == attempt
        world.advance(1)
        assert world.worker.next()["X-CloudTasks-TaskRetryCount"] == str(attempt)


def test_retry_after_holds_back_the_retry_of_a_429(world):
    world.worker.answers.append(web.Response(status=429, headers={"Retry-After": "50"}))
    world.create()

    world.worker.next()
    world.answered(attempts=1)
    world.advance(49)
    assert world.counters().attempts == 1
    world.advance(1)
    world.worker.next()


def test_retry_after_never_shortens_the_back_off_and_means_nothing_on_a_500(world):
    set_retry(world, min_backoff=dt.timedelta(seconds=20))
    world.worker.answers.append(web.Response(status=503, headers={"Retry-After": "5"}))
    world.worker.answers.append(web.Response(status=500, headers={"Retry-After": "500"}))
    world.create()

    world.worker.next()
    world.answered(attempts=1)
    world.advance(19)
    assert world.counters().attempts == 1
    world.advance(1)
    world.worker.next()
    world.answered(attempts=2)
    world.advance(40)
    world.worker.next()


def test_a_task_that_is_out_of_attempts_is_deleted_and_its_name_stays_taken(world, caplog):
    set_retry(world, max_attempts=2)
    world.worker.answers.extend([500, 500])
    task = world.create("doomed")

    world.worker.next()
    world.answered(attempts=1)
    world.advance(1)
    world.worker.next()
    world.answered(attempts=2)
    world.advance(7200 - 3601)

    assert world.counters().exhausted == 1
    assert world.counters().queued == 0
    with pytest.raises(NotFound, match="no longer exists"):
        world.client.get_task(name=task.name)
    events = [record.event for record in caplog.records if hasattr(record, "event")]
    assert events == ["attempt_failed", "task_exhausted"]
    assert caplog.records[-1].queue == QUEUE
    assert caplog.records[-1].attempt == 2


def test_with_both_limits_set_retrying_stops_when_both_are_reached(world):
    set_retry(
        world,
        max_attempts=2,
        max_retry_duration=dt.timedelta(seconds=30),
        min_backoff=dt.timedelta(seconds=10),
        max_backoff=dt.timedelta(seconds=10),
    )
    world.worker.answers.extend([500] * 10)
    world.create()

    for attempt in range(1, 5):
        world.worker.next()
        world.answered(attempts=attempt)
        world.advance(10)

    assert world.counters().exhausted == 1
    assert world.counters().attempts == 4


def test_a_task_keeps_its_own_retry_config(world):
    world.worker.answers.extend([500] * 3)
    world.create(
        retry_config={"max_attempts": 2, "min_backoff": {"seconds": 7}, "max_doublings": 1}
    )

    world.worker.next()
    world.answered(attempts=1)
    world.advance(6)
    assert world.counters().attempts == 1
    world.advance(1)
    world.worker.next()
    world.answered(attempts=2)
    assert world.counters().exhausted == 1


def test_an_attempt_is_given_up_at_the_dispatch_deadline_while_the_worker_goes_on(world):
    world.worker.answers.append(None)
    task = world.create(dispatch_deadline={"seconds": 15})

    world.worker.next()
    world.advance(14.5)
    assert world.counters().in_flight == 1
    world.advance(0.5)
    world.answered(attempts=1)

    attempt = world.client.get_task(name=task.name).last_attempt
    assert attempt.response_status.code == 4
    world.advance(1)
    overlapping = world.worker.next()
    assert overlapping["X-CloudTasks-TaskPreviousResponse"] == "504"
    assert overlapping["X-CloudTasks-TaskRetryCount"] == "1"
    assert overlapping["X-CloudTasks-TaskExecutionCount"] == "0"


def test_the_default_deadline_is_ten_minutes(world):
    world.worker.answers.append(None)
    task = world.create()

    world.worker.next()
    world.advance(599)
    assert world.counters().in_flight == 1
    world.advance(1)
    world.answered(attempts=1)
    assert task.dispatch_deadline == dt.timedelta(minutes=10)


def test_a_worker_that_is_away_is_tried_again(world):
    task = world.create(http_request={"url": "http://127.0.0.1:1/nobody"})

    world.answered(attempts=1)

    shown = world.client.get_task(name=task.name)
    assert shown.dispatch_count == 1
    assert shown.response_count == 0
    assert shown.last_attempt.response_status.code == 2
    world.advance(0.1)
    world.answered(attempts=2)


def test_a_task_waits_for_its_schedule_time(world):
    at = START + dt.timedelta(hours=3)
    task = world.create(schedule_time=at)

    world.advance(3 * 3600 - 0.001)
    assert world.counters().attempts == 0
    world.advance(0.001)

    assert world.worker.next()["X-CloudTasks-TaskETA"] == f"{int(at.timestamp())}.250000"
    assert task.schedule_time == at


def test_a_task_scheduled_earlier_overtakes_one_that_waits(world):
    world.create("late", schedule_time=START + dt.timedelta(seconds=20))
    world.create("soon", schedule_time=START + dt.timedelta(seconds=10))

    world.advance(10)
    assert world.worker.next()["X-CloudTasks-TaskName"] == "soon"
    world.advance(10)
    assert world.worker.next()["X-CloudTasks-TaskName"] == "late"


def test_the_attempts_of_a_task_can_be_watched(world):
    world.worker.answers.extend([503, None])
    task = world.create()
    assert task.dispatch_count == 0

    world.worker.next()
    world.answered(attempts=1)
    failed = world.client.get_task(name=task.name)
    world.advance(1)
    world.worker.next()
    in_flight = world.client.get_task(name=task.name)

    assert (failed.dispatch_count, failed.response_count) == (1, 1)
    assert failed.first_attempt.dispatch_time == START
    assert not failed.first_attempt.response_time
    assert failed.last_attempt.schedule_time == START
    assert failed.last_attempt.dispatch_time == START
    assert failed.last_attempt.response_time == START
    assert failed.last_attempt.response_status.code == 14
    assert failed.last_attempt.response_status.message == "UNAVAILABLE(14): HTTP status code 503"
    assert failed.schedule_time == START + dt.timedelta(seconds=0.1)
    assert (in_flight.dispatch_count, in_flight.response_count) == (2, 1)
    assert in_flight.first_attempt.dispatch_time == START
    assert in_flight.last_attempt.dispatch_time == START + dt.timedelta(seconds=1)
    assert not in_flight.last_attempt.response_time


def test_each_attempt_carries_a_token_of_its_own(world):
    world.worker.answers.extend([500])
    account = "caller@shop.iam.gserviceaccount.com"
    world.create(
        http_request={
            "oidc_token": {"service_account_email": account, "audience": "https://mail.example"},
            "headers": {"Authorization": "Basic user"},
        }
    )

    first = world.worker.next()
    world.answered(attempts=1)
    world.advance(1)
    second = world.worker.next()

    assert first["Authorization"] == "Bearer token-1"
    assert second["Authorization"] == "Bearer token-2"
    assert world.minted == [(account, "https://mail.example")] * 2


def test_the_audience_of_a_token_is_by_default_the_whole_url(world):
    url = world.worker.url + "?order=1"
    world.create(http_request={"url": url, "oidc_token": {"service_account_email": "a@b.c"}})

    world.worker.next()

    assert world.minted == [("a@b.c", url)]


def test_an_access_token_is_opaque_and_another_for_each_attempt(world):
    world.worker.answers.extend([500])
    token = {"service_account_email": "a@b.c", "scope": "https://www.googleapis.com/auth/pubsub"}
    task = world.create(
        http_request={"oauth_token": token, "headers": {"Authorization": "Basic user"}}
    )

    first = world.worker.next()["Authorization"]
    world.answered(attempts=1)
    world.advance(1)
    second = world.worker.next()["Authorization"]

    assert task.http_request.oauth_token.scope == token["scope"]
    assert re.fullmatch(r"Bearer local\.[\w-]{64}", first)
    assert re.fullmatch(r"Bearer local\.[\w-]{64}", second)
    assert first != second
    assert world.minted == []


def test_a_user_s_own_authorization_passes(world):
    world.create(http_request={"headers": {"Authorization": "Basic user"}})

    assert world.worker.next()["Authorization"] == "Basic user"


def test_a_url_keeps_the_escapes_its_author_chose(world):
    world.create(http_request={"url": world.worker.url + "/a%2Fb%7e?x=%2f+y#part"})

    assert world.worker.next().path == "/work/a%2Fb%7e?x=%2f+y"


def test_deleting_a_task_in_flight_ends_its_retries(world):
    world.worker.answers.append(None)
    task = world.create()
    world.worker.next()

    world.client.delete_task(name=task.name)
    assert world.counters().queued == 0
    assert world.counters().in_flight == 1
    world.loop.call(world.worker.release.set)
    world.answered(attempts=1)
    world.advance(3600)

    assert world.counters().attempts == 1
    assert world.counters().queued == 0


def test_a_failure_that_arrives_after_the_deletion_changes_nothing(world):
    world.worker.answers.append(None)
    task = world.create(dispatch_deadline={"seconds": 15})
    world.worker.next()

    world.client.delete_task(name=task.name)
    world.advance(15)
    world.answered(attempts=1)
    world.advance(3600)

    assert world.counters().attempts == 1
    assert world.counters().exhausted == 0


def test_a_task_ends_with_the_retention_even_if_it_may_retry_for_ever(world):
    set_retry(world, max_attempts=-1, min_backoff=dt.timedelta(hours=1))
    world.worker.answers.extend([500] * 3)
    world.create()
    world.worker.next()
    world.answered(attempts=1)

    world.advance(31 * 86400)
    world.until(lambda counters: counters.exhausted == 1)

    assert world.counters().queued == 0


def test_many_failures_in_a_second_do_not_flood_the_log(world, caplog):
    world.worker.answers.extend([500] * 40)
    for _ in range(40):
        world.create()
    world.answered(attempts=40)
    world.advance(1)
    world.answered(attempts=80)
    world.worker.answers.append(500)
    world.create()
    world.answered(attempts=81)

    lines = [record for record in caplog.records if getattr(record, "event", "") != ""]
    assert len(lines) == 21
    assert lines[-1].held_back == 20


def test_every_task_that_is_given_up_is_reported(world, caplog):
    set_retry(world, max_attempts=1)
    world.worker.answers.extend([500] * 40)
    for _ in range(40):
        world.create()
    world.answered(attempts=40)

    events = [getattr(record, "event", "") for record in caplog.records]
    assert events.count("task_exhausted") == 40


def test_a_token_that_cannot_be_made_is_a_failed_attempt(world, caplog):
    world.mint_error = ValueError("no such account")
    task = world.create(http_request={"oidc_token": {"service_account_email": "a@b.c"}})

    world.answered(attempts=1)
    world.mint_error = None
    world.advance(1)

    assert world.worker.next()["Authorization"] == "Bearer token-2"
    assert "attempt_broken" in caplog.text
    assert task.name.rpartition("/")[2] in caplog.text


def test_no_answer_counts_as_a_retry_but_tells_no_previous_response(world):
    world.worker.answers.append(0)
    world.create()

    world.worker.next()
    world.answered(attempts=1)
    world.advance(1)
    retry = world.worker.next()

    assert retry["X-CloudTasks-TaskRetryCount"] == "1"
    assert retry["X-CloudTasks-TaskExecutionCount"] == "0"
    assert retry["X-CloudTasks-TaskPreviousResponse"] is None
    assert retry["X-CloudTasks-TaskRetryReason"] == ""


@pytest.fixture
def throttled(loop, tmp_path):
    with tasks_world(loop, tmp_path / "state.db", throttles=True) as world, world.running():
        world.make_queue(rate_limits={"max_dispatches_per_second": 50})
        yield world


def attempts(world, seconds):
    """Return how many attempts begin while the clock moves on second by second."""
    before = world.counters().attempts
    for _ in range(seconds * 10):
        world.advance(0.1)
        world.until(lambda counters: not counters.in_flight)
    return world.counters().attempts - before


def test_a_queue_slows_down_while_its_worker_is_unavailable_and_recovers(throttled):
    throttled.worker.answers.extend([503] * 200)
    for _ in range(800):
        throttled.create(retry_config={"max_attempts": 1})
    throttled.until(lambda counters: not counters.in_flight)

    slow = attempts(throttled, 8)
    throttled.worker.answers.clear()
    attempts(throttled, 15)
    fast = attempts(throttled, 4)

    assert slow < 8 * 50 / 4
    assert 4 * 45 <= fast <= 4 * 55


def test_retry_after_holds_the_whole_queue_back(throttled):
    throttled.worker.answers.append(web.Response(status=429, headers={"Retry-After": "50"}))
    throttled.create()
    throttled.worker.next()
    throttled.answered(attempts=1)
    throttled.create("other")

    throttled.advance(49)
    assert throttled.counters().attempts == 1
    throttled.advance(1)

    throttled.answered(attempts=3)


def test_without_throttling_a_429_holds_back_only_its_own_task(world):
    world.worker.answers.append(web.Response(status=429, headers={"Retry-After": "50"}))
    world.create()
    world.worker.next()
    world.answered(attempts=1)

    world.create("other")

    assert world.worker.next()["X-CloudTasks-TaskName"] == "other"


@pytest.mark.parametrize(
    ("max_attempts", "seconds", "made"),
    [(3, 0, 3), (-1, 25, 4), (2, 25, 4), (5, 25, 5), (1, 0, 1)],
)
def test_retrying_stops_as_the_documented_table_says(world, max_attempts, seconds, made):
    set_retry(
        world,
        max_attempts=max_attempts,
        max_retry_duration=dt.timedelta(seconds=seconds),
        min_backoff=dt.timedelta(seconds=10),
        max_backoff=dt.timedelta(seconds=10),
    )
    world.worker.answers.extend([500] * 20)
    world.create()

    for attempt in range(1, made + 1):
        world.answered(attempts=attempt)
        world.advance(10)

    assert world.counters().exhausted == 1
    assert world.counters().attempts == made

import datetime as dt
import itertools
import re

import pytest
from google.api_core.exceptions import Aborted
from google.cloud import tasks_v2

from tests.contract.tasks_world import LOCATION, QUEUE, START, tasks_world
from tests.support import refused

FULL = tasks_v2.Task.View.FULL
TOO_LONG = "HttpRequest.url must be at most 2083 characters after encoding."
GONE = (
    "The task no longer exists, though a task with this name existed recently. "
    "The task either successfully completed or was deleted."
)


@pytest.fixture(params=["grpc", "rest"])
def world(request, loop, tmp_path):
    with (
        tasks_world(loop, tmp_path / "state.db", transport=request.param) as world,
        world.running(),
    ):
        world.make_queue()
        world.client.pause_queue(name=QUEUE)
        yield world


def refusal(call, *args, **kwargs):
    with refused("INVALID_ARGUMENT") as caught:
        call(*args, **kwargs)
    return caught.text


def test_a_task_without_a_name_is_given_a_number(world):
    name = world.create().name

    assert name.startswith(f"{QUEUE}/tasks/")
    assert name.rpartition("/")[2].isdecimal()
    assert 18 <= len(name.rpartition("/")[2]) <= 20


def test_a_created_task_is_shown_with_its_defaults_and_times_truncated(world):
    task = world.create(http_request={"body": b"secret", "headers": {"A": "b"}})

    assert task.http_request.http_method == tasks_v2.HttpMethod.POST
    assert task.dispatch_deadline == dt.timedelta(minutes=10)
    assert task.create_time == START.replace(microsecond=0)
    assert task.schedule_time == START
    assert task.view == tasks_v2.Task.View.BASIC
    assert task.dispatch_count == 0


def test_only_the_full_view_has_the_body(world):
    task = world.create(http_request={"body": b"secret", "headers": {"A": "b"}})

    basic = world.client.get_task(name=task.name)
    full = world.client.get_task(request={"name": task.name, "response_view": FULL})

    assert (task.http_request.body, basic.http_request.body) == (b"", b"")
    assert basic.http_request.headers == {"A": "b", "User-Agent": "Google-Cloud-Tasks"}
    assert full.http_request.body == b"secret"
    assert full.view == FULL


def test_a_time_in_the_past_becomes_now_and_nanoseconds_are_cut(world):
    past = world.create(schedule_time=START - dt.timedelta(days=1))
    precise = world.create(
        schedule_time={"seconds": int(START.timestamp()) + 60, "nanos": 123_456_789}
    )

    assert past.schedule_time == START
    assert precise.schedule_time.nanosecond == 123_456_000


def test_a_deadline_is_truncated_to_the_millisecond(world):
    task = world.create(dispatch_deadline={"seconds": 20, "nanos": 5_999_999})

    assert task.dispatch_deadline == dt.timedelta(seconds=20, milliseconds=5)


def test_what_the_service_alone_may_set_is_ignored(world):
    task = world.create(dispatch_count=7, view=FULL, create_time=START - dt.timedelta(days=9))

    assert task.dispatch_count == 0
    assert task.create_time == START.replace(microsecond=0)


@pytest.mark.parametrize("task_id", ["", "a" * 501, "dot.ted", "sp ace", "ünicode"])
def test_a_bad_task_id_is_refused_in_the_service_s_words(world, task_id):
    message = refusal(
        world.client.create_task,
        parent=QUEUE,
        task={"name": f"{QUEUE}/tasks/{task_id}", "http_request": {"url": world.worker.url}},
    )

    assert message == (
        f'Task ID "{task_id}" can contain only letters ([A-Za-z]), numbers ([0-9]), '
        "hyphens (-), or underscores (_). Task ID must between 1 and 500 characters."
    )


def test_the_longest_task_id_is_accepted(world):
    assert world.create("a" * 500).name.endswith("a" * 500)


def test_a_name_in_another_queue_is_refused(world):
    message = refusal(
        world.client.create_task,
        parent=QUEUE,
        task={"name": f"{QUEUE}2/tasks/t", "http_request": {"url": world.worker.url}},
    )

    assert message == (
        f"The queue name from request ('{QUEUE}') must be the same as "
        f"the queue name in the named task ('{QUEUE}2')."
    )


@pytest.mark.parametrize("world", ["grpc"], indirect=True)  # over REST the client itself refuses
@pytest.mark.parametrize("name", ["t", f"{QUEUE}/t", f"{QUEUE}/tasks/a/b"])
def test_a_name_that_is_no_task_name_is_refused(world, name):
    assert "Task name must be formatted" in refusal(world.client.get_task, name=name)


@pytest.mark.parametrize(
    ("request_fields", "message"),
    [
        ({"url": ""}, "HttpRequest.url is required."),
        ({"url": "ftp://x"}, "HttpTarget.url must start with 'http://' or 'https://'."),
        ({"url": "http://x/" + "a" * 2075}, TOO_LONG),
        ({"url": "http://x/" + "ü" * 346}, TOO_LONG),
        (
            {"http_method": "GET", "body": b"x"},
            "HttpRequest.body is allowed only for the methods POST, PUT and PATCH.",
        ),
        (
            {"headers": {"A": "x" * 81920}},
            "HttpRequest.headers must be less than 80 KB in total.",
        ),
        ({"http_method": 8}, "HttpRequest.httpMethod is not a known method."),
        ({"headers": {"A": "x\r\nB: y"}}, "HttpRequest.headers: 'A' is not a valid header."),
        (
            {"oidc_token": {"audience": "x"}},
            "HttpRequest.oidcToken.serviceAccountEmail is required.",
        ),
        (
            {"oauth_token": {"scope": "x"}},
            "HttpRequest.oauthToken.serviceAccountEmail is required.",
        ),
        ({"body": b"x" * 1_048_569}, "Task size too large"),
    ],
)
def test_a_request_that_can_never_be_sent_is_refused(world, request_fields, message):
    assert refusal(world.create, http_request=request_fields) == message


def test_a_task_just_within_the_size_limit_is_accepted(world):
    tried = world.create("a", http_request={"body": b"x" * 1_000_000})
    full = world.client.get_task(request={"name": tried.name, "response_view": FULL})
    full.view = 0
    room = 1_048_569 - tasks_v2.Task.pb(full).ByteSize()

    world.create("b", http_request={"body": b"x" * (1_000_000 + room)})

    message = refusal(world.create, "c", http_request={"body": b"x" * (1_000_001 + room)})
    assert message == "Task size too large"


@pytest.mark.parametrize("url", ["http://x/" + "a" * 2074, "http://x/" + "ü" * 345])
def test_a_url_may_be_as_long_as_documented(world, url):
    assert world.create(http_request={"url": url}).http_request.url == url


@pytest.mark.parametrize("seconds", [0, 14, 1801])
def test_a_deadline_out_of_bounds_is_refused(world, seconds):
    message = refusal(world.create, dispatch_deadline={"seconds": seconds})

    assert message == "Task.dispatchDeadline must be between [15s, 30m]."


def test_a_schedule_time_beyond_thirty_days_is_refused(world):
    world.create(schedule_time=START + dt.timedelta(days=30))

    message = refusal(world.create, schedule_time=START + dt.timedelta(days=30, seconds=1))

    assert message == (
        "The Task.scheduleTime, 2026-12-23T04:00:01.250000-08:00, is too far in the future. "
        "Schedule time must be no more than 720h in the future."
    )


@pytest.mark.parametrize("world", ["grpc"], indirect=True)  # JSON has no such year
def test_a_schedule_time_beyond_all_calendars_is_refused_alike(world):
    message = refusal(world.create, schedule_time={"seconds": 300_000_000_000})

    assert "9999-12-31T15:59:59-08:00, is too far in the future" in message


def test_a_retry_config_out_of_bounds_is_refused(world):
    message = refusal(world.create, retry_config={"max_attempts": -2})

    assert message == "RetryConfig.maxAttempts must be greater or equal to -1."


def test_a_task_without_a_target_is_refused(world):
    assert "Task.http_request is required." in refusal(
        world.client.create_task, parent=QUEUE, task={}
    )


def test_a_name_stays_taken_while_the_task_lives_and_for_the_tombstone_s_time(world):
    task = world.create("once")

    with refused("ALREADY_EXISTS", "Requested entity already exists"):
        world.create("once")
    world.client.delete_task(name=task.name)
    world.advance(3600)
    with refused("ALREADY_EXISTS"):
        world.create("once")
    world.advance(1)
    assert world.create("once").name == task.name


def test_the_tombstone_s_time_can_be_set(loop, tmp_path):
    day = dt.timedelta(hours=24)
    with tasks_world(loop, tmp_path / "state.db", tombstone=day) as world, world.running():
        world.make_queue()
        world.create("once")
        world.worker.next()
        world.answered(attempts=1)

        world.advance(86400)
        with refused("ALREADY_EXISTS"):
            world.create("once")
        world.advance(1)
        world.create("once")


def test_the_same_name_in_two_queues_is_two_tasks(world):
    other = f"{LOCATION}/queues/other"
    world.make_queue(other)

    assert world.create("once").name != world.create("once", queue=other).name


def test_a_task_that_never_existed_and_one_that_is_gone_are_distinguished(world):
    task = world.create("gone")
    world.client.delete_task(name=task.name)

    for call in (world.client.get_task, world.client.delete_task, world.client.run_task):
        with refused("NOT_FOUND", GONE):
            call(name=task.name)
        with refused("NOT_FOUND", "Requested entity was not found."):
            call(name=f"{QUEUE}/tasks/never")


def test_tasks_are_listed_page_by_page(world):
    names = [world.create(f"t{n}").name for n in range(5)]

    pages = list(world.client.list_tasks(request={"parent": QUEUE, "page_size": 2}).pages)

    assert [[task.name for task in page.tasks] for page in pages] == [
        names[:2],
        names[2:4],
        names[4:],
    ]


def test_a_page_of_large_tasks_is_shorter_than_asked_for(world):
    for _ in range(5):
        world.create(http_request={"body": b"x" * 1_000_000})

    listed = list(world.client.list_tasks(request={"parent": QUEUE, "response_view": FULL}))

    assert [len(task.http_request.body) for task in listed] == [1_000_000] * 5


def test_a_page_token_that_is_old_foreign_or_made_up_is_refused(world):
    other = f"{LOCATION}/queues/other"
    world.make_queue(other)
    world.create()
    world.create()
    page = next(iter(world.client.list_tasks(request={"parent": QUEUE, "page_size": 1}).pages))

    def listing(parent, token):
        return refusal(world.client.list_tasks, request={"parent": parent, "page_token": token})

    assert "page token" in listing(QUEUE, "made up")
    assert "page token" in listing(other, page.next_page_token)
    world.advance(7201)
    assert "page token" in listing(QUEUE, page.next_page_token)
    assert "negative" in refusal(
        world.client.list_tasks, request={"parent": QUEUE, "page_size": -1}
    )


def batch(world, *names, parent=QUEUE, request_id=""):
    return tasks_v2.BatchCreateTasksRequest(
        parent=QUEUE,
        request_id=request_id,
        requests=[
            {
                "parent": parent,
                "task": {"name": name, "http_request": {"url": world.worker.url}},
            }
            for name in names
        ],
    )


def test_a_batch_creates_its_tasks_and_is_done_when_it_returns(world):
    operation = world.client.batch_create_tasks(batch(world, "", f"{QUEUE}/tasks/b"), timeout=20)

    assert operation.operation.done
    assert len(operation.result().tasks) == 2
    assert operation.metadata.state == tasks_v2.BatchCreateTasksMetadata.State.SUCCEEDED
    assert operation.metadata.start_time == START
    assert world.client.get_task(name=f"{QUEUE}/tasks/b").dispatch_count == 0
    assert world.counters().created == 2


def test_a_batch_may_succeed_in_part(world):
    world.create("b")

    operation = world.client.batch_create_tasks(
        batch(world, f"{QUEUE}/tasks/a", f"{QUEUE}/tasks/b", f"{QUEUE}/tasks/a")
    )

    state = tasks_v2.BatchCreateTasksMetadata.State.PARTIALLY_SUCCEEDED
    assert operation.metadata.state == state
    assert [task.name for task in operation.result().tasks] == [f"{QUEUE}/tasks/a"]
    failed = operation.metadata.failed_requests
    assert {index: status.code for index, status in failed.items()} == {1: 6, 2: 6}
    assert failed[1].message == "Requested entity already exists"


def test_a_batch_of_which_nothing_succeeded_is_an_error(world):
    world.create("b")

    operation = world.client.batch_create_tasks(batch(world, f"{QUEUE}/tasks/b"))

    assert operation.metadata.state == tasks_v2.BatchCreateTasksMetadata.State.FAILED
    with pytest.raises(Aborted, match="None of the requests succeeded"):
        operation.result()


def test_a_batch_sent_again_with_its_request_id_is_answered_as_before(world):
    first = world.client.batch_create_tasks(batch(world, "", request_id="r-1"))
    again = world.client.batch_create_tasks(batch(world, "", request_id="r-1"))

    assert again.operation == first.operation
    assert world.counters().created == 1


def test_a_batch_must_be_of_one_queue_and_not_too_long(world):
    create = world.client.batch_create_tasks

    assert "parent" in refusal(create, batch(world, "", parent=f"{QUEUE}2"))
    assert "between 1 and 100" in refusal(create, batch(world))
    assert "between 1 and 100" in refusal(create, batch(world, *[""] * 101))
    assert len(create(batch(world, *[""] * 100)).result().tasks) == 100
    names = [f"{QUEUE}/tasks/t{n}" for n in range(1001)]
    delete = world.client.batch_delete_tasks
    assert "between 1 and 1000" in refusal(delete, request={"parent": QUEUE, "names": names})


def test_a_page_has_a_thousand_tasks_at_most(world):
    for _ in range(10):
        world.client.batch_create_tasks(batch(world, *[""] * 100))
    world.create()

    pages = world.client.list_tasks(request={"parent": QUEUE, "page_size": 5000}).pages

    assert [len(page.tasks) for page in pages] == [1000, 1]


def test_a_batch_of_deletions_reports_each_failure(world):
    names = [world.create(f"t{n}").name for n in range(2)]
    missing = f"{QUEUE}/tasks/missing"

    operation = world.client.batch_delete_tasks(
        request={"parent": QUEUE, "names": [names[0], missing, names[1]]}
    )

    state = tasks_v2.BatchDeleteTasksMetadata.State.PARTIALLY_SUCCEEDED
    assert operation.metadata.state == state
    assert set(operation.metadata.failed_requests) == {1}
    assert list(world.client.list_tasks(parent=QUEUE)) == []


def test_a_made_id_that_is_taken_is_not_used_twice(loop, tmp_path):
    numbers = itertools.count(1)
    ids = (str(n // 2) for n in numbers)
    with tasks_world(loop, tmp_path / "s.db", new_id=ids.__next__) as world, world.running():
        world.make_queue()

        names = [world.create().name.rpartition("/")[2] for _ in range(3)]

    assert names == ["0", "1", "2"]


def test_a_batch_that_was_answered_can_be_asked_for_again(world):
    operation = world.client.batch_create_tasks(batch(world, "")).operation

    assert world.client.get_operation({"name": operation.name}) == operation
    with refused("NOT_FOUND", "Requested entity was not found."):
        world.client.get_operation({"name": f"{LOCATION}/operations/never"})


@pytest.mark.parametrize("world", ["grpc"], indirect=True)
def test_a_call_may_not_be_given_more_than_thirty_seconds(world):
    task = {"http_request": {"url": world.worker.url}}

    world.client.create_task(parent=QUEUE, task=task, timeout=29)
    world.client.create_task(parent=QUEUE, task=task, timeout=None)
    with refused("INVALID_ARGUMENT") as refusal:
        world.client.create_task(parent=QUEUE, task=task, timeout=60)

    assert re.fullmatch(
        r"The request deadline is 20[-0-9]+T[:.0-9]+-0[78]:00\. "
        r"The deadline cannot be more than 30s in the future\.",
        refusal.text,
    )


def test_a_url_that_cannot_be_escaped_is_accepted_and_fails_when_it_is_sent(world):
    task = world.create(http_request={"url": "http://127.0.0.1:1/%zz"})

    assert world.client.get_task(name=task.name).http_request.url.endswith("%zz")


def test_the_user_agent_is_shown_as_it_will_be_sent(world):
    task = world.create(http_request={"headers": {"user-agent": "me", "x-Own": "1"}})

    assert task.http_request.headers == {"x-Own": "1", "User-Agent": "Google-Cloud-Tasks"}


def test_a_task_s_own_retry_duration_is_cut_to_the_second(world):
    retry = {"max_retry_duration": {"seconds": 3, "nanos": 900_000_000}}

    task = world.create(retry_config=retry)

    assert task.retry_config.max_retry_duration == dt.timedelta(seconds=3)

import datetime as dt

import pytest
from google.cloud import tasks_v2

from tests.contract.tasks_world import LOCATION, QUEUE, START, tasks_world
from tests.support import refused

MISSING = (
    "Queue does not exist. If you just created the queue, "
    "wait at least a minute for the queue to initialize."
)


@pytest.fixture(params=["grpc", "rest"])
def world(request, loop, tmp_path):
    with (
        tasks_world(loop, tmp_path / "state.db", transport=request.param) as world,
        world.running(),
    ):
        yield world


def test_a_queue_has_the_documented_defaults(world):
    queue = world.make_queue()

    assert queue.name == QUEUE
    assert queue.state == tasks_v2.Queue.State.RUNNING
    assert queue.rate_limits.max_dispatches_per_second == 500
    assert queue.rate_limits.max_burst_size == 100
    assert queue.rate_limits.max_concurrent_dispatches == 1000
    assert queue.retry_config.max_attempts == 100
    assert queue.retry_config.min_backoff == dt.timedelta(seconds=0.1)
    assert queue.retry_config.max_backoff == dt.timedelta(hours=1)
    assert queue.retry_config.max_doublings == 16
    assert "max_retry_duration" not in queue.retry_config
    assert not queue.purge_time
    assert world.client.get_queue(name=QUEUE) == queue


def test_a_queue_can_be_made_sure_of_without_the_api(world):
    world.loop.call(lambda: world.server.ensure_queue(QUEUE))
    world.client.pause_queue(name=QUEUE)
    world.loop.call(lambda: world.server.ensure_queue(QUEUE))

    assert world.client.get_queue(name=QUEUE).state == tasks_v2.Queue.State.PAUSED


def test_a_queue_name_is_taken_while_it_exists_and_for_days_after(world):
    world.make_queue()

    with refused("ALREADY_EXISTS", "Queue already exists"):
        world.make_queue()
    world.client.delete_queue(name=QUEUE)
    too_recent = "The queue cannot be created because a queue with this name existed too recently."
    with refused("FAILED_PRECONDITION", too_recent):
        world.make_queue()
    with refused("FAILED_PRECONDITION", too_recent):
        world.client.update_queue(queue={"name": QUEUE})
    world.advance(3 * 86400 + 1)
    assert world.make_queue().name == QUEUE


def test_a_queue_that_configuration_asks_for_ignores_its_own_tombstone(world):
    world.make_queue()
    world.client.delete_queue(name=QUEUE)

    world.loop.call(lambda: world.server.ensure_queue(QUEUE))

    assert world.client.get_queue(name=QUEUE).name == QUEUE


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"rate_limits": {"max_dispatches_per_second": 501}},
            "RateLimits.maxDispatchesPerSecond must be less than or equal to 500.",
        ),
        (
            {"rate_limits": {"max_dispatches_per_second": -1}},
            "RateLimits.maxDispatchesPerSecond cannot be negative.",
        ),
        (
            {"rate_limits": {"max_concurrent_dispatches": 5001}},
            "RateLimits.maxConcurrentDispatches must be less than or equal to 5000.",
        ),
        (
            {"rate_limits": {"max_concurrent_dispatches": -1}},
            "RateLimits.maxConcurrentDispatches cannot be negative.",
        ),
        (
            {"retry_config": {"max_attempts": -2}},
            "RetryConfig.maxAttempts must be greater or equal to -1.",
        ),
        (
            {"retry_config": {"max_doublings": -1}},
            "RetryConfig.maxDoublings cannot be negative.",
        ),
        (
            {"retry_config": {"min_backoff": {"seconds": -1}}},
            "RetryConfig.minBackoff cannot be negative.",
        ),
        (
            {"retry_config": {"min_backoff": {"seconds": 9}, "max_backoff": {"seconds": 8}}},
            "RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff.",
        ),
        (
            {"stackdriver_logging_config": {"sampling_ratio": 1.5}},
            "StackdriverLoggingConfig.samplingRatio must be between 0.0 and 1.0.",
        ),
    ],
)
def test_settings_out_of_bounds_are_refused_in_the_service_s_words(world, settings, message):
    with refused("INVALID_ARGUMENT", message):
        world.make_queue(**settings)
    with refused("NOT_FOUND"):
        world.client.get_queue(name=QUEUE)


@pytest.mark.parametrize(
    "name",
    [
        "mail",
        f"{LOCATION}/queues/",
        f"{LOCATION}/queues/{'q' * 101}",
        f"{LOCATION}/queues/under_score",
        "projects/other/locations/europe-west1/queues/mail",
    ],
)
def test_a_bad_queue_name_is_refused(world, name):
    with refused("INVALID_ARGUMENT") as refusal:
        world.make_queue(name)
    if "/queues/" not in name:
        assert refusal.text == (
            "Queue name must be formatted: "
            '"projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>".'
        )


def test_every_call_on_a_missing_queue_says_so(world):
    client = world.client

    for call in (
        client.get_queue,
        client.pause_queue,
        client.resume_queue,
        client.purge_queue,
    ):
        with refused("NOT_FOUND", MISSING):
            call(name=QUEUE)
    with refused("NOT_FOUND", MISSING):
        world.create()
    with refused("NOT_FOUND", "Requested entity was not found."):
        client.delete_queue(name=QUEUE)


def test_a_mask_updates_only_what_it_names(world):
    world.make_queue(retry_config={"max_attempts": 7})
    changes = tasks_v2.Queue(
        name=QUEUE,
        state=tasks_v2.Queue.State.PAUSED,
        rate_limits={"max_dispatches_per_second": 20, "max_concurrent_dispatches": 3},
        retry_config={"max_attempts": 9},
    )

    queue = world.client.update_queue(
        queue=changes, update_mask={"paths": ["rate_limits.max_dispatches_per_second", "state"]}
    )

    assert queue.rate_limits.max_dispatches_per_second == 20
    assert queue.rate_limits.max_burst_size == 10
    assert queue.rate_limits.max_concurrent_dispatches == 1000
    assert queue.retry_config.max_attempts == 7
    assert queue.state == tasks_v2.Queue.State.RUNNING


def test_without_a_mask_an_update_sets_everything_but_the_state(world):
    world.make_queue(retry_config={"max_attempts": 7})
    world.client.pause_queue(name=QUEUE)

    queue = world.client.update_queue(
        queue={"name": QUEUE, "rate_limits": {"max_dispatches_per_second": 100}}
    )

    assert queue.rate_limits.max_dispatches_per_second == 100
    assert queue.retry_config.max_attempts == 100
    assert queue.state == tasks_v2.Queue.State.PAUSED


def test_an_update_makes_a_queue_that_is_missing(world):
    queue = world.client.update_queue(queue={"name": QUEUE, "retry_config": {"max_attempts": 5}})

    assert queue.retry_config.max_attempts == 5
    assert world.client.get_queue(name=QUEUE) == queue


def test_a_queue_s_retry_duration_is_cut_to_the_second_and_its_back_off_is_not(world):
    queue = world.make_queue(
        retry_config={
            "max_retry_duration": dt.timedelta(seconds=7.9),
            "min_backoff": dt.timedelta(seconds=0.25),
        }
    )

    assert queue.retry_config.max_retry_duration == dt.timedelta(seconds=7)
    assert queue.retry_config.min_backoff == dt.timedelta(seconds=0.25)


def test_a_mask_that_names_no_field_is_refused(world):
    world.make_queue()

    with refused("INVALID_ARGUMENT"):
        world.client.update_queue(queue={"name": QUEUE}, update_mask={"paths": ["speed"]})


def test_queues_are_listed_by_location_and_page(world):
    names = [f"{LOCATION}/queues/q{n}" for n in range(5)]
    for name in reversed(names):
        world.make_queue(name)
    elsewhere = "projects/shop/locations/us-central1"
    world.client.create_queue(parent=elsewhere, queue={"name": f"{elsewhere}/queues/q9"})

    pages = world.client.list_queues(request={"parent": LOCATION, "page_size": 2}).pages

    assert [[queue.name for queue in page.queues] for page in pages] == [
        names[:2],
        names[2:4],
        names[4:],
    ]


def listed(world, filter_):
    request = {"parent": LOCATION, "filter": filter_, "page_size": 2}
    return [queue.name.rpartition("/")[2] for queue in world.client.list_queues(request=request)]


def test_a_filter_leaves_the_queues_that_match_it(world):
    for number in range(5):
        name = f"{LOCATION}/queues/q{number}"
        world.make_queue(name, rate_limits={"max_dispatches_per_second": 10 * (number + 1)})
        if number % 2 == 0:
            world.client.pause_queue(name=name)

    assert listed(world, "state: PAUSED") == ["q0", "q2", "q4"]
    assert listed(world, "rateLimits.maxDispatchesPerSecond >= 40") == ["q3", "q4"]
    assert listed(world, f'name = "{LOCATION}/queues/q3"') == ["q3"]
    assert listed(world, 'state: DISABLED OR name: "queues/Q1"') == ["q1"]


def test_a_page_token_belongs_to_its_filter(world):
    for number in range(3):
        world.make_queue(f"{LOCATION}/queues/q{number}")
    request = {"parent": LOCATION, "filter": "state: RUNNING", "page_size": 2}
    token = world.client.list_queues(request=request).next_page_token

    with refused("INVALID_ARGUMENT", "The page token is invalid or has expired."):
        world.client.list_queues(request={**request, "filter": "", "page_token": token})
    assert world.client.list_queues(request={**request, "page_token": token}).queues[0]


def test_a_filter_that_cannot_be_read_is_refused(world):
    with refused("INVALID_ARGUMENT", "The filter names 'speed', which is not a field of a queue."):
        world.client.list_queues(request={"parent": LOCATION, "filter": "speed > 5"})


def test_a_location_has_room_for_a_thousand_queues(world):
    def fill():
        for number in range(1000):
            world.server.ensure_queue(f"{LOCATION}/queues/q{number}")

    world.loop.call(fill)

    with refused("RESOURCE_EXHAUSTED"):
        world.make_queue()


def test_a_paused_queue_takes_tasks_and_dispatches_them_when_it_resumes(world):
    world.make_queue()
    assert world.client.pause_queue(name=QUEUE).state == tasks_v2.Queue.State.PAUSED
    world.create("patient")
    world.advance(60)
    assert world.counters().attempts == 0

    assert world.client.resume_queue(name=QUEUE).state == tasks_v2.Queue.State.RUNNING

    assert world.worker.next()["X-CloudTasks-TaskName"] == "patient"


def test_run_task_heeds_neither_pause_nor_limits_nor_schedule(world):
    world.make_queue(rate_limits={"max_concurrent_dispatches": 1})
    world.worker.answers.extend([None, None])
    busy = world.create("busy")
    world.worker.next()
    world.client.pause_queue(name=QUEUE)
    later = world.create("later", schedule_time=START + dt.timedelta(days=2))

    shown = world.client.run_task(name=later.name)
    again = world.client.run_task(name=busy.name)

    assert shown.dispatch_count == 1
    assert again.dispatch_count == 2
    arrived = {world.worker.next()["X-CloudTasks-TaskName"] for _ in range(2)}
    assert arrived == {"later", "busy"}


def test_a_retry_after_run_task_counts_from_the_call(world):
    world.make_queue(retry_config={"min_backoff": {"seconds": 100}})
    world.client.pause_queue(name=QUEUE)
    world.worker.answers.append(None)
    task = world.create(
        schedule_time=START + dt.timedelta(days=2), dispatch_deadline={"seconds": 30}
    )

    world.client.run_task(name=task.name)
    world.worker.next()
    world.advance(30)
    world.answered(attempts=1)

    shown = world.client.get_task(name=task.name)
    assert shown.schedule_time == START + dt.timedelta(seconds=100)
    world.client.resume_queue(name=QUEUE)
    world.advance(69)
    assert world.counters().attempts == 1
    world.advance(1)
    world.worker.next()


def test_a_task_that_was_run_early_does_not_run_again_at_its_time(world):
    world.make_queue()
    task = world.create(schedule_time=START + dt.timedelta(hours=1))

    world.client.run_task(name=task.name)
    world.answered(attempts=1)
    world.advance(7200)

    assert world.counters().attempts == 1


def test_a_task_that_is_due_while_it_was_run_by_hand_is_not_dispatched_beside(world):
    world.make_queue()
    world.client.pause_queue(name=QUEUE)
    world.worker.answers.append(None)
    task = world.create()

    world.client.run_task(name=task.name)
    world.worker.next()
    world.client.resume_queue(name=QUEUE)
    world.advance(60)

    assert world.counters().attempts == 1


def test_nothing_that_is_being_purged_is_dispatched_meanwhile(world):
    world.make_queue()
    world.client.pause_queue(name=QUEUE)
    world.create("old")
    store, dispatcher = world.server._store, world.server._dispatcher
    world.loop.call(lambda: dispatcher.purge(QUEUE, store.last_id))
    world.create("new")

    world.client.resume_queue(name=QUEUE)

    world.answered(attempts=1)
    assert world.worker.next()["X-CloudTasks-TaskName"] == "new"
    assert world.worker.arrivals.empty()


def test_a_purge_deletes_what_was_created_before_it(world):
    world.make_queue()
    world.client.pause_queue(name=QUEUE)
    old = [world.create(f"old-{n}") for n in range(3)]
    world.advance(1)

    queue = world.client.purge_queue(name=QUEUE)
    world.create("new")
    world.client.resume_queue(name=QUEUE)

    assert queue.purge_time == START + dt.timedelta(seconds=1)
    assert queue.state == tasks_v2.Queue.State.PAUSED
    assert world.worker.next()["X-CloudTasks-TaskName"] == "new"
    world.answered(attempts=1)
    with refused("NOT_FOUND"):
        world.client.get_task(name=old[0].name)
    assert world.counters().queued == 0


def test_a_purge_ends_the_retries_of_what_is_in_flight(world):
    world.make_queue()
    world.worker.answers.append(None)
    world.create(dispatch_deadline={"seconds": 15})
    world.worker.next()

    world.client.purge_queue(name=QUEUE)
    world.advance(15)
    world.answered(attempts=1)
    world.advance(3600)

    assert world.counters().attempts == 1
    assert world.counters().queued == 0


def test_deleting_a_queue_takes_its_tasks_with_it(world):
    world.make_queue()
    world.worker.answers.append(None)
    world.create(dispatch_deadline={"seconds": 15})
    world.worker.next()
    task = world.create(schedule_time=START + dt.timedelta(seconds=5))

    world.client.delete_queue(name=QUEUE)
    world.advance(3600)
    world.answered(attempts=1)

    assert world.counters().queued == 0
    with refused("NOT_FOUND"):
        world.client.get_task(name=task.name)
    with refused("NOT_FOUND"):
        world.client.list_tasks(parent=QUEUE)


def test_the_bucket_bounds_the_rate_of_dispatches(world):
    world.make_queue(rate_limits={"max_dispatches_per_second": 4})
    for _ in range(25):
        world.create()

    world.settle()
    assert world.counters().attempts == 10
    world.advance(0.2)
    assert world.counters().attempts == 10
    world.advance(0.05)
    assert world.counters().attempts == 11
    for second in range(1, 4):
        for _ in range(4):
            world.advance(0.25)
        assert world.counters().attempts == 11 + 4 * second


def test_an_idle_queue_saves_up_one_burst_and_no_more(world):
    world.make_queue(rate_limits={"max_dispatches_per_second": 4})
    for _ in range(15):
        world.create()
    world.settle()
    assert world.counters().attempts == 10

    world.advance(3600)
    assert world.counters().attempts == 15
    world.answered(attempts=15)
    world.advance(3600)
    for _ in range(15):
        world.create()
    world.settle()
    assert world.counters().attempts == 25


def test_only_so_many_dispatches_are_outstanding(world):
    world.make_queue(rate_limits={"max_concurrent_dispatches": 2})
    world.worker.answers.extend([None] * 5)
    for _ in range(5):
        world.create()
    world.worker.next()
    world.worker.next()

    world.advance(60)
    assert world.counters().in_flight == 2
    world.loop.call(world.worker.release.set)

    world.answered(attempts=5)


def test_without_limits_a_slow_queue_runs_as_fast_as_it_can(loop, tmp_path):
    with tasks_world(loop, tmp_path / "state.db", limits=False) as world, world.running():
        world.make_queue(
            rate_limits={"max_dispatches_per_second": 1, "max_concurrent_dispatches": 1}
        )
        for _ in range(50):
            world.create()

        world.answered(attempts=50)


def test_a_task_makes_its_queue_if_the_server_has_the_option(loop, tmp_path):
    with tasks_world(loop, tmp_path / "s.db", creates_queues=True) as world, world.running():
        world.create("first")

        assert world.worker.next()["X-CloudTasks-TaskName"] == "first"
        assert world.client.get_queue(name=QUEUE).retry_config.max_attempts == 100
        other = f"{LOCATION}/queues/other"
        request = {"task": {"http_request": {"url": world.worker.url}}, "parent": other}
        world.client.batch_create_tasks(request={"parent": other, "requests": [request]})
        world.worker.next()
        with refused("NOT_FOUND", MISSING):
            world.client.get_queue(name=f"{LOCATION}/queues/never")
        with refused("INVALID_ARGUMENT"):
            world.client.create_task(parent=f"{LOCATION}/queues/a_b", task=request["task"])


def policy(*members, etag=b""):
    role = "roles/cloudtasks.enqueuer"
    return {"bindings": [{"role": role, "members": list(members)}], "etag": etag}


def test_a_queue_keeps_the_policy_it_is_given(world):
    world.make_queue()
    empty = world.client.get_iam_policy(request={"resource": QUEUE})
    assert (list(empty.bindings), empty.etag) == ([], b"\x00 \x01")

    given = world.client.set_iam_policy(
        request={"resource": QUEUE, "policy": policy("user:a@b.c", etag=empty.etag)}
    )

    assert given.bindings[0].members == ["user:a@b.c"]
    assert given.version == 1
    assert given.etag not in (b"", empty.etag)
    assert world.client.get_iam_policy(request={"resource": QUEUE}) == given


def test_a_policy_that_changed_meanwhile_is_not_overwritten(world):
    world.make_queue()
    first = world.client.get_iam_policy(request={"resource": QUEUE})
    world.client.set_iam_policy(request={"resource": QUEUE, "policy": policy("user:a@b.c")})

    with refused("ABORTED") as refusal:
        world.client.set_iam_policy(
            request={"resource": QUEUE, "policy": policy("user:x@y.z", etag=first.etag)}
        )

    assert "concurrent policy changes" in refusal.text
    kept = world.client.get_iam_policy(request={"resource": QUEUE})
    assert kept.bindings[0].members == ["user:a@b.c"]


def test_a_mask_sets_only_the_part_of_a_policy_that_it_names(world):
    world.make_queue()
    world.client.set_iam_policy(request={"resource": QUEUE, "policy": policy("user:a@b.c")})

    changed = world.client.set_iam_policy(
        request={"resource": QUEUE, "policy": {"version": 3}, "update_mask": {"paths": ["version"]}}
    )

    assert changed.version == 3
    assert changed.bindings[0].members == ["user:a@b.c"]


def test_a_policy_goes_with_its_queue(world):
    world.make_queue()
    world.client.set_iam_policy(request={"resource": QUEUE, "policy": policy("user:a@b.c")})
    world.client.delete_queue(name=QUEUE)
    with refused("NOT_FOUND", MISSING):
        world.client.get_iam_policy(request={"resource": QUEUE})
    with refused("NOT_FOUND", MISSING):
        world.client.set_iam_policy(request={"resource": QUEUE, "policy": policy("user:a@b.c")})

    world.advance(3 * 86400 + 1)
    world.make_queue()

    assert not world.client.get_iam_policy(request={"resource": QUEUE}).bindings


def test_everybody_may_do_everything_with_a_queue_that_exists(world):
    asked = {"resource": QUEUE, "permissions": ["cloudtasks.tasks.create"]}
    assert list(world.client.test_iam_permissions(request=asked).permissions) == []

    world.make_queue()

    granted = world.client.test_iam_permissions(request=asked).permissions
    assert list(granted) == ["cloudtasks.tasks.create"]


def test_a_location_has_no_key_and_takes_none(world):
    name = f"{LOCATION}/cmekConfig"
    key = f"{LOCATION}/keyRings/r/cryptoKeys/k"

    assert world.client.get_cmek_config(name=name).kms_key == ""
    assert world.client.update_cmek_config(cmek_config={"name": name}).name == name
    with refused("UNIMPLEMENTED") as refusal:
        world.client.update_cmek_config(cmek_config={"name": name, "kms_key": key})
    assert "kms_key is not served" in refusal.text

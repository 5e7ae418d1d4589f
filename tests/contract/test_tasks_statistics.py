"""The statistics of queues, which Google's client of v2beta3 asks for."""

import datetime as dt

import pytest
from google.cloud import tasks_v2beta3
from google.cloud.tasks_v2beta3.services.cloud_tasks.transports import CloudTasksGrpcTransport

from tests.contract.tasks_world import LOCATION, QUEUE, START, older_client, tasks_world
from tests.support import refused

STATS = {"paths": ["stats"]}


@pytest.fixture(params=["grpc", "rest"])
def world(request, loop, tmp_path):
    path, transport = tmp_path / "state.db", request.param
    with tasks_world(loop, path, transport=transport) as world, world.running():
        yield world


@pytest.fixture
def beta(world):
    """Return the client of v2beta3."""
    return older_client(world, tasks_v2beta3, CloudTasksGrpcTransport)


def stats(beta):
    return beta.get_queue(request={"name": QUEUE, "read_mask": STATS}).stats


def test_tasks_that_wait_run_and_are_retried_are_counted(world, beta):
    world.make_queue()
    world.worker.answers.extend([500, None])
    later = START + dt.timedelta(hours=1)

    world.create("failing", schedule_time=START)
    world.answered(attempts=1)
    world.create("running")
    world.worker.next()
    world.worker.next()
    world.create("later", schedule_time=later)

    found = stats(beta)
    assert (found.tasks_count, found.concurrent_dispatches_count) == (3, 1)
    assert found.executed_last_minute_count == 1
    assert found.effective_execution_rate == 500
    assert found.oldest_estimated_arrival_time < later


def test_an_empty_queue_has_no_time_of_arrival(world, beta):
    world.make_queue(rate_limits={"max_dispatches_per_second": 5})

    found = stats(beta)

    assert found.tasks_count == 0
    assert "oldest_estimated_arrival_time" not in found
    assert found.effective_execution_rate == 5


def test_what_was_executed_is_forgotten_after_a_minute(world, beta):
    world.make_queue()
    for _ in range(3):
        world.create()
    world.answered(attempts=3)

    assert stats(beta).executed_last_minute_count == 3
    world.advance(59)
    assert stats(beta).executed_last_minute_count == 3
    world.advance(2)
    assert stats(beta).executed_last_minute_count == 0


def test_statistics_are_there_only_if_the_mask_names_them(world, beta):
    world.make_queue()
    world.create(schedule_time=START + dt.timedelta(hours=1))

    whole = beta.get_queue(name=QUEUE)
    (named,) = beta.list_queues(
        request={"parent": LOCATION, "read_mask": {"paths": ["name", "stats.tasks_count"]}}
    )

    assert "stats" not in whole
    assert whole.rate_limits.max_concurrent_dispatches == 1000
    assert whole.tombstone_ttl == dt.timedelta(hours=1)
    assert whole.task_ttl == dt.timedelta(days=31)
    assert named.name == QUEUE
    assert named.stats.tasks_count == 1
    assert "rate_limits" not in named


def test_a_paused_queue_and_its_settings_are_those_of_v2(world, beta):
    made = world.make_queue(
        retry_config={"max_attempts": 7, "min_backoff": dt.timedelta(seconds=2)},
        http_target={"header_overrides": [{"header": {"key": "x", "value": "y"}}]},
    )
    world.client.pause_queue(name=QUEUE)

    found = beta.get_queue(name=QUEUE)

    assert found.state == tasks_v2beta3.Queue.State.PAUSED
    assert found.retry_config.max_attempts == 7
    assert found.retry_config.min_backoff == made.retry_config.min_backoff
    assert found.http_target.header_overrides[0].header.key == "x"


def test_queues_are_listed_in_pages(world, beta):
    for name in "abc":
        world.make_queue(f"{LOCATION}/queues/{name}")

    pages = beta.list_queues(request={"parent": LOCATION, "page_size": 2}).pages

    assert [[q.name[-1] for q in page.queues] for page in pages] == [["a", "b"], ["c"]]


def test_a_mask_of_unknown_fields_and_a_missing_queue_are_refused(world, beta):
    world.make_queue()

    with refused("INVALID_ARGUMENT"):
        beta.get_queue(request={"name": QUEUE, "read_mask": {"paths": ["nothing"]}})
    with refused("NOT_FOUND"):
        beta.get_queue(name=f"{QUEUE}-2")

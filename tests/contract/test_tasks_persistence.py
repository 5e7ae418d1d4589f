import asyncio
import contextlib
import datetime as dt
import sqlite3
import subprocess
import sys

import grpc
import pytest
from google.api_core.exceptions import (
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    ServiceUnavailable,
)
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from adjourn_local.tasks.task_store import TaskStore
from tests.contract.tasks_world import QUEUE, START, tasks_world

CHILD = """
import asyncio, pathlib, sys
from adjourn_local.timing.clocks import MachineClock
from adjourn_local.http.grpc_server import GrpcServer
from adjourn_local.http.sender import Sender
from adjourn_local.tasks import TasksServer

async def main(path):
    clock = MachineClock()
    token = lambda *_: asyncio.sleep(0, "token")
    server = TasksServer(pathlib.Path(path), clock, token, Sender(clock))
    server.ensure_queue(sys.argv[2])
    port = await GrpcServer(server.grpc_services()).listen("127.0.0.1", 0)
    await server.start()
    print(port, flush=True)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture
def world(loop, tmp_path):
    with tasks_world(loop, tmp_path / "folder" / "state.db") as world:
        yield world


def test_queues_and_their_settings_survive_a_restart(world):
    with world.running():
        world.make_queue(retry_config={"max_attempts": 7})
        paused = world.client.pause_queue(name=QUEUE)

    with world.running():
        assert world.client.get_queue(name=QUEUE) == paused


def test_a_waiting_task_is_dispatched_after_a_restart(world):
    with world.running():
        world.make_queue()
        task = world.create("survivor", schedule_time=START + dt.timedelta(minutes=5))

    with world.running():
        assert world.client.get_task(name=task.name) == task
        world.advance(299)
        assert world.counters().attempts == 0
        world.advance(1)
        assert world.worker.next()["X-CloudTasks-TaskName"] == "survivor"


def test_what_is_known_of_the_attempts_survives_a_restart(world):
    with world.running():
        world.make_queue()
        world.worker.answers.extend([404, 503])
        task = world.create()
        world.worker.next()
        world.answered(attempts=1)
        world.advance(1)
        world.worker.next()
        world.answered(attempts=2)
        before = world.client.get_task(name=task.name)

    with world.running():
        assert world.client.get_task(name=task.name) == before
        world.advance(1)
        arrival = world.worker.next()

    assert arrival["X-CloudTasks-TaskRetryCount"] == "2"
    assert arrival["X-CloudTasks-TaskExecutionCount"] == "1"
    assert arrival["X-CloudTasks-TaskPreviousResponse"] == "503"


def test_an_attempt_in_flight_is_given_back_when_the_server_stops(world):
    with world.running():
        world.make_queue()
        world.worker.answers.append(None)
        world.create("twice")
        world.worker.next()

    with world.running():
        assert world.worker.next()["X-CloudTasks-TaskName"] == "twice"
        world.answered(attempts=1)

    with world.running():
        world.settle()
        assert world.counters().attempts == 0


def test_names_stay_taken_over_a_restart(world):
    other = f"{QUEUE}2"
    with world.running():
        world.make_queue()
        world.make_queue(other)
        world.client.delete_queue(name=other)
        task = world.create("once")
        world.worker.next()
        world.answered(attempts=1)

    with world.running():
        with pytest.raises(AlreadyExists):
            world.create("once")
        with pytest.raises(NotFound, match="existed recently"):
            world.client.get_task(name=task.name)
        with pytest.raises(FailedPrecondition):
            world.make_queue(other)


def test_names_that_are_free_again_are_forgotten(world):
    with world.running():
        world.make_queue()
        task = world.create("once")
        world.worker.next()
        world.answered(attempts=1)
        world.advance(2 * 3600 + 1)

        with pytest.raises(NotFound, match=r"Requested entity was not found\."):
            world.client.get_task(name=task.name)
        assert rows(world) == 0


def rows(world):
    def count():
        store = TaskStore(world.path)
        with contextlib.closing(store):
            return store._one("SELECT count(*) FROM tasks_tasks")

    return world.loop.call(count)


def test_a_task_in_a_paused_queue_ends_with_the_retention(world):
    with world.running():
        world.make_queue()
        world.client.pause_queue(name=QUEUE)
        task = world.create()
        world.advance(31 * 86400 + 3600)
        world.until(lambda counters: counters.exhausted == 1)

        with pytest.raises(NotFound):
            world.client.get_task(name=task.name)


def test_a_task_that_was_accepted_survives_the_killing_of_the_server(world):
    world.path.parent.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(world.path), QUEUE], stdout=subprocess.PIPE, text=True
    ) as child:
        port = child.stdout.readline().strip()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
            client.pause_queue(name=QUEUE)
            created = {
                client.create_task(
                    parent=QUEUE, task={"http_request": {"url": world.worker.url}}
                ).name
                for _ in range(20)
            }
            child.kill()

    now = dt.datetime.now(dt.UTC)
    world.loop.call(lambda: world.clock.advance((now - START).total_seconds() + 1))
    with world.running():
        world.client.resume_queue(name=QUEUE)
        arrived = {world.worker.next()["X-CloudTasks-TaskName"] for _ in range(20)}

    assert arrived == {name.rpartition("/")[2] for name in created}


def test_another_server_can_write_to_the_same_file_at_any_time(world):
    other = world.loop.call(lambda: TaskStore(world.path))
    with world.running():
        world.make_queue()

        async def create_and_write():
            other._db.execute("PRAGMA busy_timeout = 0")
            for number in range(50):
                other._db.execute(
                    "INSERT OR REPLACE INTO tasks_operations VALUES ('x', ?, x'')", (number,)
                )
                await asyncio.sleep(0)

        writing = asyncio.run_coroutine_threadsafe(create_and_write(), world.loop._loop)
        for _ in range(20):
            world.create()
        writing.result(10)
        world.answered(attempts=20)
    world.loop.call(other.close)


def test_what_could_not_be_written_is_written_once_the_file_is_free(world):
    with world.running():
        world.make_queue()
        world.loop.call(lambda: world.server._store._db.execute("PRAGMA busy_timeout = 0"))
        world.worker.answers.extend([None, 500])
        held = world.create(dispatch_deadline={"seconds": 15})
        world.worker.next()
        blocker = sqlite3.connect(world.path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")

        world.advance(15)
        world.answered(attempts=1)
        with pytest.raises(ServiceUnavailable):
            world.create("refused")
        blocker.execute("ROLLBACK")
        blocker.close()

        assert world.client.get_task(name=held.name).dispatch_count == 1
        assert world.create("refused").name.endswith("refused")
        assert world.counters().created == 2


def test_a_deletion_that_was_cut_short_is_completed_at_the_next_start(world):
    with world.running():
        world.make_queue()
        world.create(schedule_time=START + dt.timedelta(hours=1))
        world.loop.call(lambda: world.server._store.delete_queue(QUEUE, 0))

    with world.running():
        assert world.counters().queued == 0
        world.make_queue()
        assert list(world.client.list_tasks(parent=QUEUE)) == []

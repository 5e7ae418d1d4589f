"""Unique calls on Cloud Tasks and Datastore, through Google's clients."""

import datetime as dt
from dataclasses import replace

import pytest

from adjourn import App
from adjourn.concurrency import PerProcess
from adjourn.execution.delivery import Outcome
from adjourn.gcp.cloudtasks import CloudTaskQueue
from adjourn.gcp.datastore_api import datastore_client
from adjourn.gcp.datastore_store import DatastoreStore
from adjourn.testing import SETTINGS, sandbox
from adjourn_local.datastore.server import DatastoreServer
from adjourn_local.http.sender import Sender
from adjourn_local.tasks import TasksOptions, TasksServer
from adjourn_local.timing.clocks import ManualClock
from tests.support import a_token, serving

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


@pytest.fixture
def adapters(loop, tmp_path, monkeypatch):
    """Return a queue and a store on the laptop stack's servers, whose clock stands still."""
    clock = ManualClock(START)

    async def start():
        sender = Sender(clock)
        tasks = TasksServer(tmp_path / "tasks", clock, a_token, sender, TasksOptions(grace=0))
        tasks.ensure_queue(name)
        return sender, tasks, DatastoreServer(tmp_path / "data", clock)

    name = CloudTaskQueue(SETTINGS)._queue(SETTINGS.location, "default")
    sender, tasks, data = loop.run(start())
    with serving(loop, *tasks.grpc_services(), data.grpc_service()) as address:
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", address)
        queue = CloudTaskQueue(replace(SETTINGS, tasks_host=address))
        queue.client().pause_queue(name=name)
        yield {
            "queue": queue,
            "store": DatastoreStore(PerProcess(lambda: datastore_client(SETTINGS))),
        }
    loop.run(tasks.stop())
    loop.run(sender.close())
    loop.call(data.close)


@pytest.mark.parametrize("until", [None, "begun", "done"])
@pytest.mark.parametrize("lasts", [HOUR, DAY])
def test_a_unique_call_is_kept_out_as_long_as_another_is_on_its_way(adapters, lasts, until):
    app, inside = App(), []

    @app.deferred(name="sync", unique_by="task", unique_for=lasts, unique_until=until)
    def sync():
        inside.append(sync().is_new)

    with sandbox(app) as box:
        queue = adapters["queue"]
        with app.rewired(SETTINGS, replace(app.wiring().adapters, **adapters)) as wiring:
            first = sync()
            assert [first.is_new, sync().is_new] == [True, False]
            assert first.cancel()
            second = sync()
            assert [second.is_new, sync().is_new] == [True, False]

            sent = queue.client().get_task({"name": second.name, "response_view": "FULL"})
            delivery = box.delivery(SETTINGS.deferred_url, sent.http_request.body)._replace(
                queue="default", task_name=second.name.rpartition("/")[2]
            )
            assert wiring.receive_task(delivery) is Outcome.DONE
            assert inside == [until == "begun"]

            queue.delete(second.name)  # as Cloud Tasks does when it has ended
            assert sync().is_new is (until == "done")

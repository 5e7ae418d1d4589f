"""A real call, a real cron tick and a real iteration through three real functions."""

import asyncio
import datetime as dt
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import grpc
import pytest
from google.cloud import datastore
from google.cloud.scheduler_v1 import CloudSchedulerClient
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
)

from adjourn import Status
from adjourn_local.runtime.addresses import LOCATION, PROJECT
from adjourn_local.runtime.stack import Stack
from tests.e2e.application import (
    Forget,
    Raise,
    Sum,
    Visit,
    say,
    say_later,
    show,
    stumble,
    vanish,
    wait,
    weigh,
)
from tests.e2e.conftest import Ear, Log

pytestmark = pytest.mark.usefixtures("environment")


def test_a_call_runs_in_the_deferred_function(ear: Ear) -> None:
    handle = say("hello")

    assert ear.hear() == "hello"
    assert handle.is_new
    assert handle.name.startswith(f"projects/{PROJECT}/locations/{LOCATION}/queues/default/tasks/")


def test_a_coroutine_runs_there_too_and_enqueues_without_waiting(ear: Ear) -> None:
    handle = asyncio.run(say_later.adefer("hello"))

    assert ear.hear() == f"hello from {handle.id}"


def test_arguments_arrive_with_their_types_in_another_process(ear: Ear) -> None:
    key = datastore.Client().key("Order", 7, "Line", "a")
    since = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)

    show(key, since=since)

    path, when, process = ear.hear().rsplit(" ", 2)
    assert path == str(key.path)
    assert dt.datetime.fromisoformat(when) == since
    assert int(process) != os.getpid()


def test_an_argument_that_no_task_can_carry_arrives_all_the_same(ear: Ear) -> None:
    load = random.Random(1).randbytes(3_000_000)

    weigh(load)

    assert ear.hear() == f"3000000 {hashlib.sha256(load).hexdigest()}"


def test_a_name_is_enqueued_once(ear: Ear) -> None:
    first = say.options(call_name="only-once").defer("once")
    second = say.options(call_name="only-once").defer("twice")

    assert ear.hear() == "once"
    assert (first.is_new, second.is_new) == (True, False)
    assert first.name == second.name


def test_a_cancelled_call_is_gone() -> None:
    handle = say.options(delay=dt.timedelta(hours=1)).defer("never")

    assert handle.cancel()
    assert not handle.cancel()


def test_a_task_that_is_cancelled_takes_no_worker_along(ear: Ear, log: Log) -> None:
    workers = []
    for _ in range(2):
        vanish()
        workers.append(ear.hear())
        log.find("deferred", '"task.dead"', "vanish", count=len(workers))

    assert len(set(workers)) == 1


def test_a_failing_call_is_tried_again_and_then_kept_as_a_dead_letter(ear: Ear, log: Log) -> None:
    handle = stumble("ouch")

    assert [ear.hear(), ear.hear()] == ["ouch", "ouch"]

    log.find('"task.dead"', str(handle.id))
    client = datastore.Client()
    letter = client.get(client.key("AdjournDeadLetter", handle.id))
    assert letter is not None
    assert letter["error"] == "RuntimeError: ouch"
    assert letter["attempts"] == 2
    assert "in stumble" in letter["traceback"]


@pytest.mark.skipif(not shutil.which("pgrep"), reason="needs pgrep to find the worker")
def test_a_function_that_is_told_to_stop_finishes_what_it_runs(
    stack: Stack, ear: Ear, tmp_path: Path
) -> None:
    door = str(tmp_path / "door")
    wait(door)
    assert ear.hear() == "waiting"

    deferred = stack.functions.generation.running["deferred"]
    workers = subprocess.check_output(["pgrep", "-P", str(deferred.group)], text=True)
    os.kill(int(workers), signal.SIGTERM)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as knock:
        knock.sendto(b"finished", door)

    assert ear.hear() == f"finished in {int(workers)}"
    say("next")
    assert ear.hear() == "next"  # and not once more that it waits


def test_an_iteration_in_shards_begins_when_its_transaction_is_committed(ear: Ear) -> None:
    client = datastore.Client()
    numbers = [datastore.Entity(client.key("Share", f"{n * 37 % 300:03}")) for n in range(300)]
    for n, entity in enumerate(numbers):
        entity["n"] = n
    client.put_multi(numbers)
    query = client.query(kind="Share")

    with client.transaction() as failing:
        Sum.start(query, {"sum": -1}, transaction=failing)
        failing.rollback()
    with client.transaction() as transaction:
        run = Sum.start(query, {"sum": 0}, shards=3, transaction=transaction)

    assert ear.hear() == f"300 entities, sum {sum(range(300))}"
    state = run.fetch()
    assert state is not None
    assert (state.done, len(state.shards)) == (300, 12)


@pytest.mark.skipif(not shutil.which("pgrep"), reason="needs pgrep to find the worker")
def test_an_iteration_step_that_is_told_to_stop_leaves_the_rest_to_the_next(
    stack: Stack, ear: Ear
) -> None:
    queryiter = stack.functions.generation.running["queryiter"]
    worker = subprocess.check_output(["pgrep", "-P", str(queryiter.group)], text=True).strip()
    client = datastore.Client()
    client.put_multi([datastore.Entity(client.key("House", name)) for name in "abcd"])
    run = Visit.start(client.query(kind="House"))
    assert ear.hear() == f"a {worker}"
    assert ear.hear() == f"b {worker}"

    os.kill(int(worker), signal.SIGTERM)

    # A request on a connection that is open already may still go to that worker.
    assert [ear.hear()[0], ear.hear()[0]] == ["c", "d"]
    assert ear.hear() == "4 visited"
    state = run.fetch()
    assert state is not None
    assert (state.done, state.errors) == (4, 0)
    assert state.shards[0].step >= 2  # one would have done for all of them


def test_a_scheduler_job_rings_the_periodic_function(stack: Stack, ear: Ear) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{stack.ports.grpc}") as channel:
        client = CloudSchedulerClient(transport=CloudSchedulerGrpcTransport(channel=channel))
        client.run_job(name=f"projects/{PROJECT}/locations/{LOCATION}/jobs/bell")

        ear.hear_the_bell()


def test_an_iteration_sees_every_entity_in_many_steps_and_finishes_once(ear: Ear) -> None:
    client = datastore.Client()
    entities = []
    for n in range(100):
        entity = datastore.Entity(client.key("Number", n + 1))
        entity["n"] = n
        entities.append(entity)
    client.put_multi(entities)

    run = Sum.start(client.query(kind="Number"), {"sum": 0})

    assert ear.hear() == f"100 entities, sum {sum(range(100))}"
    state = run.fetch()
    assert state is not None
    assert (state.total, state.done, state.errors) == (100, 100, 0)
    assert state.status in {Status.FINISHING, Status.FINISHED}


def test_entities_are_updated_and_deleted_in_bulk_by_several_shards(ear: Ear) -> None:
    client = datastore.Client()
    entities = []
    for n in range(1200):
        entity = datastore.Entity(client.key("Ware", n + 1), exclude_from_indexes=("text",))
        entity.update({"n": n, "price": 100, "text": "x" * 20})
        entities.append(entity)
    for start in range(0, len(entities), 400):
        client.put_multi(entities[start : start + 400])

    run = Raise.start(client.query(kind="Ware"), {"by": 5}, shards=4)
    assert ear.hear() == "1200 raised"
    state = run.fetch()
    assert state is not None
    assert (state.done, state.errors, len(state.shards)) == (1200, 0, 16)
    found = list(client.query(kind="Ware").fetch())
    assert {entity["price"] for entity in found if entity["n"] % 10} == {105}
    assert {entity["price"] for entity in found if not entity["n"] % 10} == {100}
    assert found[0].exclude_from_indexes == {"text"}

    few = client.query(kind="Ware", order=["-n"])
    Forget.start(few, limit=200)
    assert ear.hear() == "200 forgotten"
    assert {entity["n"] for entity in client.query(kind="Ware").fetch()} == set(range(1000))
    Forget.start(client.query(kind="Ware"), shards=2)
    assert ear.hear() == "1000 forgotten"
    assert list(client.query(kind="Ware").fetch()) == []

"""What a run meets when entities are added, deleted or moved while it walks; docs/iteration.md.

The engine is the real one, on the laptop's Datastore and on Google's own emulator.
"""

import datetime as dt
import itertools
import uuid
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace

import pytest
from google.cloud import datastore
from google.cloud.datastore.query import PropertyFilter

from adjourn import App, QueryIter, Status
from adjourn.gcp.datastore_api import datastore_client
from adjourn.gcp.datastore_queries import DatastoreQueries
from adjourn.ports import Adapters
from adjourn.testing import SETTINGS, MemoryJobs, sandbox

NUMBERS = range(10, 130, 10)
ALL = list(NUMBERS)
SECOND = dt.timedelta(seconds=1)


@pytest.fixture(params=["datastore_address", "google_address"])
def client(request, monkeypatch):
    address = request.getfixturevalue(request.param)
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", address)
    return datastore_client(SETTINGS)


def at_once(work: Callable[[], object]) -> Callable[[], object]:
    """Read what comes next before the present batch is handled, as a fast thread does."""
    done = work()
    return lambda: done


@contextmanager
def outside(app, client):
    """Give an application the client's Datastore to walk over, and the rest in memory."""
    with sandbox(app) as box:
        adapters = Adapters(
            queue=box.queue,
            store=box.store,
            queries=DatastoreQueries(lambda: client),
            jobs=MemoryJobs(),
            verifier=box.verifier,
            transactions=box.transactions,
            clock=box.clock,
            new_id=lambda: uuid.uuid4().hex,
            chance=lambda: 0.5,
            ahead=at_once,
        )
        with app.rewired(SETTINGS, adapters):
            yield replace(box, wiring=app.wiring())


class World:
    """Twelve entities, numbered in tens, in both their keys and a property."""

    def __init__(self, client):
        self.client = client
        self.kind = f"Number-{uuid.uuid4().hex}"
        for number in NUMBERS:
            self.put(number)

    def put(self, number, n=None):
        entity = datastore.Entity(self.client.key(self.kind, number))
        entity["n"] = number if n is None else n
        self.client.put(entity)

    def delete(self, number):
        self.client.delete(self.client.key(self.kind, number))

    def walk(self, change, at=20, step_seconds=60, **query):
        """Walk in batches of three, change something at an entity, and return what was met."""
        met, app = [], App()

        class Walk(QueryIter):
            batch_size = 3

            def handle_entry(self, entry, custom_data):  # noqa: ARG002
                met.append((entry.key.id, entry.get("n")))
                box.clock.advance(SECOND)
                if entry.key.id == at and not changed:
                    changed.append(change())

        changed = []
        Walk.step_seconds = step_seconds
        app.query_iter(name="walk")(Walk)
        filters = query.pop("filters", ())
        made = self.client.query(kind=self.kind, **query)
        for each in filters:
            made.add_filter(filter=each)
        with outside(app, self.client) as box:
            run = Walk.start(made)
            box.drain()
            self.state = run.fetch()
        assert (self.state.status, self.state.done) == (Status.FINISHED, len(met))
        return met

    def ids(self, change, **options):
        return [number for number, _ in self.walk(change, **options)]


@pytest.fixture
def world(client):
    return World(client)


# While 20 is handled, its batch (10, 20, 30) and the next one (40, 50, 60) have been read.


@pytest.mark.parametrize("order", [[], ["n"]])
@pytest.mark.parametrize(
    ("number", "is_met"), [(15, False), (25, False), (55, False), (65, True), (125, True)]
)
def test_what_is_added_is_met_if_its_place_has_not_been_read(world, order, number, is_met):
    met = world.ids(lambda: world.put(number), order=order)

    assert met == sorted([*ALL, number] if is_met else ALL)
    assert (world.state.total, world.state.done) == (12, len(met))


@pytest.mark.parametrize("order", [[], ["n"]])
@pytest.mark.parametrize(
    ("number", "is_met"), [(10, True), (20, True), (30, True), (60, True), (70, False)]
)
def test_what_is_deleted_is_met_if_it_has_been_read(world, order, number, is_met):
    met = world.ids(lambda: world.delete(number), order=order)

    assert met == [each for each in ALL if is_met or each != number]


@pytest.mark.parametrize(("number", "seen"), [(60, 60), (70, 71)])
def test_what_is_changed_comes_as_it_was_when_it_was_read(world, number, seen):
    met = dict(world.walk(lambda: world.put(number, number + 1)))

    assert met[number] == seen


@pytest.mark.parametrize(("number", "is_met"), [(15, False), (25, True), (55, True)])
def test_each_step_reads_anew_what_is_added(world, number, is_met):
    met = world.ids(lambda: world.put(number), step_seconds=1)

    assert met == sorted([*ALL, number] if is_met else ALL)


def test_each_step_reads_anew_what_is_deleted(world):
    def change():
        world.delete(20)  # the very entity behind which the next step begins
        world.delete(30)
        world.put(50, 51)

    met = world.walk(change, step_seconds=1)

    expected = [number for number in ALL if number != 30]
    assert met == [(number, 51 if number == 50 else number) for number in expected]


@pytest.mark.parametrize("order", [["n"], ["-n"]])
@pytest.mark.parametrize("step_seconds", [60, 1])
def test_what_is_moved_behind_the_position_is_met_twice(world, order, step_seconds):
    sign = 1 if order == ["n"] else -1
    at, far = (20, 1000) if sign == 1 else (110, -1000)

    met = world.walk(lambda: world.put(at, far), at=at, order=order, step_seconds=step_seconds)

    assert met == [(number, number) for number in ALL[::sign]] + [(at, far)]


@pytest.mark.parametrize("step_seconds", [60, 1])
def test_what_is_moved_to_before_the_position_is_not_met(world, step_seconds):
    met = world.ids(lambda: world.put(80, 5), order=["n"], step_seconds=step_seconds)

    assert met == [number for number in ALL if number != 80]


def test_a_key_never_moves(world):
    met = world.walk(lambda: [world.put(number, 1000 - number) for number in NUMBERS])

    assert [number for number, _ in met] == ALL


@pytest.mark.parametrize("order", [[], ["n"]])
def test_what_leaves_the_result_is_met_if_it_has_been_read(world, order):
    filters = [PropertyFilter("n", "<", 100)]

    met = world.ids(
        lambda: [world.put(number, 500) for number in (60, 80)], order=order, filters=filters
    )

    assert met == [number for number in ALL if number < 100 and number != 80]


def test_what_a_hook_moves_to_the_end_comes_again_there(world):
    numbers = itertools.count(200)

    def put_off():
        for number in (10, 20, 30):
            world.put(number, next(numbers))

    met = world.ids(put_off, at=30, order=["n"])

    assert met == [*ALL, 10, 20, 30]


@pytest.mark.parametrize(
    ("query", "warned"),
    [({}, 0), ({"order": ["n"]}, 1), ({"order": ["__key__"]}, 0)],
)
def test_a_start_warns_of_an_order_that_can_change(world, caplog, query, warned):
    caplog.set_level("WARNING", "adjourn")

    world.ids(lambda: None, **query)

    texts = [record.getMessage() for record in caplog.records]
    assert [text for text in texts if "ordered by n: entities whose n is changed" in text] == (
        texts[:1] if warned else []
    )
    assert len(texts) == warned

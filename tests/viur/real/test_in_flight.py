"""What ViUR itself has enqueued is taken over, by a service in App Engine's place.

ViUR's own decorators and iterations write the tasks, to the queues of the laptop stack. That sends
them as App Engine does, its address included, to the endpoints of `adjourn.viur.TaskHandler`.
"""

import base64
import dataclasses
import datetime as dt
import urllib.error
import urllib.request

import grpc
import pytest
import viur.core.tasks as theirs
from google.cloud import datastore
from google.cloud.tasks_v2 import CloudTasksClient
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from viur.core import db

from adjourn.settings import Platform
from adjourn.viur import app
from adjourn_local.runtime.addresses import LOCATION, PROJECT
from tests.viur.real import worlds

KEY = db.Key("order", 7)


@pytest.fixture
def rehearsed(stack, monkeypatch):
    """Let ViUR enqueue, and the endpoints be those of a service of App Engine."""
    monkeypatch.setenv("GAE_APPLICATION", f"h~{PROJECT}")
    settings = dataclasses.replace(app.wiring().settings, platform=Platform.APP_ENGINE)
    settings.check({"GAE_APPLICATION": f"h~{PROJECT}"})
    worlds.clear()
    with (
        grpc.insecure_channel(f"127.0.0.1:{stack.ports.grpc}") as channel,
        app.rewired(settings, app.wiring().adapters),
    ):
        client = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        monkeypatch.setattr(theirs, "taskClient", client)
        monkeypatch.setattr(theirs, "queueRegion", LOCATION)
        yield


def moved(function):
    """Return a function as it was before the move: ViUR knows it by the same module."""
    function.__module__ = "moved.probe"
    return function


def letters():
    return list(datastore.Client(project=PROJECT).query(kind="AdjournDeadLetter").fetch())


VALUES = {
    "key": KEY,
    "entity": {"n": 1},
    "date": dt.datetime(2024, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
    "set": {"a"},
    "bytes": b"\x00",
    "delta": dt.timedelta(minutes=3),
    "text": "ink",
}


@pytest.mark.usefixtures("rehearsed")
def test_a_function_that_viur_enqueued_runs_with_the_values_that_viur_wrote(adjourn_world):
    @theirs.CallDeferred
    @moved
    def remember(name, value):
        raise AssertionError("ViUR has enqueued it")

    known = len(letters())
    for name, value in VALUES.items():
        remember(name, value)
    adjourn_world.settle()

    found = worlds.effects("in-flight")
    assert found.keys() == {f"remembered/{name}" for name in VALUES}
    assert found["remembered/key"] == {
        "text": repr(str(KEY)),
        "type": repr(f"{db.Key.__module__}.Key"),
    }
    assert found["remembered/date"]["text"] == repr("2024-02-03 04:05:06+00:00")
    assert len(letters()) == known


@pytest.mark.usefixtures("rehearsed")
def test_a_method_that_viur_enqueued_runs_on_its_module(adjourn_world):
    class Tree:
        modulePath = "tree"

        @theirs.CallDeferred
        def delete_recursive(self, parent, cursor=None, depth=0):
            raise AssertionError("ViUR has enqueued it")

    node = db.Entity(db.Key("node", "a"))
    node["parententry"] = KEY
    db.Put(node)
    Tree().delete_recursive(KEY, depth=5)
    adjourn_world.settle()

    assert worlds.effects("in-flight") == {"deleted/a": {"depth": "5", "path": "'tree'"}}


@pytest.mark.usefixtures("rehearsed")
def test_a_call_in_a_transaction_of_viurs_runs_if_it_was_committed(adjourn_world):
    @theirs.CallDeferred
    @moved
    def remember(name, value):
        raise AssertionError("ViUR has enqueued it")

    def work(name, *, fails):
        db.Put(db.Entity(db.Key("thing", name)))
        remember(name, "made")
        if fails:
            raise ValueError(name)

    with_request(lambda: db.RunInTransaction(work, "committed", fails=False))
    with pytest.raises(ValueError, match="lost"):
        with_request(lambda: db.RunInTransaction(work, "lost", fails=True))
    adjourn_world.settle()

    assert worlds.effects("in-flight").keys() == {"thing/committed", "remembered/committed"}


def with_request(function):
    """Run a function with the data of a request, where ViUR since 3.8 notes its markers."""
    from viur.core import current

    token = current.request_data.set({})
    try:
        return function()
    finally:
        current.request_data.reset(token)


@pytest.mark.usefixtures("rehearsed")
def test_an_iteration_that_viur_began_goes_on_at_its_cursor(adjourn_world):
    handled = []
    before = type(
        "Walk",
        (theirs.QueryIter,),
        {
            "__module__": "moved.probe",
            "handleEntry": classmethod(lambda cls, entry, _data: handled.append(str(entry.key))),
        },
    )
    keys = []
    for number in range(12):
        entity = db.Entity(db.Key("walkable", f"w{number:02}"))
        entity.update(n=number, of=KEY)
        db.Put(entity)
        keys.append(str(entity.key))
    query = db.Query("walkable").filter("of =", KEY).order(("n", db.SortOrder.Ascending))
    steps = []
    requeue = before._requeueStep
    before._requeueStep = steps.append
    before.startIterOnQuery(query, {"name": "in-flight", "keys": []})
    before._qryStep(steps.pop())
    assert handled == keys[:5]
    requeue(steps.pop())
    adjourn_world.settle()

    walked = db.Get(db.Key("walked", "in-flight"))
    assert list(walked["keys"]) == keys[5:]


@pytest.mark.usefixtures("rehearsed")
@pytest.mark.parametrize(
    ("cursor", "reason"),
    [("no cursor", "cursor"), (base64.urlsafe_b64encode(b"bm90IGEgY3Vyc29y").decode(), "refuses")],
)
def test_a_cursor_that_nobody_can_read_is_a_dead_letter_with_the_reason(
    adjourn_world, cursor, reason
):
    walk = type("Walk", (theirs.QueryIter,), {"__module__": "moved.probe"})
    steps = []
    requeue = walk._requeueStep
    walk._requeueStep = steps.append
    walk.startIterOnQuery(db.Query("walkable"), {"name": "unreadable", "keys": []})
    known = {letter.key for letter in letters()}

    requeue({**steps.pop(), "startCursor": cursor})
    adjourn_world.settle()

    (letter,) = (each for each in letters() if each.key not in known)
    assert reason in letter["error"]


@pytest.mark.usefixtures("rehearsed")
def test_startup_tasks_that_viur_enqueued_are_known(adjourn_world):
    known = len(letters())

    theirs.runStartupTasks()
    adjourn_world.settle()

    assert len(letters()) == known


@pytest.mark.usefixtures("rehearsed")
@pytest.mark.parametrize("headers", [{}, {"X-AppEngine-User-IP": "1.2.3.4"}])
def test_nobody_else_gets_in(app_engine, headers):
    told = {"X-AppEngine-QueueName": "default", "X-AppEngine-TaskName": "t", **headers}
    request = urllib.request.Request(f"{app_engine}/_tasks/deferred", b"[]", told)

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code in {401, 403}

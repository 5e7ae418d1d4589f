"""The names of ViUR's task module: all that it has is here."""

import inspect
import os
import types

import pytest
import viur.core.tasks as theirs

import adjourn.viur as ours
from adjourn.errors import DeclarationError

# A periodic function for ViUR's own markers, of which adjourn makes none.
NOT_OURS = {"start_clear_transaction_marker"}
# What the module imports, and what its import leaves behind.
LEFT_BEHIND = {"headers", "r", "conf", "time"}


def own(module):
    for name, value in vars(module).items():
        is_imported = getattr(value, "__module__", module.__name__) != module.__name__
        if not (name.startswith("__") or isinstance(value, types.ModuleType) or is_imported):
            yield name


def test_every_name_of_the_module_is_there():
    wanted = {*own(theirs), "_gaeApp", "regionMap", "regionPrefix", "taskClient", "_deferedTasks"}

    missing = {name for name in wanted if not hasattr(ours, name)}

    assert missing - NOT_OURS - LEFT_BEHIND == set()


@pytest.mark.parametrize(
    "name",
    [
        "CallableTaskBase",
        "CustomEnvironmentHandler",
        "DeleteEntitiesIter",
        "MetaQueryIter",
        "QueryIter",
        "TaskHandler",
    ],
)
def test_every_attribute_of_a_class_is_there(name):
    wanted = {each for each in vars(getattr(theirs, name)) if not each.startswith("__")}

    missing = {each for each in wanted if not hasattr(getattr(ours, name), each)}

    # The guard by an address of App Engine: callers are verified by their tokens.
    assert missing - {"_abc_impl", "_validate_request"} == set()


def test_decorators_take_what_viurs_take():
    for name in ("retry_n_times", "PeriodicTask"):
        here = inspect.signature(getattr(ours, name)).parameters
        there = inspect.signature(getattr(theirs, name)).parameters
        assert list(here) == list(there)


def test_endpoints_are_exposed_and_rendered_as_there():
    for name in ("deferred", "queryIter", "cron", "list", "execute"):
        assert getattr(ours.TaskHandler, name).exposed is True
        assert getattr(theirs.TaskHandler, name).exposed is True
    for name in ("admin", "vi", "html", "adminInfo"):
        assert getattr(ours.TaskHandler, name) == getattr(theirs.TaskHandler, name)


def test_classes_of_iterations_are_known_by_their_ids():
    class Own(ours.QueryIter):
        __module__ = "tests.viur.real.test_names"
        __qualname__ = "Own"

    assert ours.MetaQueryIter._classCache[Own.__classID__] is Own
    assert str(Own) == Own.__classID__


@pytest.mark.parametrize("name", ["_qryStep", "_requeueStep"])
def test_steps_of_ones_own_are_refused_where_they_are_declared(name):
    with pytest.raises(DeclarationError, match=name):
        ours.MetaQueryIter(
            "Stepping", (ours.QueryIter,), {name: classmethod(lambda cls, step: None)}
        )


def test_a_step_that_is_called_begins_a_run(adjourn_world):
    from viur.core import db

    from tests.viur.real import worlds

    worlds.clear()
    walk = adjourn_world.module("probe").Walk
    db.Put(db.Entity(db.Key("stepped", "a")))
    step = {
        "kind": "stepped",
        "srcSkel": None,
        "filters": {},
        "orders": [],
        "startCursor": None,
        "endCursor": None,
        "origKind": "stepped",
        "distinct": None,
        "classID": walk.__classID__,
        "customData": {"name": "stepped", "keys": []},
        "totalCount": 0,
    }
    adjourn_world.run(lambda: walk._qryStep(step))

    assert worlds.effects("names")["walked/stepped"]["total"] == "1"


def test_variables_say_what_is_declared_and_deployed(adjourn_world):
    mails, sessions = adjourn_world.module("mail_queue"), adjourn_world.module("sessions")

    assert ours._deferedTasks["send_mail.moved.mail_queue"] is mails.send_mail.__wrapped__
    assert sessions.start_clear_sessions in ours._periodicTasks["sessions"]
    assert ours._callableTasks["recount"] is adjourn_world.module("maintenance").Recount
    assert adjourn_world.module("startup").note_version in ours._startupTasks
    assert ours._appengineServiceIPs == theirs._appengineServiceIPs
    assert ours.queueRegion == os.environ["ADJOURN_LOCATION"]


def test_the_region_is_that_of_the_application_id_where_nothing_else_says_it(monkeypatch):
    monkeypatch.delenv("ADJOURN_LOCATION")
    for application, region in (
        ("h~shop", "europe-west3"),
        ("e~shop", "europe-west1"),
        ("s~x", None),
    ):
        monkeypatch.setenv("GAE_APPLICATION", application)
        assert (ours._gaeApp, ours.regionPrefix) == (application, application[0])
        assert ours.queueRegion == region
        assert ours.app._environ().get("ADJOURN_LOCATION") == region
    monkeypatch.delenv("GAE_APPLICATION")
    assert (ours._gaeApp, ours.regionPrefix, ours.queueRegion) == (None, None, None)


def test_the_client_is_that_of_the_deployment(adjourn_world):
    parent = ours.taskClient.queue_path("adjourn-local", ours.queueRegion, "default")

    assert list(ours.taskClient.list_tasks(parent=parent)) == []


def test_what_viur_has_not_is_not_there():
    with pytest.raises(AttributeError, match="no attribute '_none'"):
        _ = ours._none

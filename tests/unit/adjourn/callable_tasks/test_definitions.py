"""Callable tasks: declared, listed for those who may, started by them, and run as they asked."""

import dataclasses
import datetime as dt
import enum

import pytest

import adjourn
from adjourn.execution.delivery import Outcome
from adjourn.testing import SETTINGS, sandbox

ANN = "ann@shop.example"
BOB = "bob@shop.example"


class ForAll(adjourn.CallableTask):
    """Lets everybody."""

    def can_call(self, user):  # noqa: ARG002
        return True


class Kind(enum.Enum):
    """Not registered with any application."""

    BOOK = "book"


@pytest.fixture
def rebuild(app, ran):
    @app.callable_task
    class Rebuild(adjourn.CallableTask):
        key = "rebuild"
        name = "Rebuild the index"
        descr = "Takes an hour."

        def can_call(self, user):
            return user.email == ANN

        def execute(self, *, kind: Kind, since: dt.date, limit: int = 100):
            ran.append((kind, since, limit, adjourn.current_task().user))

    return Rebuild


GIVEN = {"kind": "book", "since": "2026-03-01"}


# The faults of the ancestor


def test_a_task_without_parameters_can_be_started_and_runs(app, box, ran):
    @app.callable_task
    class Sweep(ForAll):
        def execute(self):
            ran.append("swept")

    assert box.ask(ANN, "Sweep").status == 202
    assert box.drain() == [Outcome.DONE]
    assert ran == ["swept"]


def test_a_task_with_parameters_can_be_started_and_runs(box, rebuild, ran):  # noqa: ARG001
    assert box.ask(ANN, "rebuild", GIVEN).status == 202
    assert box.drain() == [Outcome.DONE]
    assert ran == [(Kind.BOOK, dt.date(2026, 3, 1), 100, ANN)]


def test_an_unknown_task_is_not_found(box):
    reply = box.ask(ANN, "gone")

    assert (reply.status, reply.content) == (404, {"error": "not found"})


def test_who_may_not_is_forbidden_and_not_asked_to_sign_in(box, rebuild):  # noqa: ARG001
    reply = box.ask(BOB, "rebuild", GIVEN)

    assert (reply.status, reply.content) == (403, {"error": "forbidden"})
    assert "WWW-Authenticate" not in reply.headers
    assert not box.queue.tasks


def test_the_work_is_queued_and_not_done_in_the_request(box, rebuild, ran):  # noqa: ARG001
    box.ask(ANN, "rebuild", GIVEN)

    assert ran == []
    assert len(box.queue.tasks) == 1


# Listing


def test_the_list_shows_what_may_be_called_with_its_form(box, rebuild):  # noqa: ARG001
    reply = box.ask(ANN)

    assert reply.status == 200
    (told,) = reply.content["tasks"]
    form = told.pop("parameters")
    assert told == {"key": "rebuild", "name": "Rebuild the index", "descr": "Takes an hour."}
    assert form["required"] == ["kind", "since"]
    assert form["properties"]["limit"] == {"type": "integer", "default": 100}


def test_the_list_hides_what_may_not_be_called(box, rebuild):  # noqa: ARG001
    assert box.ask(BOB).content == {"tasks": []}


def test_key_and_name_follow_from_the_class(app, box):
    @app.callable_task
    class Sweep(ForAll):
        def execute(self):
            pass

    (told,) = box.ask(ANN).content["tasks"]
    assert (told["key"], told["name"], told["descr"]) == ("Sweep", "Sweep", "")


# Who may


def test_nobody_may_unless_the_class_says_so(app, box):
    @app.callable_task
    class Sweep(adjourn.CallableTask):
        def execute(self):
            pass

    assert box.ask(ANN, "Sweep").status == 403
    assert box.ask(ANN).content == {"tasks": []}


@pytest.mark.parametrize("verdict", [None, 1, "yes", [], ANN, ZeroDivisionError()])
def test_whatever_can_call_does_but_say_true_is_a_no_and_logged(app, box, lines, verdict):
    @app.callable_task
    class Sweep(adjourn.CallableTask):
        def can_call(self, user):  # noqa: ARG002
            if isinstance(verdict, Exception):
                raise verdict
            return verdict

        def execute(self):
            pass

    assert box.ask(ANN, "Sweep").status == 403
    assert box.ask(ANN).content == {"tasks": []}
    events = [line["event"] for line in lines()]
    assert events == ["callable.can_call_failed", "callable.refused", "callable.can_call_failed"]
    assert ANN not in str(lines())


def test_one_that_cannot_decide_does_not_hide_the_others(app, box, rebuild):  # noqa: ARG001
    @app.callable_task
    class Broken(adjourn.CallableTask):
        def __init__(self):
            raise OSError

        def execute(self):
            pass

    assert [told["key"] for told in box.ask(ANN).content["tasks"]] == ["rebuild"]


def test_the_person_is_whom_the_token_names(app, box, ran):
    @app.callable_task
    class Sweep(adjourn.CallableTask):
        def can_call(self, user):
            ran.append(user)
            return True

        def execute(self):
            pass

    box.ask(ANN)

    assert ran == [adjourn.User(id="", email=ANN, domain="")]


def test_the_application_cannot_say_that_somebody_else_started_it(ran):
    app = adjourn.App(user=lambda: "the web page's user", language=lambda: "de")

    @app.callable_task
    class Sweep(ForAll):
        def execute(self):
            task = adjourn.current_task()
            ran.append((task.user, task.language))

    with sandbox(app) as box:
        box.ask(ANN, "Sweep")
        box.drain()

    assert ran == [(ANN, "de")]


# Starting


def test_the_answer_is_the_tasks_handle(box, rebuild):  # noqa: ARG001
    reply = box.ask(ANN, "rebuild", GIVEN)

    ((name, queued),) = box.queue.tasks.items()
    assert reply.content == {
        "id": name.rpartition("/")[2],
        "name": name,
        "queue": "default",
        "eta": None,
        "is_new": True,
    }
    assert queued.task.label == "callable:rebuild"


def test_options_are_those_of_the_class(app, box):
    @app.callable_task
    class Sweep(ForAll):
        options = {"queue": "slow", "delay": 60, "unique_by": "task"}  # noqa: RUF012

        def execute(self):
            pass

    first, second = (box.ask(ANN, "Sweep").content for _ in range(2))

    assert (first["queue"], first["eta"]) == ("slow", "2026-01-01T00:01:00+00:00")
    assert (first["is_new"], second["is_new"], second["id"]) == (True, False, None)
    assert app.queues("default") == {"default", "slow"}


def test_parameters_that_do_not_fit_are_told_by_field_and_queue_nothing(box, rebuild):  # noqa: ARG001
    reply = box.ask(ANN, "rebuild", {"kind": "car", "limit": "many", "colour": "red"})

    assert reply.status == 422
    assert reply.content == {
        "error": "invalid",
        "fields": {
            "kind": "must be one of book",
            "since": "is missing",
            "limit": "must be a whole number",
            "colour": "is not a parameter",
        },
    }
    assert not box.queue.tasks


def test_who_may_not_learns_nothing_of_the_form(box, rebuild):  # noqa: ARG001
    assert box.ask(BOB, "rebuild", {"x": 1}).status == 403


@dataclasses.dataclass
class Span:
    first: int
    last: int = 9

    def __post_init__(self):
        if self.first > self.last:
            raise ValueError("first must not be behind last")
        if self.first < 0:
            raise RuntimeError("s3cret")


@pytest.fixture
def count(app, ran):
    @app.callable_task
    class Count(ForAll):
        Parameters = Span

        def execute(self, first: int, last: int):
            ran.append((first, last))

    return Count


def test_a_dataclass_takes_the_parameters(box, count, ran):  # noqa: ARG001
    box.ask(ANN, "Count", {"first": 3})
    box.drain()

    assert ran == [(3, 9)]
    reply = box.ask(ANN, "Count", {"first": 10})
    assert reply.content["fields"] == {"": "first must not be behind last"}


def test_a_dataclass_that_fails_does_not_tell_why(box, count, lines):  # noqa: ARG001
    reply = box.ask(ANN, "Count", {"first": -1})

    assert (reply.status, reply.content) == (500, {"error": "failed"})
    assert [line["event"] for line in lines()] == ["callable.failed"]


def test_parameters_that_fit_no_more_when_it_runs_are_a_dead_letter(box, count, monkeypatch):  # noqa: ARG001
    box.ask(ANN, "Count", {"first": 3, "last": 5})
    monkeypatch.setattr(Span, "__post_init__", lambda _: (_ for _ in ()).throw(ValueError("no")))

    assert box.drain() == [Outcome.DEAD]


def test_a_queue_out_of_reach_is_trouble(box, rebuild, monkeypatch):  # noqa: ARG001
    def fail(*_):
        raise adjourn.UnavailableError("away")

    monkeypatch.setattr(type(box.queue), "enqueue", fail)

    assert box.ask(ANN, "rebuild", GIVEN).status == 503


def test_where_no_audience_is_set_there_is_nothing(app, rebuild):  # noqa: ARG001
    with sandbox(app, dataclasses.replace(SETTINGS, people_audiences=())) as box:
        assert box.ask(ANN).status == 404
        assert box.ask(ANN, "rebuild", GIVEN).status == 404


# Declaring


def declared(**attributes):
    return type("Sweep", (adjourn.CallableTask,), attributes)


async def lazy(self, user=None): ...


def lazier(_self):
    yield


def nothing(self): ...


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (object, "is not a subclass of adjourn.CallableTask"),
        (lambda: None, "is not a subclass"),
        (declared(), "has no method execute"),
        (declared(execute=lazier), "execute is not a plain method"),
        (declared(execute=nothing, can_call=lazy), "can_call is not a plain method"),
        (declared(execute=nothing, key="a/b"), "key='a/b' must be"),
        (declared(execute=nothing, key=".."), "key='..' must be"),
        (declared(execute=nothing, options={"que": 1}), "There is no option 'que'"),
        (declared(execute=lambda self, x: None), "give it an annotation"),  # noqa: ARG005
        (declared(execute=nothing, Parameters=Span), "does not take its Parameters"),
        (declared(execute=nothing, __init__=lambda self, x: None), "cannot be made"),  # noqa: ARG005
    ],
)
def test_a_class_that_is_wrong_is_refused_where_it_is_declared(app, cls, said):
    with pytest.raises(adjourn.DeclarationError, match=said):
        app.callable_task(cls)


def test_a_key_is_taken_once(app, rebuild):
    with pytest.raises(adjourn.DeclarationError, match="already a callable task named 'rebuild'"):
        app.callable_task(rebuild)

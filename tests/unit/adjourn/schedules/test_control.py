"""Schedules are put, found, paused and deleted; what cannot work is refused when it is put."""

import dataclasses
import datetime as dt
from typing import Literal, Protocol

import pytest

import adjourn
from adjourn.errors import DeclarationError, EncodeError, UnknownNameError
from adjourn.execution.delivery import Outcome
from adjourn.ports import RecordKey
from adjourn.schedules.stored_schedule import KIND
from adjourn.testing import SETTINGS, sandbox
from tests.place_seal import PlaceSeal

pytestmark = pytest.mark.usefixtures("box", "report")

HOUR = dt.timedelta(hours=1)
MINUTE = dt.timedelta(minutes=1)
DAY = dt.timedelta(days=1)


def stored(box):
    return {key.name: record for key, (_, record) in box.store.records.items() if key.kind == KIND}


def test_a_schedule_is_what_was_put(app, box, report):
    until = box.clock.now() + 400 * DAY

    put = app.schedules.put(
        "tenant-42",
        report,
        args=(42,),
        kwargs={"language": "de"},
        cron="0 8 * * mon",
        time_zone="Europe/Berlin",
        until=until,
    )

    assert app.schedules.get("tenant-42") == put
    assert (put.name, put.task, put.args, put.kwargs) == (
        "tenant-42",
        "report",
        (42,),
        {"language": "de"},
    )
    assert (put.timing, put.until) == ("0 8 * * mon (Europe/Berlin)", until)
    assert (put.status, put.cron_name, put.error) == ("active", "schedules", "")
    assert (put.last_due, put.last_task, put.put_at) == (None, "", box.clock.now())
    assert put.next_due.isoweekday() == 1
    assert put.next_due - box.clock.now() < 7 * DAY


def test_there_is_none_of_another_name(app):
    assert app.schedules.get("nobody") is None
    assert app.schedules.get("") is None
    assert app.schedules.delete("nobody") is False
    for change in (app.schedules.pause, app.schedules.resume):
        with pytest.raises(UnknownNameError, match="'nobody'"):
            change("nobody")


def test_they_are_listed_by_the_beginning_of_their_names(app, report):
    for name in ("b-2", "a", "b-1", "b-10", "c"):
        app.schedules.put(name, report, args=(1,), interval=HOUR)

    assert [each.name for each in app.schedules.list()] == ["a", "b-1", "b-10", "b-2", "c"]
    assert [each.name for each in app.schedules.list("b-1")] == ["b-1", "b-10"]


def test_what_was_deleted_is_due_no_more(app, report, pass_minutes, ran):
    app.schedules.put("one", report, args=(1,), interval=HOUR)

    assert app.schedules.delete("one") is True

    assert app.schedules.get("one") is None
    pass_minutes(90)
    assert ran == []


def test_to_put_the_same_again_changes_nothing(app, box, report):
    def put():
        return app.schedules.put("one", report, args=(1,), interval=HOUR)

    first, before = put(), stored(box)
    box.travel(by=30 * MINUTE)

    assert put() == first
    assert stored(box) == before


def test_other_arguments_leave_the_times_as_they_are(app, report, pass_minutes, ran):
    app.schedules.put("one", report, args=(1,), interval=HOUR)
    pass_minutes(30)
    app.schedules.put("one", report, args=(2,), interval=HOUR)

    pass_minutes(31)

    assert [tenant for tenant, *_ in ran] == [2]


def test_another_timing_counts_from_now(app, report, pass_minutes, ran):
    app.schedules.put("one", report, args=(1,), interval=HOUR)
    pass_minutes(50)
    app.schedules.put("one", report, args=(1,), interval=HOUR * 0.5)

    pass_minutes(20)
    assert ran == []
    pass_minutes(11)
    assert len(ran) == 1


def test_what_is_paused_stays_so_until_it_is_resumed(app, box, report, pass_minutes, ran):
    app.schedules.put("one", report, args=(1,), cron="*/10 * * * *")
    assert app.schedules.pause("one").status == "paused"
    assert app.schedules.get("one").next_due is None
    app.schedules.put("one", report, args=(2,), cron="*/10 * * * *")
    pass_minutes(25)
    assert ran == []

    assert app.schedules.resume("one").status == "active"

    # What fell due meanwhile is left out.
    box.tick("schedules")
    assert box.drain() == []
    pass_minutes(10)
    assert [tenant for tenant, *_ in ran] == [2]


def test_an_interval_that_passed_during_a_pause_is_due_at_once(app, report, pass_minutes, ran):
    app.schedules.put("one", report, args=(1,), interval=HOUR)
    app.schedules.pause("one")
    pass_minutes(90)
    assert ran == []

    app.schedules.resume("one")

    pass_minutes(1)
    assert len(ran) == 1


def test_to_resume_what_is_not_paused_leaves_its_times(app, box, report):
    put = app.schedules.put("one", report, args=(1,), interval=HOUR)
    box.travel(by=30 * MINUTE)

    assert app.schedules.resume("one") == put


@pytest.mark.parametrize(
    ("timing", "text"),
    [
        ({}, "Give one of"),
        ({"cron": "0 8 * * *", "interval": HOUR}, "Give one of"),
        ({"cron": "0 8 * * *", "at": dt.datetime(2040, 1, 1, tzinfo=dt.UTC)}, "Give one of"),
        ({"cron": "0 8 * *"}, "five fields"),
        ({"cron": "0 8 * * *", "time_zone": "Europe/Nowhere"}, "not a time zone"),
        ({"interval": HOUR, "time_zone": "Europe/Berlin"}, "no time zone"),
        ({"interval": 60}, "timedelta"),
        ({"interval": dt.timedelta(seconds=59)}, "between a minute"),
        ({"interval": dt.timedelta(days=40_000)}, "hundred years"),
        ({"interval": HOUR, "overlap": "wait"}, "overlap"),
        ({"interval": HOUR, "grace": -HOUR}, "grace"),
        ({"at": dt.datetime(2040, 1, 1)}, "aware"),  # noqa: DTZ001 - this is what is refused
        ({"at": dt.datetime(2001, 1, 1, tzinfo=dt.UTC)}, "has passed"),
        ({"at": dt.datetime(2200, 1, 1, tzinfo=dt.UTC)}, "hundred years"),
        ({"at": dt.datetime(2040, 1, 1, tzinfo=dt.UTC), "time_zone": "Asia/Tokyo"}, "of its own"),
        ({"interval": HOUR, "until": dt.datetime(2040, 1, 1)}, "aware"),  # noqa: DTZ001
        ({"interval": HOUR, "until": dt.datetime(2001, 1, 1, tzinfo=dt.UTC)}, "has passed"),
        ({"interval": HOUR, "cron_name": "nightly"}, "serves no schedules"),
    ],
)
def test_a_timing_that_cannot_be_is_refused(app, box, report, timing, text):
    with pytest.raises(DeclarationError, match=text):
        app.schedules.put("one", report, args=(1,), **timing)
    assert stored(box) == {}


@pytest.mark.parametrize("timing", ["interval", "cron", "at"])
def test_what_is_never_due_is_refused(app, box, report, timing):
    now = box.clock.now()
    given = {"interval": HOUR, "cron": "0 0 1 1 *", "at": now + 2 * HOUR}[timing]

    with pytest.raises(DeclarationError, match="never due"):
        app.schedules.put("one", report, args=(1,), **{timing: given}, until=now + MINUTE)


@pytest.mark.parametrize("name", ["", "__one__", "x" * 501, "\ud800", 7, None])
def test_a_name_that_cannot_be_stored_is_refused(app, report, name):
    with pytest.raises(DeclarationError, match="cannot name a schedule"):
        app.schedules.put(name, report, args=(1,), interval=HOUR)


def test_without_a_cron_name_that_serves_them_none_is_put():
    app = adjourn.App()
    task = app.deferred(name="task")(lambda: None)

    with sandbox(app), pytest.raises(DeclarationError, match=r"app.schedules.serve\(\)"):
        app.schedules.put("one", task, interval=HOUR)
    assert app.cron_names() == frozenset()


def test_a_wrong_cron_name_is_refused(app):
    with pytest.raises(DeclarationError, match="cron_name"):
        app.schedules.serve("every minute")


def test_the_jobs_of_the_cron_names_that_serve_them_are_needed():
    app = adjourn.App()
    app.schedules.serve("often")
    app.schedules.serve("rarely")
    app.schedules.serve("often")

    assert app.cron_names() == {"often", "rarely"}


def test_each_cron_name_serves_its_own(app, box, report, ran):
    app.schedules.serve("rarely")
    app.schedules.put("one", report, args=(1,), interval=HOUR)
    app.schedules.put("two", report, args=(2,), interval=HOUR, cron_name="rarely")
    box.travel(by=HOUR)

    box.tick("rarely")
    box.drain()

    assert [tenant for tenant, *_ in ran] == [2]


class Unknown(Protocol):
    """What cannot be checked."""


@dataclasses.dataclass
class Line:
    article: str


@pytest.fixture
def typed(app):
    app.schedules.serve()
    app.register(Line, name="Line")

    @app.deferred(name="typed")
    def typed(
        number: int,
        rate: float = 1.0,
        *rest: int,
        day: dt.date | None = None,
        size: Literal["s", "m"] = "s",
        lines: list[Line] = (),
        line: Line | str = "",
        other: Unknown | None = None,
    ) -> None:
        pass

    return typed


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ({"args": ()}, "missing a required argument"),
        ({"kwargs": {"wrong": 2}}, "unexpected keyword"),
        ({"args": ("1",)}, "number must be of the type int, not str"),
        ({"args": (1, "2")}, "rate must be of the type float"),
        ({"kwargs": {"day": "2026-01-02"}}, "day must be"),
        ({"kwargs": {"size": "l"}}, "size must be"),
        ({"kwargs": {"lines": "a"}}, "lines must be"),
        ({"kwargs": {"line": 7}}, "line must be"),
        ({"kwargs": {"other": object()}}, "other"),
        ({"args": "1"}, "args='1' must be"),
    ],
)
def test_arguments_that_the_task_does_not_take_are_refused(app, box, typed, call, text):
    with pytest.raises(EncodeError, match=text):
        app.schedules.put("one", typed, **{"args": (1,), **call}, interval=HOUR)
    assert stored(box) == {}


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1, 2), {}),
        ((1, 2.5, 3, 4), {"day": None}),
        ([1], {"day": dt.date(2026, 1, 2), "size": "m"}),
        ((1,), {"lines": [Line("a")], "line": Line("b"), "other": 7}),
    ],
)
def test_arguments_that_it_takes_come_back(app, typed, args, kwargs):
    app.schedules.put("one", typed, args=args, kwargs=kwargs, interval=HOUR)

    found = app.schedules.get("one")
    assert (found.args, found.kwargs) == (tuple(args), kwargs)


def test_annotations_that_are_not_there_allow_everything(app):
    app.schedules.serve()

    @app.deferred(name="task")
    def task(key: "NotImported"):  # noqa: F821 - as for type checkers alone
        pass

    assert app.schedules.put("one", task, args=(7,), interval=HOUR).args == (7,)


def test_a_call_that_is_too_large_is_refused(app, typed):
    with pytest.raises(EncodeError, match="store the data"):
        app.schedules.put("one", typed, args=(1,), kwargs={"line": "x" * 900_000}, interval=HOUR)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"call_name": "one"}, "call_name"),
        ({"eta": dt.datetime(2040, 1, 1, tzinfo=dt.UTC)}, "eta"),
        ({"unique_by": "task"}, "unique_by"),
    ],
)
def test_options_that_contradict_are_refused(app, report, options, text):
    with pytest.raises(DeclarationError, match=text):
        app.schedules.put("one", report.options(**options), args=(1,), interval=HOUR)


def test_a_task_that_may_take_longer_than_the_function_is_refused(app, report):
    with (
        sandbox(app, dataclasses.replace(SETTINGS, function_timeout=60)),
        pytest.raises(DeclarationError, match="timeout"),
    ):
        app.schedules.put("one", report.options(timeout=120), args=(1,), interval=HOUR)


def test_only_tasks_of_the_application_can_be_scheduled(app):
    other = adjourn.App().deferred(name="elsewhere")(lambda: None)

    for task in (print, "report", other):
        with pytest.raises(DeclarationError, match=r"task"):
            app.schedules.put("one", task, interval=HOUR)


def test_options_travel_with_the_schedule(app, box, report):
    app.schedules.put("one", report.options(queue="slow", max_retries=2), args=(1,), interval=HOUR)

    box.travel(by=HOUR)
    box.tick("schedules")

    (call,) = box.enqueued(report)
    assert (call.queue, call.envelope.max_retries, call.args) == ("slow", 2, (1,))


def test_a_method_runs_on_its_object(app, ran, pass_minutes):
    app.schedules.serve()

    class Shop:
        @app.deferred(name="Shop.close")
        def close(self, day: int):
            ran.append((self, day))

    shop = Shop()
    app.add_object("shop", shop)
    app.schedules.put("one", shop.close, args=(7,), interval=HOUR)

    pass_minutes(61)

    assert ran == [(shop, 7)]


def test_what_calls_an_unknown_task_is_shown_with_the_reason(app, report):
    app.schedules.put("one", report, args=(1,), interval=HOUR)
    app._declared.tasks.remove("report")

    found = app.schedules.get("one")

    assert (found.args, found.task) == ((), "report")
    assert "No task is named 'report'" in found.error


def test_with_a_key_a_forged_call_is_not_made(app, report, lines):
    settings = dataclasses.replace(SETTINGS, cleanup=False)
    with sandbox(app, settings) as box:
        box.wiring.adapters.sealer = PlaceSeal()
        app.schedules.put("one", report, args=(1,), interval=HOUR)
        (record,) = stored(box).values()
        assert b"report" not in record["content"]
        assert app.schedules.get("one").args == (1,)
        assert app.schedules.put("one", report, args=(1,), interval=HOUR).put_at == box.clock.now()
        box.store.put(RecordKey(KIND, "two"), record)

        box.travel(by=HOUR)
        assert box.tick("schedules") is Outcome.DONE

        assert [call.args for call in box.enqueued(report)] == [(1,)]
    assert [line["severity"] for line in lines() if line["event"] == "schedules.failed"] == [
        "ERROR"
    ]

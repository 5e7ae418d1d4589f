"""Calls of which there is to be one in a period."""

import datetime as dt
import enum
import hashlib
import json

import pytest

from adjourn import DeclarationError, EnqueueError, Snooze
from adjourn.execution.delivery import Outcome
from adjourn.ports import RecordKey
from adjourn.state.unique_records import KIND

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


@pytest.fixture
def work(app, ran):
    @app.deferred(name="work", unique_by="arguments")
    def work(*args, **kwargs):
        ran.append((args, kwargs))

    return work


def entries(box):
    return [key for key in box.store.records if key.kind == KIND]


@pytest.mark.parametrize("unique_for", [None, 60, HOUR, DAY, 30 * DAY])
def test_the_second_call_with_the_same_arguments_gets_the_handle_of_the_first(
    box, work, ran, unique_for
):
    task = work.options(unique_for=unique_for)

    first = task(1, a=2, b=3)
    second = task(1, b=3, a=2)

    assert (first.is_new, second.is_new) == (True, False)
    assert first.name == second.name
    assert box.drain() == [Outcome.DONE]
    assert not task(1, a=2, b=3).is_new
    assert len(ran) == 1


@pytest.mark.usefixtures("box")
def test_calls_with_other_arguments_or_types_are_others(work):
    handles = [work(one) for one in (1, 2, 1.0, True, "1", [1], (1,))] + [work(one=1)]

    assert all(handle.is_new for handle in handles)


@pytest.mark.usefixtures("box")
def test_an_argument_is_the_same_by_position_and_by_name(app):
    @app.deferred(name="receipt", unique_by="arguments")
    def receipt(order, copies=1, *, to="all"):
        pass

    calls = [
        receipt("A-1", 2, to="ann"),
        receipt("A-1", to="ann", copies=2),
        receipt(to="ann", copies=2, order="A-1"),
        receipt("A-1", 3, to="ann"),
    ]

    assert [call.is_new for call in calls] == [True, False, False, True]


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 2


@pytest.fixture
def paint(app):
    app.register(Colour)
    app.register(Level)

    @app.deferred(name="paint", unique_by="arguments")
    def paint(order, colour="red", *, level=2, parts=(), sizes=None, undo=object):
        pass

    return paint


EQUAL = {
    "a default": [((1,), {}), ((1, "red"), {"level": 2}), ((1,), {"parts": ()})],
    "a text of an enum": [((1, "red"), {}), ((1, Colour.RED), {})],
    "a number of an enum": [((1,), {"sizes": 2}), ((1,), {"sizes": Level.HIGH})],
    "an enum as key": [((1,), {"sizes": {"red": 1}}), ((1,), {"sizes": {Colour.RED: 1}})],
    "an enum in a list": [
        ((1,), {"sizes": [2, "red"]}),
        ((1,), {"sizes": [Level.HIGH, Colour.RED]}),
    ],
    "the order of a dict": [
        ((1,), {"sizes": {"a": {(1, 2): 1, 3: 4}, "b": 2}}),
        ((1,), {"sizes": {"b": 2, "a": {3: 4, (1, 2): 1}}}),
    ],
    "the order of a set": [
        ((1,), {"sizes": {frozenset({1, 2}), frozenset({"a"})}}),
        ((1,), {"sizes": {frozenset({"a"}), frozenset({2, 1})}}),
    ],
}


@pytest.mark.usefixtures("box")
@pytest.mark.parametrize("unique_for", [HOUR, DAY])
@pytest.mark.parametrize("which", EQUAL)
def test_equal_calls_are_one_however_they_are_written(paint, which, unique_for):
    task = paint.options(unique_for=unique_for)

    handles = [task(*args, **kwargs) for args, kwargs in EQUAL[which]]

    assert [each.is_new for each in handles] == [True] + [False] * (len(handles) - 1)
    assert len({each.name for each in handles}) == 1


@pytest.mark.usefixtures("box")
def test_calls_that_differ_from_a_default_are_others(paint):
    calls = [
        paint(1),
        paint(1, "blue"),
        paint(1, level=2.0),
        paint(1, level=True),
        paint(1, parts=[]),
        paint(1, parts={1: 2}),
        paint(1, parts={"1": 2}),
        paint(1, parts={"$dict": [[1, 2]]}),
    ]

    assert all(each.is_new for each in calls)


@pytest.mark.usefixtures("box")
def test_what_is_left_out_keeps_its_place_before_further_arguments(app):
    @app.deferred(name="more", unique_by="arguments")
    def more(first=1, second=2, *rest):
        pass

    assert [more(1, 2, 3).is_new, more(2, 3).is_new, more(3).is_new] == [True, True, True]
    assert [more().is_new, more(1).is_new, more(1, 2).is_new] == [True, False, False]


def former_name(task, *args):
    """Return the name of a call as adjourn gave it before there was a canonical form."""
    hours = int(dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp() // 3600)
    content = json.dumps([task, hours, list(args), {}], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:40]


@pytest.mark.parametrize("args", [(1,), (1, "red")])
@pytest.mark.parametrize("has_run", [False, True])
def test_a_call_of_an_earlier_version_is_a_duplicate(box, paint, args, has_run):
    plain = paint.options(unique_by=None, unique_for=None)
    paint.options(unique_by=None, call_name=former_name("paint", *args)).defer(*args)
    if has_run and args == (1,):
        box.drain()

    assert not paint(*args).is_new
    assert plain(*args).is_new


def test_a_record_of_an_earlier_version_holds_to_the_end_of_its_period(box, work):
    name = work.options(unique_for=DAY)(1).name.rpartition("/")[2]
    box.queue.tasks.clear()
    expires = box.clock.now() + 25 * HOUR
    box.store.put(RecordKey(KIND, name), {"is_enqueued": True, "expires_at": expires})

    assert not work.options(unique_for=DAY)(1).is_new


# Gone without having run


@pytest.mark.parametrize("unique_for", [HOUR, DAY])
@pytest.mark.parametrize("how", ["cancelled", "purged"])
def test_a_call_that_is_gone_without_having_run_prevents_no_other(box, work, ran, unique_for, how):
    task = work.options(unique_for=unique_for)
    for _ in range(3):
        handle = task(1)
        assert handle.is_new
        assert not task(1).is_new
        if how == "cancelled":
            assert handle.cancel()
        else:
            box.queue.delete(handle.name)

    assert task(1).is_new
    box.drain()
    assert not task(1).is_new
    assert len(ran) == 1


@pytest.mark.parametrize("unique_for", [HOUR, DAY])
def test_a_call_that_failed_and_was_cancelled_can_be_made_again(app, box, unique_for):
    @app.deferred(name="fail", unique_by="task", unique_for=unique_for)
    def fail():
        raise RuntimeError

    fail()
    box.drain()
    assert not fail().is_new

    assert fail().cancel()  # by the handle of another

    assert fail().is_new
    assert not fail().is_new


@pytest.mark.parametrize("unique_for", [HOUR, DAY])
def test_a_call_that_expired_unrun_prevents_no_other(box, work, ran, unique_for):
    task = work.options(unique_for=unique_for, expires=60)
    task(1)
    box.clock.advance(dt.timedelta(minutes=5))
    box.drain()

    assert task(1).is_new
    box.drain()
    assert len(ran) == 1


@pytest.mark.parametrize("unique_for", [HOUR, DAY])
def test_a_call_that_goes_on_as_another_task_is_still_there(app, box, unique_for):
    @app.deferred(name="later", unique_by="task", unique_for=unique_for)
    def later():
        raise Snooze(dt.timedelta(minutes=20))

    later()
    box.drain()

    assert not later().is_new
    assert later.options(unique_until="done")().is_new is False


@pytest.mark.parametrize("unique_for", [HOUR, DAY])
@pytest.mark.parametrize("at", [0, 1])
def test_of_equal_calls_made_at_once_one_is_enqueued(box, work, unique_for, at, monkeypatch):
    """The second is made while the first is about to be enqueued, or has just been."""
    task = work.options(unique_for=unique_for)
    box.queue.delete(task(1).name)
    enqueue, handles = box.queue.enqueue, []

    def enqueuing(new):
        monkeypatch.setattr(box.queue, "enqueue", enqueue)
        if at:
            name = enqueue(new)
            handles.append(task(1))
            return name
        handles.append(task(1))
        return enqueue(new)

    monkeypatch.setattr(box.queue, "enqueue", enqueuing)
    handles.append(task(1))

    assert len(box.queue.tasks) == 1
    assert [each.is_new for each in handles].count(True) == 1


# Until


@pytest.mark.parametrize("unique_for", [HOUR, DAY])
def test_until_it_has_begun(app, box, unique_for):
    inside = []

    @app.deferred(name="sync", unique_by="task", unique_until="begun", unique_for=unique_for)
    def sync():
        inside.append(sync().is_new)

    assert [sync().is_new, sync().is_new] == [True, False]
    for _ in range(3):
        box.deliver(box.queue.due()[0])
        assert not sync().is_new

    assert inside == [True] * 3
    assert len(box.queue.tasks) == 1


@pytest.mark.parametrize("unique_for", [HOUR, DAY])
def test_until_it_is_done(app, box, unique_for):
    inside = []

    @app.deferred(name="sync", unique_by="task", unique_until="done", unique_for=unique_for)
    def sync():
        inside.append(sync().is_new)
        if len(inside) < 2:
            raise RuntimeError

    assert [sync().is_new, sync().is_new] == [True, False]
    box.drain()
    assert not sync().is_new
    box.drain()

    assert sync().is_new
    assert inside == [False, False]


@pytest.mark.usefixtures("box")
def test_unique_by_task_looks_at_no_arguments(work):
    task = work.options(unique_by="task")

    assert [task(1).is_new, task(2).is_new] == [True, False]


@pytest.mark.parametrize("unique_for", [HOUR, DAY])
def test_the_next_period_has_its_own(box, work, ran, unique_for):
    task = work.options(unique_for=unique_for)

    for _ in range(3):
        assert task(1).is_new
        box.drain()
        box.clock.advance(unique_for)

    assert len(ran) == 3


def test_a_long_period_holds_after_the_name_is_free_again(box, work):
    task = work.options(unique_for=DAY)
    task(1)
    box.drain()

    box.clock.advance(23 * HOUR)

    assert not task(1).is_new
    assert box.drain() == []
    assert len(entries(box)) == 1


def test_a_short_period_costs_no_operation_of_the_store(box, work):
    work.options(unique_for=HOUR).defer(1)

    assert box.store.records == {}


def test_a_call_that_crashed_before_it_was_enqueued_is_made_good_by_the_next(
    box, work, ran, monkeypatch
):
    def crash(_):
        raise EnqueueError("away")

    task = work.options(unique_for=DAY)
    with monkeypatch.context() as patch:
        patch.setattr(box.queue, "enqueue", crash)
        with pytest.raises(EnqueueError):
            task(1)

    assert task(1).is_new
    assert not task(1).is_new
    box.drain()
    assert len(ran) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unique_by": "name"}, 'must be "arguments" or "task"'),
        ({"unique_by": None, "unique_for": 5}, 'unique_for needs unique_by="arguments"'),
        ({"unique_for": 0}, "unique_for must be more than zero"),
        ({"unique_until": "ended"}, 'must be "begun" or "done"'),
        ({"unique_by": None, "unique_until": "done"}, 'unique_until needs unique_by="arguments"'),
        ({"call_name": "x"}, "Give call_name or unique_by, not both"),
    ],
)
def test_what_contradicts_itself_is_refused(work, changes, message):
    with pytest.raises(DeclarationError, match=message):
        work.options(**changes)


def test_a_unique_call_is_not_made_inside_a_transaction(box, work):
    with (
        box.transactions.begin() as transaction,
        pytest.raises(DeclarationError, match="call it after the transaction"),
    ):
        work(1)

    assert transaction == {}
    assert box.queue.tasks == {}


@pytest.mark.usefixtures("box")
def test_unique_calls_are_not_made_in_bulk(work):
    with pytest.raises(DeclarationError, match="one by one"):
        list(work.map([1, 2]))

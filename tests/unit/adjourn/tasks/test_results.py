"""Results are waited for politely, by handles and by ids."""

import asyncio
import datetime as dt
from dataclasses import replace

import pytest

import adjourn
from adjourn.testing import fake, inline

MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def double(app):
    @app.deferred(name="double", keep_result=dt.timedelta(hours=1))
    def double(number):
        return 2 * number

    return double


@pytest.fixture
def pauses(app, box):
    """Return the pauses that are made by whoever waits; they end at once."""
    made, wiring = [], box.wiring

    async def asleep(seconds):
        made.append(seconds)

    adapters = replace(wiring.adapters, sleep=made.append, asleep=asleep)
    with app.rewired(wiring.settings, adapters):
        yield made


def reads(box, monkeypatch):
    """Return a list to which each request to Datastore adds its kinds."""
    found, get = [], box.store.get

    def counted(keys):
        found.append([key.kind for key in keys])
        return get(keys)

    monkeypatch.setattr(box.store, "get", counted)
    return found


def test_without_a_wait_one_looks_once(box, double, pauses, monkeypatch):
    handle, read = double(1), reads(box, monkeypatch)

    with pytest.raises(adjourn.ResultNotReadyError, match="has not ended yet"):
        handle.result()

    assert (read, pauses) == ([["AdjournResult"], ["AdjournCall"]], [])


@pytest.mark.parametrize("wait", [30, dt.timedelta(seconds=30)])
def test_looks_become_rare(double, pauses, wait):
    handle = double(1)

    with pytest.raises(TimeoutError):
        handle.result(wait=wait)

    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0, 2.25]


def test_looks_become_rare_on_an_event_loop_too(double, pauses):
    handle = double(1)

    with pytest.raises(TimeoutError):
        asyncio.run(handle.aresult(wait=2))

    assert pauses == [0.25, 0.5, 1.0, 0.25]


def test_waiting_that_holds_up_a_loop_is_told_once_with_the_line_to_write(
    app, double, pauses, lines
):
    handle = double(1)

    async def main():
        for ask in (handle.result, handle.result, lambda: app.results.get(handle.id)):
            with pytest.raises(adjourn.ResultNotReadyError):
                ask()
        with pytest.raises(adjourn.ResultNotReadyError):
            await handle.aresult()

    asyncio.run(main())

    (line,) = [each for each in lines() if each.get("event") == "call.blocking"]
    assert "write: await handle.aresult(...)" in line["message"]
    assert pauses == []


def test_a_result_that_comes_while_one_waits_is_returned_soon(app, box, double, pauses):
    handle = double(4)
    (envelope,) = [call.envelope for call in box.enqueued()]
    pending = box.wiring.enqueuer.results().pending(envelope)

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 2:
            pending.done(8)
            pending.write()

    with app.rewired(box.wiring.settings, replace(box.wiring.adapters, sleep=sleep)):
        assert app.results.get(handle.id, wait=60) == 8

    assert pauses == [0.25, 0.5]


def test_many_results_are_read_by_one_request(box, double, monkeypatch):
    handles = double.map(range(20))
    box.drain()
    read = reads(box, monkeypatch)

    found = box.app.results.find([handle.id for handle in handles])

    assert [each.returned() for each in found] == list(range(0, 40, 2))
    assert read == [["AdjournResult"] * 20]


def test_a_result_can_be_read_again_and_by_its_id(box, double):
    handle = double(3)
    box.drain()

    assert [handle.result(), box.app.results.get(handle.id), handle.result(wait=5)] == [6, 6, 6]
    assert asyncio.run(box.app.results.aget(handle.id)) == 6
    with pytest.raises(adjourn.ResultNotReadyError, match="keeps none, or the time is over"):
        box.app.results.get("0000")


def test_a_call_that_was_deleted_is_not_waited_for_in_vain(box, double):
    handle = double(1)
    box.queue.tasks.clear()

    with pytest.raises(adjourn.ResultNotKeptError, match="its task was deleted"):
        handle.result()


def test_the_handle_of_another_call_has_no_result(box, double):
    double.options(call_name="one").defer(1)
    second = double.options(call_name="one").defer(1)
    box.drain()

    with pytest.raises(adjourn.ResultNotKeptError, match="a call that existed"):
        second.result()


def test_a_call_may_keep_what_its_task_does_not(app, box):
    @app.deferred(name="plain")
    def plain():
        return 1

    kept, lost = plain.options(keep_result=MINUTE).defer(), plain()
    box.drain()

    assert kept.result() == 1
    with pytest.raises(adjourn.ResultNotKeptError, match="keep_result="):
        lost.result()
    assert len(box.store.records) == 1


# In the test kit


def test_waiting_moves_the_clock_of_a_sandbox(app, double):
    with inline(app) as box:
        began = box.clock.now()
        handle = double.options(delay=5).defer(2)

        assert handle.result(wait=60) == 4
        assert asyncio.run(double.options(delay=5).defer(3).aresult(wait=60)) == 6
        assert MINUTE > box.clock.now() - began > dt.timedelta(seconds=10)
    assert handle.result() == 4


def test_a_fake_sandbox_has_the_result_once_it_is_drained(app, double):
    with fake(app) as box:
        handle = double(2)
        with pytest.raises(adjourn.ResultNotReadyError):
            handle.result(wait=5)
        box.drain()

        assert handle.result() == 4
        box.assert_enqueued(double.options(keep_result=3600), 2)
        with pytest.raises(AssertionError, match="instead of keep_result=0:01:00"):
            box.assert_enqueued(double.options(keep_result=60), 2)

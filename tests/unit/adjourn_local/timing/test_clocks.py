"""The stack's clock: the machine's, unless somebody freezes or moves it."""

import asyncio
import datetime as dt
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adjourn.clock import SystemClock
from adjourn_local.runtime import follower
from adjourn_local.runtime.control import change_clock
from adjourn_local.timing.clock_offset import SIZE, ClockOffset
from adjourn_local.timing.clocks import AdjustableClock, ManualClock
from tests.contract.scheduler_stack import NOON

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def machine():
    return ManualClock(NOON)


@pytest.fixture
def clock(machine):
    return AdjustableClock(machine)


def test_it_goes_by_the_machines_time(clock, machine):
    machine.advance(3)

    assert clock.now() == machine.now() == NOON + dt.timedelta(seconds=3)


def test_frozen_it_stands_still_and_then_goes_on_from_there(clock, machine):
    change_clock(clock, "freeze")
    machine.advance(3600)
    assert clock.is_frozen
    assert clock.now() == NOON

    change_clock(clock, "go")
    machine.advance(1)
    assert not clock.is_frozen
    assert clock.now() == NOON + dt.timedelta(seconds=1)

    change_clock(clock, "reset")
    assert clock.now() == machine.now()


@pytest.mark.parametrize("is_frozen", [False, True])
def test_it_advances_and_jumps_whether_it_stands_still_or_not(clock, machine, is_frozen):
    if is_frozen:
        change_clock(clock, "freeze")
    change_clock(clock, "advance=1h")
    change_clock(clock, "advance=30m")
    assert clock.now() == NOON + 1.5 * HOUR

    change_clock(clock, "jump=2026-01-01T01:00:00+01:00")
    assert clock.now() == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    machine.advance(1)
    assert clock.now().second == (not is_frozen)
    assert clock.is_frozen == is_frozen


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "freeze=1h", "advance", "advance=1", "advance=-1h", "jump",
     "jump=tomorrow", "jump=2026-12-24", "jump=2026-12-24T18:00:00"],
)  # fmt: skip
def test_what_it_cannot_do_is_refused_with_what_it_can(clock, text):
    with pytest.raises(ValueError, match=r"4h|such as"):
        change_clock(clock, text)

    assert clock.now() == NOON


def test_sleepers_wake_when_it_is_moved_past_their_time_and_not_sooner():
    async def work():
        clock, woken = AdjustableClock(), []

        async def sleep(seconds):
            await clock.sleep(seconds)
            woken.append(seconds)

        change_clock(clock, "freeze")
        sleepers = [asyncio.create_task(sleep(seconds)) for seconds in (7200, 0, 3600, 0.001)]
        await asyncio.sleep(0.01)
        assert woken == [0]
        change_clock(clock, "advance=1h")
        await asyncio.wait(sleepers, timeout=0.01)
        assert sorted(woken) == [0, 0.001, 3600]
        change_clock(clock, f"jump={(clock.now() - 5 * HOUR).isoformat()}")
        change_clock(clock, "advance=5h")
        await asyncio.wait(sleepers, timeout=0.01)
        assert len(woken) == 3
        change_clock(clock, "advance=1h")
        await asyncio.gather(*sleepers)

    asyncio.run(work())


def test_sleepers_wake_by_themselves_while_it_goes():
    async def work():
        clock = AdjustableClock()
        change_clock(clock, "advance=10h")
        before = clock.now()
        await clock.sleep(0.02)
        assert clock.now() - before >= dt.timedelta(seconds=0.02)

    asyncio.run(work())


@given(
    st.timedeltas(dt.timedelta(days=-40_000), dt.timedelta(days=40_000)),
    st.none() | st.datetimes(timezones=st.just(dt.UTC)),
)
def test_a_shift_survives_being_told(ahead, frozen_at):
    shift = ClockOffset(ahead) if frozen_at is None else ClockOffset(frozen_at=frozen_at)

    assert len(shift.encode()) == SIZE
    assert ClockOffset.decode(shift.encode()) == shift


def test_another_process_learns_the_time_from_a_file(clock, tmp_path, monkeypatch):
    path = tmp_path / "clock"
    path.write_bytes(bytes(SIZE))
    clock.share(path)
    monkeypatch.setattr(SystemClock, "now", SystemClock.now)
    follower.follow(path)
    theirs = SystemClock()
    assert abs(theirs.now() - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)

    change_clock(clock, "advance=1000h")
    assert abs(theirs.now() - dt.datetime.now(dt.UTC) - 1000 * HOUR) < dt.timedelta(minutes=1)

    change_clock(clock, "freeze")
    assert theirs.now() == NOON + 1000 * HOUR

    change_clock(clock, "reset")
    assert abs(theirs.now() - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)


def test_a_time_out_of_the_calendar_is_an_error_and_changes_nothing(clock):
    change_clock(clock, "jump=9999-12-31T00:00:00Z")

    with pytest.raises((ValueError, OverflowError), match=re.escape("out of range")):
        change_clock(clock, "advance=52w")

    assert clock.now().year == 9999

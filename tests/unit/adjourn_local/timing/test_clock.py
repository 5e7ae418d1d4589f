"""The stack's clock: the machine's, unless somebody freezes or moves it."""

import asyncio
import datetime as dt
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adjourn.clock import SystemClock
from adjourn_local.runtime import follower
from adjourn_local.runtime.control import steer
from adjourn_local.timing.clock import ManualClock, SteeredClock
from adjourn_local.timing.clock_offset import SIZE, Shift
from tests.contract.scheduler_stack import NOON

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def machine():
    return ManualClock(NOON)


@pytest.fixture
def clock(machine):
    return SteeredClock(machine)


def test_it_goes_by_the_machines_time(clock, machine):
    machine.advance(3)

    assert clock.now() == machine.now() == NOON + dt.timedelta(seconds=3)


def test_frozen_it_stands_still_and_then_goes_on_from_there(clock, machine):
    steer(clock, "freeze")
    machine.advance(3600)
    assert clock.is_frozen
    assert clock.now() == NOON

    steer(clock, "go")
    machine.advance(1)
    assert not clock.is_frozen
    assert clock.now() == NOON + dt.timedelta(seconds=1)

    steer(clock, "reset")
    assert clock.now() == machine.now()


@pytest.mark.parametrize("is_frozen", [False, True])
def test_it_advances_and_jumps_whether_it_stands_still_or_not(clock, machine, is_frozen):
    if is_frozen:
        steer(clock, "freeze")
    steer(clock, "advance=1h")
    steer(clock, "advance=30m")
    assert clock.now() == NOON + 1.5 * HOUR

    steer(clock, "jump=2026-01-01T01:00:00+01:00")
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
        steer(clock, text)

    assert clock.now() == NOON


def test_sleepers_wake_when_it_is_moved_past_their_time_and_not_sooner():
    async def work():
        clock, woken = SteeredClock(), []

        async def sleep(seconds):
            await clock.sleep(seconds)
            woken.append(seconds)

        steer(clock, "freeze")
        sleepers = [asyncio.create_task(sleep(seconds)) for seconds in (7200, 0, 3600, 0.001)]
        await asyncio.sleep(0.01)
        assert woken == [0]
        steer(clock, "advance=1h")
        await asyncio.wait(sleepers, timeout=0.01)
        assert sorted(woken) == [0, 0.001, 3600]
        steer(clock, f"jump={(clock.now() - 5 * HOUR).isoformat()}")
        steer(clock, "advance=5h")
        await asyncio.wait(sleepers, timeout=0.01)
        assert len(woken) == 3
        steer(clock, "advance=1h")
        await asyncio.gather(*sleepers)

    asyncio.run(work())


def test_sleepers_wake_by_themselves_while_it_goes():
    async def work():
        clock = SteeredClock()
        steer(clock, "advance=10h")
        before = clock.now()
        await clock.sleep(0.02)
        assert clock.now() - before >= dt.timedelta(seconds=0.02)

    asyncio.run(work())


@given(
    st.timedeltas(dt.timedelta(days=-40_000), dt.timedelta(days=40_000)),
    st.none() | st.datetimes(timezones=st.just(dt.UTC)),
)
def test_a_shift_survives_being_told(ahead, frozen_at):
    shift = Shift(ahead) if frozen_at is None else Shift(frozen_at=frozen_at)

    assert len(shift.encode()) == SIZE
    assert Shift.decode(shift.encode()) == shift


def test_another_process_learns_the_time_from_a_file(clock, tmp_path, monkeypatch):
    path = tmp_path / "clock"
    path.write_bytes(bytes(SIZE))
    clock.share(path)
    monkeypatch.setattr(SystemClock, "now", SystemClock.now)
    follower.follow(path)
    theirs = SystemClock()
    assert abs(theirs.now() - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)

    steer(clock, "advance=1000h")
    assert abs(theirs.now() - dt.datetime.now(dt.UTC) - 1000 * HOUR) < dt.timedelta(minutes=1)

    steer(clock, "freeze")
    assert theirs.now() == NOON + 1000 * HOUR

    steer(clock, "reset")
    assert abs(theirs.now() - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)


def test_a_time_out_of_the_calendar_is_an_error_and_changes_nothing(clock):
    steer(clock, "jump=9999-12-31T00:00:00Z")

    with pytest.raises((ValueError, OverflowError), match=re.escape("out of range")):
        steer(clock, "advance=52w")

    assert clock.now().year == 9999

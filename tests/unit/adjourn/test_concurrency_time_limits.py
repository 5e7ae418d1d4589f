"""What takes too long is ended by an exception in its thread, and nothing else is."""

import threading
import time
from contextlib import suppress

import pytest

from adjourn.concurrency import TimeLimits, time_limit

MOMENT = 0.01
LONG = 60


class TooLong(BaseException):
    pass


def spin():
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        pass
    raise AssertionError("nothing has ended it")


def test_work_that_never_ends_is_ended():
    with pytest.raises(TooLong), time_limit(MOMENT, TooLong):
        spin()


def test_work_that_handles_every_error_is_ended():
    def stubborn():
        try:
            spin()
        except Exception:  # noqa: BLE001
            spin()

    with pytest.raises(TooLong), time_limit(MOMENT, TooLong):
        stubborn()


def test_work_that_ends_in_time_is_left_alone():
    limits = TimeLimits()
    for _ in range(100):
        with limits.limit(LONG, TooLong):
            pass

    assert limits._limits == set()


def test_a_limit_that_is_reached_while_c_code_waits_ends_the_work_afterwards():
    def wait():
        threading.Event().wait(10 * MOMENT)
        spin()

    with pytest.raises(TooLong), time_limit(MOMENT, TooLong):
        wait()


def test_a_limit_that_is_set_later_may_be_reached_earlier():
    limits = TimeLimits()
    with limits.limit(LONG, TooLong), pytest.raises(TooLong), limits.limit(MOMENT, TooLong):
        spin()


def test_each_thread_has_its_own_limit():
    ended = []

    def work(seconds):
        try:
            with time_limit(seconds, TooLong):
                spin_until.wait(LONG)
        except TooLong:
            ended.append(seconds)

    spin_until = threading.Event()
    patient = threading.Thread(target=work, args=(LONG,))
    patient.start()
    with pytest.raises(TooLong), time_limit(MOMENT, TooLong):
        spin()
    spin_until.set()
    patient.join()

    assert ended == []


def test_an_exception_never_arrives_after_the_block():
    """The limit is reached at about the moment at which the work ends."""
    limits = TimeLimits()
    for number in range(300):
        with suppress(TooLong), limits.limit(number * 1e-5, TooLong):
            end = time.monotonic() + 1.5e-3
            while time.monotonic() < end:
                pass
        for _ in range(100):  # whatever is pending would be raised here
            pass

    assert limits._limits == set()

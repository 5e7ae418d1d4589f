"""What takes too long is ended by an exception in its thread, and nothing else is."""

import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from adjourn import concurrency
from adjourn.concurrency import TimeLimits, time_limit, watched_limits
from tests.checkout import ROOT

MOMENT = 0.01
LONG = 60
THREADS = 8
BLOCKS = 50


class TooLong(BaseException):
    pass


def spin():
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        pass
    raise AssertionError("nothing has ended it")


def in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.fixture
def _switched_often():
    """Switch between threads as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


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
    limits = watched_limits()
    for _ in range(100):
        with limits.limit(LONG, TooLong):
            pass

    assert limits.watched == {}


def test_a_limit_that_is_reached_while_c_code_waits_ends_the_work_afterwards():
    def wait():
        threading.Event().wait(10 * MOMENT)
        spin()

    with pytest.raises(TooLong), time_limit(MOMENT, TooLong):
        wait()


def test_a_limit_that_is_set_later_may_be_reached_earlier():
    limits = watched_limits()
    is_entered, is_over = threading.Event(), threading.Event()

    def patient():
        with limits.limit(LONG, TooLong):
            is_entered.set()
            is_over.wait(LONG)

    thread = in_thread(patient)
    is_entered.wait(LONG)
    with pytest.raises(TooLong), limits.limit(MOMENT, TooLong):
        spin()
    is_over.set()
    thread.join()


def test_each_thread_has_its_own_limit():
    ended = []

    def work():
        try:
            with time_limit(LONG, TooLong):
                is_over.wait(LONG)
        except TooLong:
            ended.append(threading.current_thread())

    is_over = threading.Event()
    patient = in_thread(work)
    with pytest.raises(TooLong), time_limit(MOMENT, TooLong):
        spin()
    is_over.set()
    patient.join()

    assert ended == []


@pytest.mark.usefixtures("_switched_often")
def test_an_exception_never_arrives_after_the_block(monkeypatch):
    """Each block ends in the instant in which its limit is reached, before or after the exception.

    Threads are switched between any two instructions, so all orders come about.
    """
    limits = TimeLimits(now=lambda: 0.0)
    ended, late = [], []
    raise_in = concurrency._raise_in

    def hesitating(thread, error):
        time.sleep(0)  # lets other threads go on
        return raise_in(thread, error)

    monkeypatch.setattr(concurrency, "_raise_in", hesitating)

    def work():
        for _ in range(BLOCKS):
            try:
                with suppress(TooLong), (limit := limits.limit(0, TooLong)):
                    while limit in limits.watched:
                        pass
                ended.append(threading.current_thread())
                for _ in range(20):  # whatever is pending would be raised here
                    pass
            except TooLong:
                late.append(threading.current_thread())

    workers = [in_thread(work) for _ in range(THREADS)]
    while any(each.is_alive() for each in workers):
        limits.end_reached()

    assert late == []
    assert len(ended) == THREADS * BLOCKS
    assert limits.watched == {}


class Leaving(dict):
    """Says when the limit that it holds is being left, and is not found any more."""

    def __init__(self):
        super().__init__()
        self.has_failed = threading.Event()

    def __delitem__(self, limit):
        if limit not in self:
            self.has_failed.set()
        super().__delitem__(limit)


def test_a_limit_that_is_reached_while_its_block_ends_is_taken_back(monkeypatch):
    """The exception is raised only when the thread is already leaving the block."""
    limits, is_taken = TimeLimits(now=lambda: 0.0), threading.Event()
    limits.watched = leaving = Leaving()
    raise_in = concurrency._raise_in

    def late(thread, error):
        if error is TooLong:
            is_taken.set()
            assert leaving.has_failed.wait(LONG)
        return raise_in(thread, error)

    monkeypatch.setattr(concurrency, "_raise_in", late)

    with limits.limit(0, TooLong):
        watcher = in_thread(limits.end_reached)
        assert is_taken.wait(LONG)
    for _ in range(100):  # whatever is pending would be raised here
        pass
    watcher.join()

    assert leaving.has_failed.is_set()


class Interrupted:
    """As if Ctrl-C were pressed while a limit wakes the thread that watches it."""

    def release(self):
        raise KeyboardInterrupt


def test_a_limit_whose_block_is_not_entered_is_not_watched():
    limits = TimeLimits()
    limits._sleep = Interrupted()

    with pytest.raises(KeyboardInterrupt), limits.limit(LONG, TooLong):
        pass

    assert limits.watched == {}


# In a process of its own, as it never ends if the interpreter takes an exception for pending.
TAKEN_BACK = """
import sys, threading
from adjourn.concurrency import TimeLimits

limits = TimeLimits(now=lambda: 0.0)
try:
    with limits.limit(0, SystemError):
        try:
            watcher = threading.Thread(target=limits.end_reached)
            watcher.start()
            watcher.join()
        except SystemError:
            print("ended")
except SystemError:
    print("late")
sys.setprofile(lambda *_: None)
(lambda: None)()
sys.setprofile(None)
print("profiled")
"""


def test_a_profile_function_can_be_used_after_a_limit_was_reached():
    done = subprocess.run(
        [sys.executable, "-c", TAKEN_BACK],
        env={"PYTHONPATH": str(ROOT / "shared")},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert done.stdout.split() == ["ended", "profiled"]

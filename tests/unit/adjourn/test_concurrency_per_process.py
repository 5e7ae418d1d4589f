"""A client is made on first use, once in each process."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

from adjourn.concurrency import PerProcess


def test_it_is_made_on_first_use_and_kept():
    made = []
    client = PerProcess(lambda: made.append(object()) or made[-1])
    assert not made

    first, second = client(), client()

    assert first is second
    assert len(made) == 1


def test_a_forked_process_makes_its_own(monkeypatch):
    client = PerProcess(object)
    parents = client()
    monkeypatch.setattr(os, "getpid", lambda: -1)

    childs = client()

    assert childs is not parents
    assert client() is childs


def test_threads_that_come_at_once_share_one():
    together = threading.Barrier(4)
    made = []

    def make():
        made.append(object())
        return made[-1]

    client = PerProcess(make)

    def use(_):
        together.wait(10)
        return client()

    with ThreadPoolExecutor(4) as pool:
        used = set(pool.map(use, range(4)))

    assert used == set(made)
    assert len(made) == 1


def test_a_thread_that_waited_for_another_uses_what_that_one_made():
    client = PerProcess(lambda: "second")

    with ThreadPoolExecutor(1) as pool:
        with client._lock:
            waiting = pool.submit(client)
            client._made = (os.getpid(), "first")

        assert waiting.result(10) == "first"

"""What several threads want of the same subject is done together."""

import threading

import pytest

from adjourn.state.combining import Combiner


class Runs:
    """Does work when it is told to, and notes what it did together."""

    def __init__(self):
        self.together = []
        self.gate = threading.Event()

    def __call__(self, subject, works):
        self.gate.wait(10)
        self.together.append((subject, list(works)))
        return [work() for work in works]


def in_threads(combiner, subject, works):
    results = {}

    def do(number, work):
        try:
            results[number] = combiner(subject, work)
        except ValueError as error:
            results[number] = error

    threads = [threading.Thread(target=do, args=each) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    while not (lane := combiner._lanes.get(subject)) or lane.users < len(works):
        threading.Event().wait(0.001)
    return threads, results


def test_each_gets_its_own_result_and_what_came_meanwhile_is_done_at_once():
    runs = Runs()
    combiner = Combiner(runs)
    threads, results = in_threads(combiner, "a", [lambda n=n: n for n in range(10)])
    runs.gate.set()
    for thread in threads:
        thread.join()

    assert results == {n: n for n in range(10)}
    assert 1 <= len(runs.together) <= 2
    assert combiner._lanes == {}


def test_an_error_reaches_all_whose_work_it_ended():
    runs = Runs()
    combiner = Combiner(runs)

    def fail():
        raise ValueError("no")

    threads, results = in_threads(combiner, "a", [fail] * 3)
    runs.gate.set()
    for thread in threads:
        thread.join()

    assert [str(each) for each in results.values()] == ["no"] * 3


def test_another_subject_does_not_wait():
    runs = Runs()
    combiner = Combiner(runs)
    blocked = threading.Event()

    def wait():
        runs.gate.set()
        return blocked.wait(10)

    runs.gate.set()
    threads, results = in_threads(combiner, "a", [wait])
    assert combiner("b", lambda: "done") == "done"
    blocked.set()
    threads[0].join()

    assert results == {0: True}


def test_a_process_that_is_told_to_end_ends():
    combiner = Combiner(Runs())
    combiner._run = lambda _subject, _works: (_ for _ in ()).throw(KeyboardInterrupt)

    with pytest.raises(KeyboardInterrupt):
        combiner("a", lambda: None)

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
    while not (lane := combiner._lanes.get(subject)) or len(lane.jobs) + 1 < len(works):
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


class Steps:
    """Does work when it is told to, and ends some as a process is ended."""

    def __init__(self):
        self.begun, self.gates = [], {}

    def __call__(self, _subject, works):
        self.begun.append(list(works))
        self.gates[works[0]].wait(10)
        if "ended" in works:
            raise KeyboardInterrupt
        return works

    def wait(self, batches):
        while len(self.begun) < batches:
            threading.Event().wait(0.001)


def started(combiner, steps, results, *works):
    """Start a thread for each, which waits for the present batch in this order."""
    threads = []
    for work in works:
        steps.gates[work] = threading.Event()

        def do(work=work):
            try:
                results.append(combiner("a", work))
            except KeyboardInterrupt:
                results.append("interrupted")

        threads.append(threading.Thread(target=do))
        threads[-1].start()
        while work not in _known(combiner, steps):
            threading.Event().wait(0.001)
    return threads


def _known(combiner, steps):
    lane = combiner._lanes.get("a")
    waiting = [job.work for job in lane.jobs] if lane else []
    return [*waiting, *(work for batch in steps.begun for work in batch)]


def test_who_is_done_does_not_wait_for_the_next_batch():
    steps, results = Steps(), []
    combiner = Combiner(steps)
    first = started(combiner, steps, results, "first")
    steps.wait(1)
    second = started(combiner, steps, results, "second", "with second")
    steps.gates["first"].set()
    steps.wait(2)
    third = started(combiner, steps, results, "third")
    steps.gates["second"].set()
    steps.wait(3)
    for thread in [*first, *second]:
        thread.join()  # while the third one is being done

    assert sorted(results) == ["first", "second", "with second"]
    steps.gates["third"].set()
    third[0].join()
    assert steps.begun == [["first"], ["second", "with second"], ["third"]]
    assert combiner._lanes == {}


def test_when_a_thread_is_interrupted_the_next_one_leads():
    steps, results = Steps(), []
    combiner = Combiner(steps)
    ended = started(combiner, steps, results, "ended")
    steps.wait(1)
    following = started(combiner, steps, results, "following")
    steps.gates["following"].set()
    steps.gates["ended"].set()
    for thread in [*ended, *following]:
        thread.join()

    assert sorted(results) == ["following", "interrupted"]
    assert combiner._lanes == {}

"""Steps that die are counted, and what ends the process is found, told and given up."""

import datetime as dt
from contextlib import suppress

import pytest

from adjourn import App, QueryIter, Status
from adjourn.errors import ConflictError, ProcessDiedError, StoreError, StoreRefusedError
from adjourn.execution.delivery import Outcome
from adjourn.iteration.custom_data import MOST_INSIDE
from adjourn.iteration.shards import shard_key
from adjourn.state.large_payloads import KIND as PAYLOAD
from adjourn.testing import MemoryQuery, sandbox
from tests.faults import CrashError

QUERY = MemoryQuery("Order")
LEASE = dt.timedelta(seconds=60)
MINUTE = dt.timedelta(minutes=1)


class Walk(QueryIter):
    """Handles numbers; some of them end the process."""

    deadly: set[int]
    notes: list[object]
    given_up: list[object]

    def handle_entry(self, entry, custom_data):
        self.notes.append(entry)
        if entry in self.deadly:
            raise CrashError
        custom_data["sum"] += entry

    def handle_error(self, entry, custom_data, exception):  # noqa: ARG002
        self.given_up.append((entry, type(exception)))
        return True

    def handle_finish(self, total_count, custom_data):
        self.notes.append((total_count, custom_data["sum"]))

    def merge(self, first, second):
        return {"sum": first["sum"] + second["sum"]}


@pytest.fixture
def declare(app, box, ran):
    box.queries.add("Order", *range(10))

    def declared(**members):
        named = {"__module__": __name__, "notes": ran, "deadly": {4}, "given_up": []}
        return app.query_iter(type("Walk", (Walk,), named | members))

    return declared


def stored(box, run):
    return box.store.get([shard_key(run.id, 0)])[0]


def deliver(box):
    """Deliver what is due first; a process that dies leaves its lease behind."""
    with suppress(CrashError):
        return box.deliver(box.queue.due()[0])
    box.clock.advance(LEASE)
    return None


def go_on(box, times=60):
    """Deliver until nothing is left; return how many processes died."""
    deaths = 0
    for _ in range(times):
        if not box.queue.tasks:
            return deaths
        if not box.queue.due():
            box.clock.advance(LEASE)
        else:
            deaths += deliver(box) is None
    raise AssertionError("it never ends")


# Entities that end the process


@pytest.mark.parametrize("shards", [1, 2])
def test_an_entity_that_ends_the_process_is_found_and_given_up(box, declare, ran, shards):
    walk = declare()
    run = walk.start(QUERY, {"sum": 0}, shards=shards)

    deaths = go_on(box)

    assert deaths == 3 + 3
    assert walk.given_up == [(4, ProcessDiedError)]
    state = run.fetch()
    assert (state.status, state.done, state.errors) == (Status.FINISHED, 10, 1)
    assert state.failures[0].message.startswith("ProcessDiedError: The process died")
    assert set(ran) == {*range(10), (10, 41)}


def test_entities_that_come_in_batches_are_found_too(box, declare, ran):
    def handle_batch(self, entries, custom_data):
        ran.append(list(entries))
        if self.deadly & set(entries):
            raise CrashError
        custom_data["sum"] += sum(entries)

    walk = declare(handle_batch=handle_batch, handle_entry=QueryIter.handle_entry, deadly={3, 7})
    run = walk.start(QUERY, {"sum": 0})

    go_on(box)

    assert walk.given_up == [(3, ProcessDiedError), (7, ProcessDiedError)]
    assert (run.fetch().status, run.fetch().errors) == (Status.FINISHED, 2)
    assert ran[-1] == (10, 35)


def test_an_entity_that_ends_the_process_when_it_is_tried_again_is_found(box, declare, ran):
    def handle_entry(self, entry, custom_data):  # noqa: ARG001
        ran.append(entry)
        if entry == 4:
            raise RuntimeError("broken") if ran.count(4) == 1 else CrashError

    walk = declare(handle_entry=handle_entry)
    run = walk.start(QUERY, {"sum": 0})

    deaths = go_on(box)

    assert deaths == 3 + 3
    assert walk.given_up == [(4, ProcessDiedError)]
    assert (run.fetch().status, run.fetch().errors) == (Status.FINISHED, 1)
    assert [ran.count(n) for n in range(10)] == [1, 1, 1, 1, 7, 1, 1, 1, 1, 1]


def test_the_position_is_saved_before_each_entity_once_steps_have_died(box, declare, ran):
    run = declare(step_seconds=20).start(QUERY, {"sum": 0})
    for _ in range(3):
        deliver(box)
    assert (stored(box, run)["done"], stored(box, run)["deaths"]) == (0, 2)

    deliver(box)

    assert (stored(box, run)["done"], stored(box, run)["deaths"]) == (4, 0)
    assert ran == [*range(5)] * 4
    deliver(box)
    deliver(box)
    assert ran == [*range(5)] * 4 + [4, 4]
    deliver(box)
    assert ran == [*range(5)] * 4 + [4, 4, *range(5, 10)]


def test_processes_that_die_by_chance_cost_nothing(box, declare, ran):
    """Three of them die, and then nobody does."""
    walk = declare(deadly={4})
    run = walk.start(QUERY, {"sum": 0})
    for _ in range(3):
        deliver(box)
    walk.deadly = set()

    assert go_on(box) == 0

    assert walk.given_up == []
    assert run.fetch().errors == 0
    assert ran[-1] == (10, 45)


def test_an_entity_that_others_take_along_is_handled(box, declare, ran):
    """The process dies twice for another reason while a careful shard handles it."""
    walk = declare(deadly={4})
    run = walk.start(QUERY, {"sum": 0})
    for _ in range(3):
        deliver(box)
    for suspect in (4, 7):
        walk.deadly = {suspect}
        for _ in range(2):
            assert deliver(box) is None
    walk.deadly = set()

    assert go_on(box) == 0

    assert walk.given_up == []
    assert (run.fetch().status, run.fetch().errors) == (Status.FINISHED, 0)
    assert ran[-1] == (10, 45)


def test_a_step_that_dies_before_it_comes_to_the_suspect_proves_nothing(box, declare, ran):
    walk = declare(deadly={4})
    run = walk.start(QUERY, {"sum": 0})
    for _ in range(4):
        deliver(box)
    walk.deadly = set()
    page = box.queries.page

    def dying(*_args, **_options):
        raise CrashError

    box.queries.page = dying
    for _ in range(5):
        assert deliver(box) is None
    box.queries.page = page
    assert stored(box, run)["suspected"] == 1

    assert go_on(box) == 0
    assert (run.fetch().status, run.fetch().errors) == (Status.FINISHED, 0)
    assert ran[-1] == (10, 45)


def test_a_pause_clears_a_suspect(box, declare):
    walk = declare(deadly={4})
    run = walk.start(QUERY, {"sum": 0})
    for _ in range(5):
        deliver(box)
    assert (stored(box, run)["is_handling"], stored(box, run)["suspected"]) == (True, 1)
    run.pause()
    go_on(box)
    walk.deadly = set()
    page = box.queries.page
    run.resume()

    def dying(*_args, **_options):
        raise CrashError

    box.queries.page = dying
    assert [deliver(box), deliver(box)] == [None, None]
    assert stored(box, run)["suspected"] == 0
    box.queries.page = page
    assert go_on(box) == 0
    assert run.fetch().errors == 0


def test_any_number_of_entities_may_end_the_process_one_after_the_other(box, declare, ran):
    walk = declare(deadly={*range(9)})
    run = walk.start(QUERY, {"sum": 0})

    deaths = go_on(box)

    assert deaths == 3 + 3 * 9
    assert walk.given_up == [(n, ProcessDiedError) for n in range(9)]
    assert (run.fetch().status, run.fetch().errors) == (Status.FINISHED, 9)
    assert ran[-1] == (10, 9)


def test_data_that_are_large_are_saved_with_the_position(box, declare, ran):
    def handle_entry(self, entry, custom_data):
        if entry in self.deadly:
            raise CrashError
        custom_data["sum"] += entry
        custom_data["pad"] = "x" * MOST_INSIDE

    run = declare(handle_entry=handle_entry).start(QUERY, {"sum": 0})

    go_on(box)

    assert run.fetch().status is Status.FINISHED
    assert ran == [(10, 41)]
    left = [key.name for key in box.store.records if key.kind == PAYLOAD]
    assert len(left) == 1
    assert left[0].startswith(f"{run.id}-run-")  # that of the run itself


def test_a_hook_that_ends_the_process_whatever_is_done_stops_the_run(box, declare, lines):
    def die(*_):
        raise CrashError

    walk = declare(handle_error=die)
    run = walk.start(QUERY, {"sum": 0})

    deaths = go_on(box)

    assert deaths < 15
    state = run.fetch()
    assert (state.status, state.done) == (Status.STOPPED, 4)
    assert state.last_error == "A step died or was cut off 10 times in a row, with no progress"
    assert "iteration.stopped" in [line["event"] for line in lines()]
    walk.handle_error = lambda *_: True
    run.retry()
    go_on(box)
    assert (run.fetch().status, run.fetch().errors) == (Status.FINISHED, 1)


@pytest.mark.parametrize("hook", ["on_start", "handle_finish"])
def test_a_hook_of_the_run_that_ends_the_process_stops_it_in_the_end(box, declare, hook):
    def die(*_):
        raise CrashError

    run = declare(deadly=set(), **{hook: die}).start(QUERY, {"sum": 0})

    go_on(box)

    state = run.fetch()
    assert state.status is Status.STOPPED
    assert state.last_error == f"The process died, ran out of memory or was cut off in {hook}"


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_a_hook_that_ends_the_process_does_not_keep_a_run_from_resting(box, declare, verb):
    def die(*_):
        raise CrashError

    run = declare(on_pause=die, on_cancel=die).start(QUERY, {"sum": 0})
    getattr(run, verb)()

    assert go_on(box) == 3

    assert run.fetch().status in {Status.PAUSED, Status.CANCELLED}


# Why nothing goes on


def test_a_run_whose_steps_die_says_so_instead_of_a_rate(box, declare):
    run = declare().start(QUERY, {"sum": 0})
    began = box.clock.now()
    for _ in range(3):
        deliver(box)

    state = run.fetch()

    assert (state.stalled_since, state.rate, state.time_left) == (began, 0, None)
    assert state.stalled_because == "A step died or was cut off 2 times in a row, with no progress"


def test_a_run_whose_class_is_gone_says_so(box, declare):
    run = declare().start(QUERY, {"sum": 0})
    box.clock.advance(MINUTE)
    with sandbox(App()) as other:
        other.store.records, other.clock._now = box.store.records, box.clock.now()
        assert other.deliver(box.queue.due()[0]) is Outcome.UNKNOWN
        before = dict(other.store.records)
        assert other.deliver(box.queue.due()[0]) is Outcome.UNKNOWN
        assert other.store.records == before  # it is written once
    box.clock.advance(3 * MINUTE)

    state = run.fetch()

    assert state.stalled_since is not None
    assert "the run waits for it" in state.stalled_because
    assert "Walk" in state.stalled_because
    assert go_on(box) == 3 + 3
    assert run.fetch().stalled_since is None


def test_a_run_whose_tasks_wait_says_so(box, declare):
    run = declare(deadly=set()).start(QUERY, {"sum": 0})
    assert run.fetch().stalled_since is None
    box.clock.advance(3 * MINUTE)

    assert "may wait in the queue default" in run.fetch().stalled_because


def test_a_run_that_only_waits_for_its_failed_entities_is_not_stalled(box, declare):
    def fail(*_):
        raise RuntimeError("broken")

    run = declare(handle_entry=fail, max_entry_retries=20).start(QUERY, {"sum": 0})
    for _ in range(8):
        box.clock.advance(max(box.queue.tasks.values(), key=lambda q: q.due).due - box.clock.now())
        deliver(box)
    box.clock.advance(3 * MINUTE)

    assert run.fetch().stalled_since is None


def test_a_run_whose_step_is_under_way_is_not_stalled(box, declare):
    seen = []

    def handle_entry(_self, _entry, _data):
        box.clock.advance(5 * MINUTE)
        seen.append(run.fetch().stalled_since)

    run = declare(handle_entry=handle_entry).start(QUERY, {"sum": 0})
    box.drain()

    assert set(seen) == {None}


# What Datastore refuses


def test_a_query_that_is_refused_stops_the_run_and_says_why(box, declare, monkeypatch):
    run = declare(deadly=set()).start(QUERY, {"sum": 0})

    def refuse(*_args, **_options):
        raise StoreRefusedError("Datastore refused it: no matching index")

    with monkeypatch.context() as patched:
        patched.setattr(box.queries, "page", refuse)
        outcomes = [box.deliver(box.queue.due()[0]) for _ in range(5)]

    assert outcomes == [Outcome.TROUBLE] * 4 + [Outcome.DONE]
    state = run.fetch()
    assert state.status is Status.STOPPED
    assert state.last_error == "StoreRefusedError: Datastore refused it: no matching index"
    run.retry()
    go_on(box)
    assert run.fetch().status is Status.FINISHED


def test_a_run_that_cannot_be_stopped_now_keeps_its_task(box, declare, monkeypatch):
    run = declare(deadly=set()).start(QUERY, {"sum": 0})

    def refuse(*_args, **_options):
        raise StoreRefusedError("Datastore refused it: no matching index")

    def lose(_work):
        raise ConflictError("others keep changing the run")

    monkeypatch.setattr(box.queries, "page", refuse)
    with monkeypatch.context() as patched:
        patched.setattr(box.store, "transact", lose)
        for _ in range(5):
            box.deliver(box.queue.due()[0])

    go_on(box)

    assert run.fetch().status is Status.STOPPED
    assert run.fetch().last_error.endswith("no matching index")


def test_a_run_whose_steps_die_and_that_cannot_be_stopped_now_keeps_its_task(
    box, declare, monkeypatch
):
    def die(*_):
        raise CrashError

    def lose(_work):
        raise ConflictError("others keep changing the run")

    run = declare(handle_error=die).start(QUERY, {"sum": 0})
    with monkeypatch.context() as patched:
        patched.setattr(box.store, "transact", lose)
        while stored(box, run)["step"] == 0:
            deliver(box)

    go_on(box)

    assert run.fetch().status is Status.STOPPED


def test_an_outage_does_not_stop_a_run(box, declare, monkeypatch):
    run = declare(deadly=set()).start(QUERY, {"sum": 0})

    def fail(*_args, **_options):
        raise StoreError("away")

    with monkeypatch.context() as patched:
        patched.setattr(box.queries, "page", fail)
        for _ in range(30):
            assert box.deliver(box.queue.due()[0]) is Outcome.TROUBLE
        assert run.fetch().last_error == "StoreError: away"

    go_on(box)
    assert run.fetch().status is Status.FINISHED


@pytest.mark.parametrize("is_read", [True, False])
def test_an_outage_at_the_end_of_a_step_is_no_death(box, declare, monkeypatch, is_read):
    """The entities are read or not; in either case, the step can only write its claim."""
    walk = declare(deadly=set())
    run = walk.start(QUERY, {"sum": 0})
    replace = box.store.replace

    def claims_only(key, record, **options):
        if record["lease_until"] is None:
            raise StoreError("away")
        return replace(key, record, **options)

    def away(*_args, **_options):
        raise StoreError("away")

    with monkeypatch.context() as patched:
        patched.setattr(box.store, "replace", claims_only)
        patched.setattr(box.store, "transact", away)
        patched.setattr(box.queries, "page", box.queries.page if is_read else away)
        for _ in range(5):
            assert box.deliver(box.queue.due()[0]) is Outcome.TROUBLE
            assert stored(box, run)["deaths"] == 0

    go_on(box)
    assert run.fetch().status is Status.FINISHED
    assert walk.given_up == []


def test_entities_that_wait_do_not_make_a_shard_too_large(box, declare, ran):
    def handle_batch(_self, entries, _data):
        return [RuntimeError("broken")] * len(entries) if ran else None

    ran.append("fails")
    box.queries.refer = lambda _query, entry: entry
    box.queries.find = lambda _query, references: references
    for n in range(400):
        box.queries.add("Long", f"{n:04}" + "x" * 1500)
    walk = declare(
        handle_batch=handle_batch,
        handle_entry=QueryIter.handle_entry,
        max_entry_retries=1,
        step_seconds=300,
        handle_finish=lambda *_: None,
    )
    run = walk.start(MemoryQuery("Long"), {"sum": 0})

    deliver(box)

    assert stored(box, run)["waiting"] == 400
    assert len(stored(box, run)["retries"]) < 500
    ran.clear()
    go_on(box, 600)
    assert (run.fetch().status, run.fetch().done, run.fetch().errors) == (Status.FINISHED, 400, 0)
    assert not any(key.kind == PAYLOAD for key in box.store.records)


@pytest.mark.parametrize("done", [5, 6])
def test_a_save_that_fails_loses_neither_data_nor_failures(box, declare, ran, monkeypatch, done):
    run = declare().start(QUERY, {"sum": 0})
    replace, failed = box.store.replace, []

    def failing_once(key, record, **options):
        if record.get("done") == done and not failed:
            failed.append(key)
            raise StoreError("away")
        return replace(key, record, **options)

    monkeypatch.setattr(box.store, "replace", failing_once)
    go_on(box)

    assert failed
    assert ran[-1] == (10, 41)
    assert [each.message.partition(":")[0] for each in run.failures()] == ["ProcessDiedError"]

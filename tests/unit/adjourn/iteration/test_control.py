"""Runs are found, watched, paused, resumed, cancelled, retried and revived."""

import datetime as dt
from contextlib import suppress

import pytest

from adjourn import QueryIter, Status, UnknownNameError, current_task
from adjourn.errors import EnqueueError, UnavailableError
from adjourn.execution.delivery import Outcome
from adjourn.iteration.runs import KEPT, run_key
from adjourn.iteration.shards import shard_key
from adjourn.testing import MemoryQuery, Sandbox

QUERY = MemoryQuery("Order")
MINUTE = dt.timedelta(minutes=1)


class Walk(QueryIter):
    """Takes ten seconds for each entity and notes the calls of its hooks."""

    step_seconds = 20
    notes: list[object]
    box: Sandbox

    def handle_entry(self, entry, custom_data):  # noqa: ARG002
        self.box.clock.advance(dt.timedelta(seconds=10))
        self.notes.append(entry)

    def handle_finish(self, total_count, custom_data):  # noqa: ARG002
        self.notes.append(f"finished {total_count}")

    def on_pause(self, custom_data):  # noqa: ARG002
        self.notes.append("paused")

    def on_cancel(self, custom_data):  # noqa: ARG002
        self.notes.append("cancelled")

    def merge(self, first, second):  # noqa: ARG002
        return first


@pytest.fixture
def declare(app, box, ran):
    box.queries.add("Order", *range(10))

    def declared(**members):
        named = {"__module__": __name__, "notes": ran, "box": box}
        return app.query_iter(type("Walk", (Walk,), named | members))

    return declared


@pytest.fixture
def walk(declare):
    return declare()


def stored(box, run):
    return box.store.get([run_key(run.id)])[0]


# Pausing


def test_a_paused_run_rests_and_goes_on_where_it_was(box, walk, ran):
    run = walk.start(QUERY)
    box.deliver(box.queue.due()[0])

    assert run.pause()
    assert run.fetch().status is Status.PAUSING
    box.drain()

    assert run.fetch().status is Status.PAUSED
    assert (run.fetch().done, ran) == (2, [0, 1, "paused"])
    assert not box.queue.tasks
    assert run.resume()
    box.drain()
    assert ran == [0, 1, "paused", *range(2, 10), "finished 10"]
    assert run.fetch().status is Status.FINISHED


def test_pausing_waits_for_all_shards(box, walk, ran):
    run = walk.start(QUERY, shards=3)
    run.pause()
    steps = [q for q in box.queue.due() if "-1" in q.name.rsplit("/", 1)[1]]
    box.deliver(steps[0])
    box.deliver(steps[1])
    assert run.fetch().status is Status.PAUSING

    box.drain()

    assert run.fetch().status is Status.PAUSED
    assert ran == ["paused"]
    run.resume()
    box.drain()
    assert sorted(ran[1:-1]) == list(range(10))


def test_a_step_under_way_is_not_disturbed(box, declare, ran):
    run = None

    def handle_entry(_self, entry, _custom_data):
        ran.append(entry)
        if entry == 4:
            run.pause()

    run = declare(handle_entry=handle_entry).start(QUERY)
    box.drain()

    # The step went to the end of its shard, so nothing but the conclusion is left.
    assert run.fetch().status is Status.PAUSED
    assert ran == [*range(10), "paused"]
    run.resume()
    box.drain()
    assert ran[-1] == "finished 10"


def test_a_pause_can_be_taken_back_before_it_took_effect(box, walk, ran):
    run = walk.start(QUERY)
    run.pause()

    assert run.resume()
    box.drain()

    assert ran == [*range(10), "finished 10"]


def test_a_run_that_is_resumed_while_a_step_is_about_to_leave_goes_on(box, walk, ran):
    run = walk.start(QUERY)
    run.pause()
    working = box.store.transact

    def transact(work):
        box.store.transact = working
        run.resume()
        return working(work)

    box.store.transact = transact
    box.drain()

    assert ran == [*range(10), "finished 10"]


def test_an_interrupted_pause_is_repeated(box, walk):
    run = walk.start(QUERY)
    working, box.queue.enqueue = box.queue.enqueue, refuse
    with pytest.raises(EnqueueError):
        run.pause()
    box.queue.enqueue = working
    box.queue.tasks.clear()

    assert run.pause()
    box.drain()

    assert run.fetch().status is Status.PAUSED


def refuse(_):
    raise UnavailableError("away")


def test_a_failing_hook_does_not_keep_a_run_from_resting(box, declare, lines):
    def fail(*_):
        raise RuntimeError("broken")

    run = declare(on_pause=fail).start(QUERY)
    run.pause()
    box.drain()

    assert run.fetch().status is Status.PAUSED
    assert "iteration.failed" in [line["event"] for line in lines()]


# Cancelling


def test_a_cancelled_run_never_finishes(box, walk, ran):
    run = walk.start(QUERY)
    box.deliver(box.queue.due()[0])

    assert run.cancel()
    box.drain()

    assert run.fetch().status is Status.CANCELLED
    assert ran == [0, 1, "cancelled"]
    assert not run.resume()
    assert not run.retry()
    assert not run.pause()
    assert not run.cancel()
    assert not box.queue.tasks


def test_a_paused_run_can_be_cancelled(box, walk, ran):
    run = walk.start(QUERY)
    run.pause()
    box.drain()

    assert run.cancel()
    box.drain()

    assert ran == ["paused", "cancelled"]


def test_what_has_finished_cannot_be_steered(box, walk):
    run = walk.start(QUERY)
    box.drain()

    assert not any([run.pause(), run.resume(), run.cancel(), run.retry()])
    assert run.fetch().status is Status.FINISHED


def test_what_has_ended_expires(box, walk):
    run = walk.start(QUERY)
    assert "expires_at" not in stored(box, run)
    box.drain()

    assert stored(box, run)["expires_at"] == box.clock.now() + KEPT
    (shard,) = box.store.get([shard_key(run.id, 0)])
    assert shard["expires_at"] == box.clock.now() + KEPT


# Stopping


def test_a_conclusion_that_keeps_failing_stops_the_run_until_it_is_retried(box, declare, ran):
    def handle_finish(_self, total, _custom_data):
        ran.append("tried")
        if len([each for each in ran if each == "tried"]) <= 20:
            raise RuntimeError("broken")
        ran.append(total)

    run = declare(handle_finish=handle_finish).start(QUERY)
    while run.fetch().status is not Status.STOPPED:
        box.drain()

    assert ran[10:] == ["tried"] * 20
    assert run.fetch().last_error == "RuntimeError: broken"
    box.drain()
    assert run.retry()
    box.drain()
    assert ran[-2:] == ["tried", 10]
    assert run.fetch().status is Status.FINISHED


# Starting


def test_a_hook_before_the_first_entity_prepares_the_data(box, declare, ran):
    def on_start(_self, custom_data):
        ran.append("started")
        custom_data["table"] = 7

    def handle_finish(_self, _total, custom_data):
        ran.append(custom_data)

    run = declare(on_start=on_start, handle_finish=handle_finish).start(QUERY, {}, shards=2)
    assert run.fetch().status is Status.STARTING

    box.drain()

    assert ran[0] == "started"
    assert ran.count("started") == 1
    assert ran[-1] == {"table": 7}
    assert sorted(ran[1:-1]) == list(range(10))


def test_data_that_the_first_hook_spoils_let_nothing_begin(box, declare, ran):
    def on_start(_self, custom_data):
        custom_data["spoilt"] = object()

    run = declare(on_start=on_start).start(QUERY, {})

    assert box.drain() == [Outcome.FAILED]

    assert not ran
    assert run.fetch().status is Status.STARTING
    assert "cannot be encoded" in run.fetch().last_error


def test_a_start_under_the_same_name_starts_nothing(box, walk, ran):
    first = walk.start(QUERY, name="spring")
    second = walk.start(QUERY, name="spring")

    assert (first.is_new, second.is_new, first.id == second.id) == (True, False, True)
    assert len(box.queue.tasks) == 1
    box.drain()
    assert not walk.start(QUERY, name="spring").is_new
    assert ran == [*range(10), "finished 10"]
    assert walk.start(QUERY, name="summer").is_new


def test_a_repeated_start_sees_that_the_run_is_enqueued(box, walk, ran):
    walk.start(QUERY, name="spring")
    box.queue.tasks.clear()

    walk.start(QUERY, name="spring")
    box.drain()

    assert ran[-1] == "finished 10"


def test_a_start_that_is_not_enqueued_is_void_and_can_be_repeated(box, walk, ran):
    working, box.queue.enqueue = box.queue.enqueue, refuse
    with pytest.raises(UnavailableError):
        walk.start(QUERY, name="spring")
    (state,) = box.app.runs().find()
    assert state.status is Status.CANCELLED
    assert "It was not enqueued: away" in state.last_error
    box.queue.enqueue = working

    run = walk.start(QUERY, name="spring")

    assert run.is_new
    box.drain()
    assert ran[-1] == "finished 10"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shards": 0}, "shards=0 must be a whole number from 1 to 100"),
        ({"shards": 101}, "shards=101 must be"),
        ({"shards": True}, "shards=True must be"),
        ({"name": ""}, "name='' must have 1 to 500 characters"),
        ({"limit": 0}, "limit=0 must be a whole number from 1"),
        ({"queue": "no queue"}, "queue='no queue' must be"),
    ],
)
def test_wrong_options_are_refused(box, walk, options, message):
    with pytest.raises(ValueError, match=message):
        walk.start(QUERY, **options)

    assert not box.store.records


def test_the_steps_go_to_the_queue_of_the_start(box, walk):
    walk.start(QUERY, queue="slow")

    assert [q.task.queue for q in box.queue.tasks.values()] == ["slow"]


def test_a_step_that_is_refused_comes_again_before_long(box, walk):
    walk.start(QUERY)

    (queued,) = box.queue.tasks.values()
    assert queued.task.max_backoff == dt.timedelta(seconds=30)


# Transactions


def test_a_run_begins_when_its_transaction_is_committed(box, walk, ran):
    with box.transactions.begin():
        walk.start(QUERY)
        box.clock.advance(MINUTE)
        assert box.drain() == [Outcome.BUSY]
        assert not ran

    box.drain()

    assert ran[-1] == "finished 10"


def test_a_run_waits_for_its_commit_by_the_clock_of_the_function_alone(box, walk, ran):
    """The clock of who starts it is ten minutes behind."""
    with box.transactions.begin():
        walk.start(QUERY)
        box.clock.advance(10 * MINUTE)
        assert box.drain() == [Outcome.BUSY]
        box.clock.advance(4 * MINUTE)
        assert box.drain() == [Outcome.BUSY]

    box.drain()

    assert ran[-1] == "finished 10"


def test_a_run_of_a_transaction_that_failed_is_dropped(box, walk, ran, lines):
    run = started_in_vain(box, walk)
    box.clock.advance(MINUTE)
    assert box.drain() == [Outcome.BUSY]
    box.clock.advance(10 * MINUTE)

    box.drain()

    assert not ran
    assert run.fetch().status is Status.CANCELLED
    assert "iteration.rolled_back" in [line["event"] for line in lines()]
    assert walk.start(QUERY, name="spring").is_new
    box.drain()
    assert ran[-1] == "finished 10"


def test_a_transaction_that_is_tried_again_starts_its_run_after_all(box, walk, ran):
    started_in_vain(box, walk)
    box.clock.advance(MINUTE)
    box.drain()
    box.clock.advance(10 * MINUTE)
    with box.transactions.begin():
        assert not walk.start(QUERY, name="spring").is_new
    box.clock.advance(10 * MINUTE)

    box.drain()

    assert ran[-1] == "finished 10"


def started_in_vain(box, walk):
    """Start a run in a transaction that is rolled back."""
    with suppress(ZeroDivisionError), box.transactions.begin():
        run = walk.start(QUERY, name="spring")
        _ = 1 / 0
    return run


# Listing


def test_runs_are_found(app, box, walk):
    first = walk.start(QUERY)
    box.clock.advance(MINUTE)
    second = walk.start(QUERY, shards=2)
    box.deliver(box.queue.due()[0])
    runs = app.runs()

    assert [state.id for state in runs.find()] == [second.id, first.id]
    assert [state.id for state in runs.find(since=box.clock.now() - MINUTE)] == [second.id]
    assert [state.id for state in runs.find(status=Status.RUNNING)] == [second.id, first.id]
    assert not list(runs.find(status=Status.FINISHED))
    assert not list(runs.find(iteration="shop.Reprice"))
    assert runs.get(first.id).fetch().done == 2


def test_a_run_that_is_not_there_is_unknown(app, box):
    with pytest.raises(UnknownNameError, match="There is no run 'r'"):
        app.runs().get("r")

    assert not box.store.records


def test_the_rate_counts_from_the_last_resumption(box, walk):
    run = walk.start(QUERY)
    box.deliver(box.queue.due()[0])
    assert run.fetch().rate == pytest.approx(0.1)
    assert run.fetch().time_left == dt.timedelta(seconds=80)
    run.pause()
    box.drain()
    box.clock.advance(600 * MINUTE)
    assert run.fetch().time_left is None

    run.resume()
    box.deliver(box.queue.due()[0])

    assert run.fetch().rate == pytest.approx(0.1)


# Who started it


def test_the_hooks_know_who_started_the_run(box, declare, ran, app):
    app._declared.propagator.user = lambda: "ada"

    def handle_entry(*_):
        task = current_task()
        ran.append((task.user, task.id, task.queue))

    run = declare(handle_entry=handle_entry).start(QUERY, limit=1)
    app._declared.propagator.user = lambda: "bob"
    box.drain()

    assert ran[0] == ("ada", run.id, "default")


# Reviving


def test_a_run_without_tasks_is_revived_by_the_periodic_function(app, box, walk, ran, lines):
    assert "adjourn" in app.cron_names()
    run = walk.start(QUERY)
    box.deliver(box.queue.due()[0])
    box.queue.tasks.clear()
    box.clock.advance(3 * MINUTE)

    assert box.tick("adjourn") is Outcome.DONE
    box.drain()

    assert ran == [*range(10), "finished 10"]
    assert run.fetch().status is Status.FINISHED
    assert "iteration.revived" in [line["event"] for line in lines()]


@pytest.mark.parametrize("since", ["queued", "recent", "leased"])
def test_a_run_that_goes_on_is_left_alone(box, walk, since):
    run = walk.start(QUERY)
    if since != "queued":
        box.queue.tasks.clear()
    box.clock.advance(MINUTE if since == "recent" else 3 * MINUTE)
    if since == "leased":
        key = shard_key(run.id, 0)
        record = box.store.get([key])[0]
        box.store.put(key, {**record, "lease_until": box.clock.now() + MINUTE})

    assert box.app.wiring().reviver.revive() == 0

    assert stored(box, run)["epoch"] == 0


def test_a_conclusion_that_is_gone_is_revived_too(box, walk, ran):
    walk.start(QUERY)
    while stored_status(box) != "finishing":
        box.deliver(box.queue.due()[0])
    box.queue.tasks.clear()
    box.clock.advance(3 * MINUTE)

    assert box.app.wiring().reviver.revive() == 1
    box.drain()

    assert ran[-1] == "finished 10"


def stored_status(box):
    (state,) = box.app.runs().find()
    return state.status


def test_a_run_that_never_gets_on_is_stopped(box, walk, lines):
    run = walk.start(QUERY)
    for _ in range(6):
        box.queue.tasks.clear()
        box.clock.advance(3 * MINUTE)
        box.app.wiring().reviver.revive()

    assert run.fetch().status is Status.STOPPED
    assert run.fetch().last_error == "It was revived 5 times and made no progress."
    assert lines()[-1]["event"] == "iteration.stopped"
    assert run.retry()
    box.drain()
    assert run.fetch().status is Status.FINISHED


def test_one_run_that_cannot_be_looked_after_does_not_keep_the_others_from_it(box, walk, lines):
    first, second = walk.start(QUERY), walk.start(QUERY)
    box.queue.tasks.clear()
    box.clock.advance(3 * MINUTE)
    working = box.queue.fetch

    def fetch(name):
        if first.id in name:
            raise UnavailableError("away")
        return working(name)

    box.queue.fetch = fetch

    assert box.app.wiring().reviver.revive() == 1

    assert stored(box, second)["epoch"] == 1
    assert "iteration.lost" in [line["event"] for line in lines()]

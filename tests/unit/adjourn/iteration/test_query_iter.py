"""A run is advanced once for each step, however often it is delivered and whatever fails."""

import datetime as dt
import json
import logging

import pytest

from adjourn import App, DeclarationError, EncodeError, QueryIter, Status
from adjourn.errors import DecodeError, StoreError, UnavailableError
from adjourn.execution.dead_letters import KIND as DEAD
from adjourn.execution.delivery import Outcome
from adjourn.iteration.runs import Step, run_key
from adjourn.iteration.shards import shard_key
from adjourn.ports import RecordKey, Target
from adjourn.testing import SETTINGS, MemoryQuery, sandbox
from tests.faults import Faults, lose_answer

LEASE = dt.timedelta(seconds=60)
QUERY = MemoryQuery("Order")


class Script:
    """What an iteration does and what it was asked to do."""

    def __init__(self):
        self.handled, self.finished, self.failures = [], [], []
        self.on_entry = self.on_finish = lambda *_: None
        self.on_error = lambda *_: True


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def walk(app, script):
    return declare(app, script)


def declare(app, script, name="Walk", **members):
    class Made(QueryIter):
        batch_size = 3
        step_seconds = 20
        max_entry_retries = 0

        def handle_entry(self, entry, custom_data):
            script.on_entry(entry, custom_data)
            script.handled.append(entry)

        def handle_error(self, entry, custom_data, exception):
            script.failures.append((entry, custom_data, exception))
            return script.on_error(entry, custom_data, exception)

        def handle_finish(self, total_count, custom_data):
            script.finished.append((total_count, custom_data))
            script.on_finish(total_count, custom_data)

    Made.__qualname__ = Made.__name__ = name
    for member, value in members.items():
        setattr(Made, member, value)
    return app.query_iter(Made)


@pytest.fixture
def box(app):
    with sandbox(app) as made:
        made.queries.add("Order", *range(10))
        yield made


@pytest.fixture
def slow(box, script):
    """Let every entry take so long that a step handles two."""
    script.on_entry = lambda *_: box.clock.advance(dt.timedelta(seconds=10))


def step(box):
    """Return the step that waits on the queue."""
    (queued,) = box.queue.tasks.values()
    return queued


def stored(box, run, shard=0):
    """Return what is stored of a shard."""
    return box.store.get([shard_key(run.id, shard)])[0]


def letters(box):
    return [record for key, (_, record) in box.store.records.items() if key.kind == DEAD]


def live_steps(box):
    return [Step.decode(q.task.body).number for q in box.queue.tasks.values()]


def first_step(run, number=0, shard=0):
    return Step(run_id=run.id, shard=shard, number=number, epoch=0)


# Starting


def test_a_run_is_written_before_its_first_step_is_enqueued(box, walk, lines):
    run = walk.start(QUERY, {"factor": 2})

    queued = step(box)
    assert Step.decode(queued.task.body) == first_step(run)
    assert (queued.task.target, queued.task.queue) == (Target.QUERYITER, "default")
    assert queued.task.label == f"{__name__}.Walk"
    assert queued.name.endswith(f"/tasks/{run.id}-0000-0-0")
    assert (run.fetch().status, run.fetch().done, run.fetch().total) == (Status.RUNNING, 0, 10)
    assert lines()[-1]["event"] == "iteration.started"
    assert lines()[-1]["run"] == run.id


def test_the_steps_go_to_the_queue_of_the_class(app, script):
    walk = declare(app, script, queue_name="slow")

    with sandbox(app) as box:
        walk.start(QUERY)

        assert step(box).task.queue == "slow"


def test_a_query_of_another_sort_is_refused(box, walk):
    with pytest.raises(DeclarationError, match="is not a MemoryQuery"):
        walk.start("select *")

    assert not box.store.records


@pytest.mark.parametrize(
    ("custom_data", "message"),
    [
        ({"a": [object()]}, r"custom_data\['a'\]\[0\]: .*cannot be encoded"),
        (b"x" * (26 << 20), "custom_data takes 3.,...,... bytes and a run can keep 33,554,432"),
    ],
)
def test_data_that_a_run_cannot_keep_are_refused(box, walk, custom_data, message):
    with pytest.raises(EncodeError, match=message):
        walk.start(QUERY, custom_data)

    assert not box.store.records


def test_a_first_step_that_is_not_accepted_is_told(box, walk):
    def fail(_):
        raise UnavailableError("away")

    box.queue.enqueue = fail

    with pytest.raises(UnavailableError):
        walk.start(QUERY)


def test_a_run_whose_entity_is_gone_is_none(box, walk):
    run = walk.start(QUERY)
    box.store.records.clear()

    assert run.fetch() is None


# Walking


def test_every_entry_is_handled_in_order_and_the_run_is_concluded(box, walk, script, lines):
    run = walk.start(QUERY, {"seen": 0})

    outcomes = box.drain()

    assert set(outcomes) == {Outcome.DONE}
    assert script.handled == list(range(10))
    assert script.finished == [(10, {"seen": 0})]
    state = run.fetch()
    assert (state.status, state.done, state.errors) == (Status.FINISHED, 10, 0)
    assert "iteration.finished" in [line["event"] for line in lines()]


def test_an_empty_query_is_concluded_with_nothing(app, walk, script):
    with sandbox(app) as box:
        run = walk.start(QUERY)
        box.drain()

        assert script.handled == []
        assert script.finished == [(0, None)]
        assert run.fetch().status is Status.FINISHED


@pytest.mark.parametrize("batch_size", [1, 2, 3, 9, 10, 11, 1000])
def test_the_batch_size_makes_no_difference(app, script, batch_size):
    walk = declare(app, script, batch_size=batch_size)

    with sandbox(app) as box:
        box.queries.add("Order", *range(10))
        walk.start(QUERY)
        box.drain()

    assert script.handled == list(range(10))


@pytest.mark.parametrize("seconds", [1, 3, 7, 10, 20, 100])
def test_a_step_ends_when_its_time_is_up_and_the_next_one_goes_on(box, walk, script, seconds):
    script.on_entry = lambda *_: box.clock.advance(dt.timedelta(seconds=seconds))
    run = walk.start(QUERY)

    box.drain()

    assert script.handled == list(range(10))
    assert script.finished == [(10, None)]
    assert run.fetch().done == 10


@pytest.mark.usefixtures("slow")
def test_the_steps_are_named_after_the_run_and_their_number(box, walk):
    run = walk.start(QUERY)

    box.deliver(step(box))

    assert step(box).name.endswith(f"/tasks/{run.id}-0000-1-0")
    assert json.loads(step(box).task.body) == {
        "v": 1,
        "run": run.id,
        "shard": 0,
        "step": 1,
        "epoch": 0,
    }
    assert stored(box, run)["done"] == 2
    assert stored(box, run)["lease_until"] is None


@pytest.mark.usefixtures("slow")
def test_the_data_are_carried_from_step_to_step(box, walk, script):
    slow = script.on_entry

    def count(entry, custom_data):
        slow()
        custom_data["seen"] += 1
        custom_data["last"] = entry

    script.on_entry = count
    walk.start(QUERY, {"seen": 0})

    box.drain()

    assert script.finished == [(10, {"seen": 10, "last": 9})]


@pytest.mark.usefixtures("slow")
def test_entries_that_their_handler_deletes_do_not_hide_others(box, walk, script):
    slow = script.on_entry

    def delete(entry, _):
        slow()
        box.queries.remove("Order", entry)

    script.on_entry = delete
    walk.start(QUERY)

    box.drain()

    assert script.handled == list(range(10))


@pytest.mark.usefixtures("slow")
def test_entries_that_are_added_behind_are_handled_too(box, walk, script):
    run = walk.start(QUERY)
    box.deliver(step(box))
    box.queries.add("Order", 10, 11)

    box.drain()

    assert script.handled == list(range(12))
    assert (run.fetch().done, run.fetch().total) == (12, 10)


# Deliveries that come again


@pytest.mark.usefixtures("slow")
def test_a_lost_answer_does_not_fork_the_chain(box, walk, script):
    run = walk.start(QUERY)

    while box.queue.tasks:
        queued = min(box.queue.tasks.values(), key=lambda q: Step.decode(q.task.body).number)
        assert lose_answer(box, queued) is Outcome.DONE
        assert box.deliver(queued) is Outcome.DONE
        assert len(live_steps(box)) <= 1

    assert script.handled == list(range(10))
    assert script.finished == [(10, None)]
    assert run.fetch().done == 10


@pytest.mark.usefixtures("slow")
def test_a_late_duplicate_of_any_step_changes_nothing(box, walk, script):
    run = walk.start(QUERY)
    bodies = []
    while box.queue.tasks:
        bodies.append(step(box).task.body)
        box.deliver(step(box))
    before = stored(box, run)

    for body in bodies:
        delivery = box.delivery(SETTINGS.queryiter_url, body)
        assert box.app.wiring().receive_step(delivery) is Outcome.DONE

    assert stored(box, run) == before
    assert not box.queue.tasks
    assert len(script.finished) == 1


@pytest.mark.usefixtures("slow")
def test_a_stale_step_sees_that_the_next_one_is_queued(box, walk):
    walk.start(QUERY)
    first = step(box)
    lose_answer(box, first)
    box.queue.tasks = {first.name: first}  # the next one was not enqueued after all

    assert box.deliver(first) is Outcome.DONE

    assert live_steps(box) == [1]


def test_a_duplicate_during_a_step_is_told_to_come_again(box, walk, script):
    run = walk.start(QUERY)
    queued, met = step(box), []

    def overlap(entry, _):
        if entry == 4:
            met.append(lose_answer(box, queued))

    script.on_entry = overlap
    box.drain()

    assert met == [Outcome.BUSY]
    assert script.handled == list(range(10))
    assert run.fetch().done == 10


@pytest.mark.usefixtures("slow")
def test_a_step_that_comes_too_early_is_told_to_come_again(box, walk):
    run = walk.start(QUERY)
    delivery = box.delivery(SETTINGS.queryiter_url, first_step(run, 1).encode())

    assert box.app.wiring().receive_step(delivery) is Outcome.BUSY


def test_a_worker_that_lost_its_lease_cannot_write(box, walk, script, lines):
    run = walk.start(QUERY)
    queued, outcomes = step(box), []

    def too_slow(entry, _):
        if entry == 4 and not outcomes:
            box.clock._now += LEASE  # the process stood still, and so did its heartbeat
            outcomes.append(None)
            outcomes[0] = lose_answer(box, queued)

    script.on_entry = too_slow

    assert box.deliver(queued) is Outcome.BUSY

    assert outcomes == [Outcome.DONE]
    assert "iteration.fenced" in [line["event"] for line in lines()]
    box.drain()
    assert run.fetch().done == 10
    assert run.fetch().status is Status.FINISHED
    assert script.finished == [(10, None)]


@pytest.mark.parametrize(
    ("step_seconds", "lease"), [(1, 60), (20, 60), (30, 60), (40, 80), (300, 600)]
)
def test_a_lease_outlasts_the_step(app, script, step_seconds, lease):
    walk = declare(app, script, step_seconds=step_seconds)
    with sandbox(app) as box:
        box.queries.add("Order", 1)
        run = walk.start(QUERY)
        leases = []
        script.on_entry = lambda *_: leases.append(stored(box, run)["lease_until"])

        box.drain()

        assert leases == [box.clock.now() + dt.timedelta(seconds=lease)]


# Crashes


@pytest.mark.parametrize("again", [False, True])
def test_a_crash_at_any_moment_neither_forks_the_chain_nor_ends_it(again):
    point = 0
    while True:
        app, script = App(), Script()
        walk = declare(app, script)
        with sandbox(app) as box:
            box.queries.add("Order", *range(10))
            script.on_entry = lambda *_, box=box: box.clock.advance(dt.timedelta(seconds=10))
            run = walk.start(QUERY, {"seen": []})
            faults = Faults(box)
            faults.die_at = point

            crashed = deliver_all(box, faults, again=again)

            assert set(script.handled) == set(range(10))
            assert (run.fetch().done, run.fetch().status) == (10, Status.FINISHED)
            assert {total for total, _ in script.finished} == {10}
            assert not letters(box)
        if not crashed:
            break
        point += 1
    assert point > 20


def deliver_all(box, faults, *, again):
    crashed = False
    for _ in range(100):
        if not (due := box.queue.due()):
            return crashed
        assert len(due) <= 2
        outcome = faults.deliver(due[0])
        if outcome is None:
            crashed = True
            if again:
                faults.die_at = faults.passed + 3
                again = False
        if outcome in {None, Outcome.BUSY}:
            box.clock.advance(LEASE)
    raise AssertionError("The run does not end.")


def test_a_store_that_fails_in_the_middle_of_a_step_keeps_what_was_done(box, walk, script):
    run = walk.start(QUERY)
    pages, page = [], box.queries.page

    def fail(*args, **kwargs):
        pages.append(kwargs["cursor"])
        if len(pages) == 3:
            raise StoreError("away")
        return page(*args, **kwargs)

    box.queries.page = fail

    assert box.deliver(step(box)) is Outcome.TROUBLE

    assert (stored(box, run)["done"], stored(box, run)["lease_until"]) == (6, None)
    box.drain()
    assert script.handled == list(range(10))
    assert run.fetch().status is Status.FINISHED


@pytest.mark.usefixtures("slow")
def test_a_next_step_that_is_not_accepted_is_enqueued_by_a_repeated_delivery(box, walk, script):
    walk.start(QUERY)
    enqueue = box.queue.enqueue

    def fail(_):
        raise UnavailableError("away")

    box.queue.enqueue = fail
    assert box.deliver(step(box)) is Outcome.TROUBLE
    assert script.handled == [0, 1]

    box.queue.enqueue = enqueue
    assert box.deliver(step(box)) is Outcome.DONE

    assert script.handled == [0, 1]
    assert live_steps(box) == [1]


# Errors


def test_an_entry_that_fails_is_counted_and_the_run_goes_on(box, walk, script, lines):
    error = RuntimeError("broken")

    def fail(entry, _):
        if entry in {2, 5}:
            raise error

    script.on_entry = fail
    run = walk.start(QUERY, "data")

    box.drain()

    assert script.handled == [0, 1, 3, 4, 6, 7, 8, 9]
    assert script.failures == [(2, "data", error), (5, "data", error)]
    assert script.finished == [(10, "data")]
    state = run.fetch()
    assert (state.done, state.errors, state.last_error) == (10, 2, "RuntimeError: broken")
    errors = [line for line in lines() if line["event"] == "iteration.error"]
    assert [line["run"] for line in errors] == [run.id] * 2
    assert "RuntimeError: broken" in errors[0]["stack_trace"]


def test_without_a_handler_of_errors_the_run_goes_on(app, script):
    walk = declare(app, script, handle_error=QueryIter.handle_error)

    def fail(*_):
        raise RuntimeError("broken")

    script.on_entry = fail
    with sandbox(app) as box:
        box.queries.add("Order", *range(10))
        run = walk.start(QUERY)
        box.drain()

        assert (run.fetch().done, run.fetch().errors) == (10, 10)


def test_without_a_handler_of_the_end_the_run_just_ends(app, script):
    walk = declare(app, script, handle_finish=QueryIter.handle_finish)

    with sandbox(app) as box:
        run = walk.start(QUERY)
        box.drain()

        assert run.fetch().status is Status.FINISHED


@pytest.mark.parametrize("answer", ["false", "none", "raises", "exits"])
def test_an_error_that_stops_the_run_keeps_its_position(box, walk, script, lines, answer):
    def fail(entry, custom_data):
        if entry == 4:
            raise RuntimeError("broken")
        custom_data.append(entry)

    def stop(*_):
        if answer == "raises":
            raise ValueError("worse")
        if answer == "exits":
            raise SystemExit(1)
        return None if answer == "none" else False

    script.on_entry, script.on_error = fail, stop
    run = walk.start(QUERY, [])

    assert box.drain() == [Outcome.DONE]

    assert script.handled == [0, 1, 2, 3]
    assert not script.finished
    state = run.fetch()
    assert (state.status, state.done, state.errors) == (Status.STOPPED, 4, 0)
    assert state.last_error == "RuntimeError: broken (at 5)"
    before = box.queries.page(box.queries.describe(QUERY), cursor="", limit=4).cursors[-1]
    assert (stored(box, run)["custom_data"], stored(box, run)["cursor"]) == (b"[0,1,2,3]", before)
    assert [line["event"] for line in lines()][-1] == "iteration.stopped"
    assert not box.queue.tasks


def test_an_entry_whose_handler_exits_has_failed_and_takes_nothing_along(box, walk, script):
    def leave(entry, _):
        if entry == 4:
            raise SystemExit("enough")

    script.on_entry = leave
    run = walk.start(QUERY)

    box.drain()

    ((entry, _, error),) = script.failures
    assert entry == 4
    assert isinstance(error, RuntimeError)
    assert run.fetch().last_error == "RuntimeError: handle_entry raised SystemExit: enough"
    assert run.fetch().status is Status.FINISHED


@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit(1)])
def test_a_failing_conclusion_is_tried_again_with_the_data_as_they_were(
    box, walk, script, lines, error
):
    seen = []

    def fail(_, custom_data):
        seen.append(dict(custom_data))
        custom_data["touched"] = True
        if len(seen) < 3:
            raise error

    script.on_finish = fail
    run = walk.start(QUERY, {"sum": 0})
    box.drain()

    outcomes = [box.deliver(step(box)) for _ in range(2)]

    assert seen == [{"sum": 0}] * 3
    assert outcomes == [Outcome.FAILED, Outcome.DONE]
    assert run.fetch().status is Status.FINISHED
    kept = box.store.get([run_key(run.id)])[0]["custom_data"]
    assert json.loads(kept) == {"sum": 0, "touched": True}
    assert "iteration.failed" in [line["event"] for line in lines()]


@pytest.mark.parametrize("spoil", [object(), b"x" * (26 << 20)])
def test_data_that_can_no_longer_be_kept_stop_the_run(box, walk, script, lines, spoil):
    def change(entry, custom_data):
        custom_data[str(entry)] = spoil if entry == 4 else entry

    script.on_entry = change
    run = walk.start(QUERY, {})

    assert box.drain() == [Outcome.DONE]

    state = run.fetch()
    assert state.status is Status.STOPPED
    assert "custom_data" in state.last_error
    assert not box.queue.tasks
    assert lines()[-1]["event"] == "iteration.stopped"


def test_data_that_the_conclusion_spoils_do_not_undo_it(box, walk, script):
    script.on_finish = lambda _, custom_data: custom_data.append(object())
    run = walk.start(QUERY, [])

    box.drain()

    assert run.fetch().status is Status.FINISHED
    assert "custom_data[0]" in run.fetch().last_error


# Runs and iterations that are not there


def test_a_step_of_a_missing_run_is_a_dead_letter(box, walk):
    run = walk.start(QUERY)
    box.store.records.clear()

    assert box.drain() == [Outcome.DEAD]

    ((key, (_, letter)),) = box.store.records.items()
    assert key == RecordKey(DEAD, f"{run.id}-0000-0-0")
    assert letter["error"] == f"UnknownNameError: There is no run {run.id}."


def test_a_run_waits_for_an_iteration_that_this_revision_does_not_have(box, walk, script, lines):
    run = walk.start(QUERY)
    registry = box.app._declared.iterations
    known, registry._items = registry._items, {}

    assert box.deliver(step(box)) is Outcome.UNKNOWN

    assert lines()[-1]["event"] == "iteration.unknown"
    assert stored(box, run)["lease_until"] is None
    registry._items = known
    box.drain()
    assert script.handled == list(range(10))


def test_a_run_that_has_ended_needs_no_iteration(box, walk):
    walk.start(QUERY)
    queued = step(box)
    box.drain()
    box.app._declared.iterations._items = {}

    assert lose_answer(box, queued) is Outcome.DONE


def test_a_run_waits_for_a_revision_that_can_read_its_data(box, walk, script, lines):
    run = walk.start(QUERY)
    key = run_key(run.id)
    readable = box.store.get([key])[0]
    box.store.put(key, {**readable, "custom_data": b'{"$:shop.Color": "RED"}'})

    assert box.deliver(step(box)) is Outcome.UNKNOWN

    assert lines()[-1]["event"] == "iteration.unknown"
    assert not script.handled
    box.store.put(key, readable)
    box.drain()
    assert run.fetch().status is Status.FINISHED


def test_a_run_that_vanishes_during_a_step_is_not_brought_back(box, walk, script):
    run = walk.start(QUERY)

    def vanish(*_):
        box.store.records.clear()

    script.on_entry = vanish

    assert box.deliver(step(box)) is Outcome.BUSY

    assert run.fetch() is None


# Steps


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"5",
        b"[" * 100_000,
        b'{"v": 1, "run": "r"}',
        *(
            json.dumps({"v": 1, "run": "r", "shard": 0, "step": 0, "epoch": 0} | wrong).encode()
            for wrong in (
                {"v": 2},
                {"run": ""},
                {"run": 5},
                {"run": "\udc80"},
                {"run": "x" * 501},
                {"shard": -1},
                {"step": 1 << 80},
                {"step": "0"},
                {"step": True},
                {"shard": "0"},
                {"epoch": None},
            )
        ),
    ],
)
def test_a_body_that_is_not_a_step_is_a_dead_letter(box, body):
    with pytest.raises(DecodeError):
        Step.decode(body)

    assert box.app.wiring().receive_step(box.delivery(SETTINGS.queryiter_url, body)) is Outcome.DEAD
    assert len(letters(box)) == 1


def test_lines_of_the_hooks_carry_run_and_step(box, walk, script, lines):
    script.on_entry = lambda entry, _: logging.getLogger("shop").info("entry %s", entry)
    run = walk.start(QUERY)

    box.drain()

    (line,) = [line for line in lines() if line["message"] == "entry 7"]
    assert (line["run"], line["step"]) == (run.id, 0)

"""However a call ends: its result says so, its batch counts it once, and its permit is free."""

import datetime as dt
import random
from dataclasses import dataclass, replace

import pytest

from adjourn import (
    App,
    CallCancelledError,
    CallDroppedError,
    CallFailedError,
    Discard,
    Flow,
    PermanentTaskFailure,
    QueueNotFoundError,
    RetryLater,
    Snooze,
)
from adjourn.errors import ResultRefusedError
from adjourn.execution.attempt import Attempt
from adjourn.execution.replay import StoredDeadLetters
from adjourn.flow.limits import GUARD
from adjourn.state.large_payloads import KIND as PAYLOADS
from adjourn.testing import SETTINGS, sandbox

HOUR = 3600
LARGE = random.Random(1).randbytes(1_500_000)
LAST = Attempt(retry_count=4, execution_count=4)
DONE, FAILED, CANCELLED = (1, 0, 0), (0, 1, 0), (0, 0, 1)
FLOWS = {"alone": None, "limited": Flow(concurrency=1), "paced": Flow(rate="10/s", concurrency=1)}


@dataclass
class Sign:
    """An argument, which later revisions refuse or do not know."""

    text: str

    def __post_init__(self):
        if self.text == "refused":
            raise ValueError(self.text)


class World:
    """A batch of one call of a task that keeps its result.

    Attributes:
        within: What the task does, attempt by attempt; then it returns 42.
    """

    def __init__(self, app, box, flow):
        self.app, self.box, self.flow = app, box, flow
        self.within, self.ran, self.summaries = [], [], []
        app.register(Sign, name="sign")

        @app.deferred(name="work", keep_result=dt.timedelta(days=1), flow=flow)
        def work(argument=None):
            self.ran.append(argument)
            if self.within:
                return self.within.pop(0)()
            return 42

        @app.deferred(name="done")
        def done(summary):
            self.summaries.append(summary)

        self.work, self.done = work, done

    def make(self, *args, **options):
        """Make the call, and return its queued task."""
        task = self.work.options(**options) if options else self.work
        with self.app.batch(name="batch", on_done=self.done) as batch:
            batch.add(task, *args)
        return self.due()

    def due(self):
        (queued,) = [q for q in self.box.queue.due() if q.task.label != GUARD]
        return queued

    def raises(self, *errors):
        def raising(error):
            def step():
                raise error

            return step

        self.within += map(raising, errors)

    def pass_time(self, seconds=120, step=30):
        for _ in range(0, seconds, step):
            self.box.travel(by=step)
            self.box.drain()

    def park(self, *args, **options):
        """Make the call, and let it wait for its flow."""
        flows = self.app.flows()
        flows.pause("work")
        self.make(*args, **options)
        self.box.drain()
        assert flows.get("work", "").waiting == 1
        return lambda: flows.resume("work")


def expires_before_it_came(world):
    world.make(expires=10)
    world.box.travel(by=11)


def expires_while_it_waits(world):
    go_on = world.park(expires=10)
    world.box.travel(by=11)
    go_on()


def is_discarded(world):
    world.raises(Discard("not wanted"))
    world.make()


def is_done(world):
    world.make()


def is_done_once_although_it_came_twice(world):
    first = world.make(once=True)
    world.box.deliver(first)
    world.box.queue.put_back(first, world.box.clock.now())


def is_done_after_retries(world):
    world.raises(ValueError("first"), RetryLater(20), Snooze(20))
    world.make()


def returns_too_much(world):
    world.within.append(lambda: LARGE)
    world.make()


def fails_for_good(world):
    world.raises(PermanentTaskFailure("no"))
    world.make()


def has_no_retries_left(world):
    world.raises(ValueError("no"))
    world.make(max_retries=0)


def crashes_with_its_queues_last_attempt(world):
    world.raises(KeyboardInterrupt())
    queued = world.make()
    queued.attempt = LAST
    with pytest.raises(KeyboardInterrupt):
        world.box.deliver(queued)
    del world.box.queue.tasks[queued.name]
    world.pass_time(HOUR)


def was_begun_and_may_not_be_again(world):
    world.raises(KeyboardInterrupt())
    queued = world.make(no_retry=True)
    with pytest.raises(KeyboardInterrupt):
        world.box.deliver(queued)
    queued.attempt = Attempt(retry_count=1)


def has_no_task_any_more(world):
    world.make()
    world.app._declared.tasks._items.pop("work")


def has_an_argument_of_an_unknown_type(world):
    world.make(Sign("new"))
    known = world.app._declared.codec._by_marker
    known.pop(next(marker for marker in known if "sign" in marker))


def has_an_argument_that_is_refused(world):
    queued = world.make(Sign("changed"))
    body = queued.task.body.replace(b"changed", b"refused")
    queued.task = queued.task._replace(body=body)


def has_lost_its_stored_arguments(world):
    world.make(LARGE)
    for key in [key for key in world.box.store.records if key.kind == PAYLOADS]:
        del world.box.store.records[key]


def has_no_key_for_its_flow(world):
    world.make(max_retries=0)
    unfit = Flow(key=lambda argument: 1 / argument, concurrency=1)
    task = world.work.with_defaults(world.work.defaults._replace(flow=(unfit, unfit)))
    world.app._declared.tasks._items["work"] = task


def loses_its_queue(world):
    world.raises(RetryLater(20))
    world.make()
    world.box.queue.enqueue = without_work(world.box.queue.enqueue)


def loses_its_queue_when_it_would_go_on_after_the_last_attempt_there(world):
    has_no_task_any_more(world)
    world.due().attempt = LAST
    world.box.queue.enqueue = without_work(world.box.queue.enqueue)


def without_work(enqueue):
    def refuse(task):
        if task.label == "work":
            raise QueueNotFoundError("It was deleted.")
        return enqueue(task)

    return refuse


def is_cancelled_with_its_batch(world):
    world.make()
    world.app.batches().get("batch").cancel()


def is_cancelled_with_its_batch_while_it_waits(world):
    go_on = world.park()
    world.app.batches().get("batch").cancel()
    go_on()


def has_failed_and_is_replayed(world):
    fails_for_good(world)
    world.pass_time()
    (letter,) = world.box.dead_letters()
    world.summaries.clear()
    box = world.box
    letters = StoredDeadLetters(store=box.store, queue=box.queue, clock=box.clock)
    letters.replay(letter.task_id)


WAYS = {
    is_done: (42, DONE),
    is_done_once_although_it_came_twice: (42, DONE),
    is_done_after_retries: (42, DONE),
    has_failed_and_is_replayed: (42, DONE),
    returns_too_much: (ResultRefusedError, DONE),
    is_discarded: (CallDroppedError, DONE),
    expires_before_it_came: (CallDroppedError, CANCELLED),
    is_cancelled_with_its_batch: (CallDroppedError, CANCELLED),
    fails_for_good: (CallFailedError, FAILED),
    has_no_retries_left: (CallFailedError, FAILED),
    crashes_with_its_queues_last_attempt: (CallFailedError, FAILED),
    was_begun_and_may_not_be_again: (CallFailedError, FAILED),
    has_no_task_any_more: (CallFailedError, FAILED),
    has_an_argument_of_an_unknown_type: (CallFailedError, FAILED),
    has_an_argument_that_is_refused: (CallFailedError, FAILED),
    has_lost_its_stored_arguments: (CallFailedError, FAILED),
    has_no_key_for_its_flow: (CallFailedError, FAILED),
    loses_its_queue: (CallFailedError, FAILED),
    loses_its_queue_when_it_would_go_on_after_the_last_attempt_there: (CallFailedError, FAILED),
}
WAITING = {
    expires_while_it_waits: (CallDroppedError, CANCELLED),
    is_cancelled_with_its_batch_while_it_waits: (CallDroppedError, CANCELLED),
}
CELLS = [(flow, way) for flow in FLOWS for way in {**WAYS, **(WAITING if FLOWS[flow] else {})}]


@pytest.mark.parametrize(
    ("flow", "way"), CELLS, ids=[f"{way.__name__}-{flow}" for flow, way in CELLS]
)
def test_a_call_ends_in_its_result_its_batch_and_its_flow(flow, way):
    app, (result, counts) = App(), {**WAYS, **WAITING}[way]
    with sandbox(app, replace(SETTINGS, max_attempts={"": 5})) as box:
        world = World(app, box, FLOWS[flow])
        way(world)
        world.pass_time(HOUR + 600, step=120)

        (summary,) = world.summaries
        assert (summary["done"], summary["failed"], summary["cancelled"]) == counts
        (kept,) = app.batches().get("batch").results()
        assert kept is not None
        if isinstance(result, type):
            assert type(kept.error) is result
        else:
            assert kept.returned() == result
        assert sum(view.running + view.waiting for view in app.flows().find()) == 0


def test_a_call_that_expires_while_it_waits_says_so_as_any_other():
    app = App()
    with sandbox(app) as box:
        world = World(app, box, FLOWS["limited"])
        expected, flows = "work: it has expired", app.flows()
        late = world.work.options(expires=10).defer()
        box.travel(by=11)
        box.drain()
        flows.pause("work")
        parked = world.work.options(expires=10).defer()
        box.drain()
        box.travel(by=11)
        flows.resume("work")
        box.drain()

        for handle in (late, parked):
            with pytest.raises(CallDroppedError, match=expected):
                handle.result()
            assert handle.fetch() is None
        cancelled = world.work.options(delay=60).defer()
        assert cancelled.cancel()
        with pytest.raises(CallCancelledError):
            cancelled.result()

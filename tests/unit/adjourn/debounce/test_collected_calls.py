"""Of many calls one runs, with the last arguments; whatever is late, twice or dead loses none."""

import dataclasses
import datetime as dt
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adjourn
from adjourn.debounce import collected_calls
from adjourn.debounce.collector import Collector
from adjourn.debounce.window_records import KIND, WindowRecords
from adjourn.errors import DeclarationError, EncodeError, EnqueueError, StoreError, UnavailableError
from adjourn.execution.delivery import Outcome
from adjourn.testing import SETTINGS, inline, sandbox
from tests.place_seal import PlaceSeal

pytestmark = pytest.mark.usefixtures("box")

START = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
LARGE = random.Random(1).randbytes(2_000_000).hex()  # also when it is compressed


@pytest.fixture
def index(app, box, ran):
    """Return a task that notes its arguments and the seconds since the start."""
    begin = box.clock.now()

    @app.deferred(name="index", debounce=10, max_wait=60, by="task")
    def index(number: int) -> None:
        ran.append((number, (box.clock.now() - begin).total_seconds()))

    return index


@pytest.fixture
def pass_seconds(box):
    """Return what lets seconds pass, in steps in which due tasks run."""

    def pass_seconds(count, step=1.0):
        for _ in range(int(count / step)):
            box.travel(by=step)
            box.drain()

    return pass_seconds


# Debounce


def test_of_many_calls_the_last_one_runs_when_no_further_one_has_come(index, pass_seconds, ran):
    for number in range(5):
        index(number)
        pass_seconds(4)
    assert ran == []

    pass_seconds(60)

    assert ran == [(4, 26.0)]


def test_a_single_call_runs_after_the_time(box, index, pass_seconds, ran):
    handle = index(7)

    assert handle.is_new
    assert handle.eta == box.clock.now() + dt.timedelta(seconds=10)
    pass_seconds(30)
    assert ran == [(7, 10.0)]


def test_it_waits_no_longer_than_the_longest_time_after_the_first(index, pass_seconds, ran):
    for number in range(20):
        index(number)
        pass_seconds(5)
    pass_seconds(20)

    assert ran == [(11, 60.0), (19, 105.0)]


def test_without_a_longest_time_it_waits_for_the_pause(index, pass_seconds, ran):
    task = index.options(max_wait=None)
    for number in range(20):
        task(number)
        pass_seconds(5)
    pass_seconds(20)

    assert ran == [(19, 105.0)]


def test_the_next_calls_have_a_window_of_their_own(index, pass_seconds, ran):
    for number in (1, 2):
        index(number)
        pass_seconds(30)
    index(3)
    pass_seconds(30)

    assert ran == [(1, 10.0), (2, 40.0), (3, 70.0)]


def test_calls_are_taken_together_by_what_they_have_in_common(app, box, ran):
    def first(number, _=0):
        return number

    @app.deferred(name="note", debounce=10)
    def note(number, other=0):
        ran.append((number, other))

    for by, expected in (
        (None, [(1, 0), (1, 1), (2, 0)]),
        ("arguments", [(1, 0), (1, 1), (2, 0)]),
        ("task", [(2, 0)]),
        (first, [(1, 1), (2, 0)]),
    ):
        ran.clear()
        task = note.options(by=by)
        for call in ((1, 0), (1,), (1, 1), (2,)):
            task(*call)
            box.travel(by=1)
        box.travel(by=60)
        box.drain()
        assert sorted(ran) == expected, by


def test_a_call_that_joins_is_not_new(index, ran, pass_seconds):
    first, second = index(1), index(2)

    assert [first.is_new, second.is_new, second.id] == [True, False, None]
    assert first.name == second.name
    pass_seconds(30)
    assert len(ran) == 1


def test_what_runs_is_a_plain_call_with_its_own_retries(app, box, ran):
    @app.deferred(name="fail", debounce=10, by="task", max_retries=1)
    def fail(number: int):
        ran.append(number)
        raise RuntimeError(number)

    fail(1)
    fail(2)
    box.travel(by=10)
    for _ in range(4):
        box.drain()

    assert ran == [2, 2]
    (letter,) = box.dead_letters()
    assert b"[2]" in letter.body
    fail(3)  # a call that is retried or dead holds no other up
    box.travel(by=10)
    box.drain()
    assert ran[-1] == 3


def test_the_call_that_runs_has_the_context_of_its_caller():
    users, ran = ["anna"], []
    app = adjourn.App(user=lambda: users[0])

    @app.deferred(name="note", debounce=10, by="task")
    def note(number: int) -> None:
        ran.append((number, adjourn.current_task().user))

    with sandbox(app) as box:
        note(1)
        box.travel(by=1)
        users[0] = "ben"
        note(2)
        box.travel(by=30)
        box.drain()
    assert ran == [(2, "ben")]


@pytest.mark.parametrize("count", [1, 2])
def test_large_arguments_run_as_well(app, box, ran, count):
    @app.deferred(name="weigh", debounce=10, by="task")
    def weigh(load: bytes) -> None:
        ran.append(len(load))

    for number in range(count):
        weigh(bytes(2_000_000 + number))
    box.travel(by=30)
    box.drain()

    assert ran == [2_000_000 + count - 1]


@pytest.mark.parametrize("articles", [["a", "b"], ["a"], [LARGE]], ids=["two", "one", "large"])
def test_values_of_classes_run_as_well_also_where_they_are_not_known(ran, articles):
    @dataclasses.dataclass
    class Line:
        article: str

    app, other = adjourn.App(), adjourn.App()

    for each in (app, other):

        @each.deferred(name="note", debounce=10, by="task")
        def note(line):
            ran.append(line)

    app.register(Line, name="Line")
    with sandbox(app) as box:
        note = app._declared.tasks.get("note")
        for article in articles:
            note(Line(article))
        # The revision that ends the window does not know the class yet.
        with other.rewired(box.wiring.settings, box.wiring.adapters) as wiring:
            (waiting,) = box.queue.tasks.values()
            box.travel(by=10)
            delivery = box.delivery(wiring.settings.deferred_url, waiting.task.body)
            name = waiting.name.rsplit("/", 1)[1]
            received = delivery._replace(queue="default", task_name=name)
            assert wiring.receive_task(received) is Outcome.DONE
        box.drain()
    assert ran == [Line(articles[-1])]


def test_a_method_is_debounced_for_its_object(app, box, ran):
    class Shop:
        @app.deferred(name="Shop.close", debounce=10)
        def close(self, day: int):
            ran.append((self, day))

    shops = [Shop(), Shop()]
    for number, shop in enumerate(shops):
        app.add_object(f"shops.{number}", shop)
        shop.close(7)
        shop.close(7)
    box.travel(by=30)
    box.drain()

    assert ran == [(shop, 7) for shop in shops]


# Throttle


@pytest.fixture
def sync(app, box, ran):
    begin = box.clock.now()

    @app.deferred(name="sync", throttle=10, by="task")
    def sync(number: int) -> None:
        ran.append((number, (box.clock.now() - begin).total_seconds()))

    return sync


def test_the_first_runs_at_once_and_the_last_at_the_end(box, sync, pass_seconds, ran):
    handle = sync(0)
    box.drain()
    for number in range(1, 5):
        pass_seconds(2)
        sync(number)
    pass_seconds(60)

    assert handle.is_new
    assert ran == [(0, 0.0), (4, 10.0)]


def test_after_the_last_a_further_one_waits_again(box, sync, pass_seconds, ran):
    for number in range(30):
        sync(number)
        box.drain()
        pass_seconds(1)
    pass_seconds(60)
    sync(30)
    box.drain()

    assert ran == [(0, 0.0), (9, 10.0), (19, 20.0), (29, 30.0), (30, 90.0)]


def test_a_single_call_runs_once(box, sync, pass_seconds, ran):
    sync(1)
    box.drain()
    pass_seconds(60)

    assert ran == [(1, 0.0)]
    assert box.queue.tasks == {}


# Who dies, is late or comes twice


class CrashError(KeyboardInterrupt):
    """The process dies."""


def crash(*_, **__):
    raise CrashError


@pytest.mark.parametrize("kind", ["index", "sync"])
@pytest.mark.parametrize("step", ["open", "note"])
def test_what_was_accepted_runs_when_a_caller_dies(request, box, ran, kind, step):
    task = request.getfixturevalue(kind)
    if step == "note":
        task(1)
        task(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WindowRecords, step, crash)
        with pytest.raises(CrashError):
            task(3)
    for _ in range(100):
        box.travel(by=1)
        box.drain()

    # The call of the caller that died has not returned. It runs if it was the first one.
    assert ran[-1][0] == (3 if step == "open" else 2)
    assert len(ran) == len(set(ran)) <= 2


def test_a_first_call_that_could_not_be_enqueued_at_once_runs_at_the_end(
    box, sync, pass_seconds, ran, monkeypatch
):
    enqueue = box.queue.enqueue

    def refuse(task):
        if not task.name.endswith("-window"):
            raise UnavailableError("away")
        return enqueue(task)

    with monkeypatch.context() as patch:
        patch.setattr(box.queue, "enqueue", refuse)
        with pytest.raises(EnqueueError):
            sync(1)
    pass_seconds(60)

    assert [number for number, _ in ran] == [1]


@pytest.mark.parametrize("step", ["open", "note", "state"])
def test_while_datastore_is_away_a_call_is_kept_or_refused(box, index, ran, step):
    index(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WindowRecords, step, _away)
        if step == "open":
            index(2)
        else:
            with pytest.raises(StoreError):
                index(2)
    box.travel(by=100)
    box.drain()

    assert [number for number, _ in ran] == [2 if step == "open" else 1]


def _away(*_, **__):
    raise StoreError("away")


STEPS = ["close", "choose", "_enqueue", "_open_next"]


@pytest.mark.parametrize("kind", ["index", "sync"])
@pytest.mark.parametrize("step", STEPS)
def test_what_fails_at_the_end_is_done_at_the_next_attempt(request, box, ran, kind, step):
    task = request.getfixturevalue(kind)
    task(1)
    box.drain()
    task(2)
    box.travel(by=10)
    with pytest.MonkeyPatch.context() as patch:
        owner = owner_of(step)
        patch.setattr(owner, step, _away)
        box.drain()
    for _ in range(60):
        box.travel(by=1)
        box.drain()

    assert [number for number, _ in ran] == ([2] if kind == "index" else [1, 2])


def test_the_task_of_a_window_may_be_delivered_twice(box, index, ran):
    index(1)
    index(2)
    (waiting,) = box.queue.tasks.values()
    box.travel(by=10)
    for _ in range(3):
        assert box.deliver(waiting) is Outcome.DONE
        box.drain()
        box.travel(by=1)

    assert [number for number, _ in ran] == [2]


def test_a_call_in_the_moment_of_the_end_is_neither_lost_nor_run_twice(
    box, index, ran, monkeypatch
):
    index(1)
    box.travel(by=9.9)
    note = WindowRecords.note

    def late(records, window, noted):
        note(records, window, noted)
        if noted.stamp.call not in seen:
            seen.add(noted.stamp.call)
            box.travel(by=11)
            box.drain()

    seen = set()
    monkeypatch.setattr(WindowRecords, "note", late)
    index(2)
    for _ in range(60):
        box.travel(by=1)
        box.drain()

    assert [number for number, _ in ran] == [2]


@pytest.mark.parametrize("before", [True, False])
def test_a_call_that_is_written_after_the_end_has_a_window_of_its_own(
    box, index, ran, monkeypatch, before
):
    index(1)
    note, seen = WindowRecords.note, []

    def late(records, window, noted):
        if not seen:
            seen.append(True)
            box.travel(by=11)
            box.drain()
        note(records, window, noted)

    monkeypatch.setattr(WindowRecords, "note", late)
    if before:
        box.travel(by=5)
    index(2)
    for _ in range(60):
        box.travel(by=1)
        box.drain()

    assert [number for number, _ in ran] == [1, 2]


def test_what_was_purged_holds_no_later_call_up(box, index, ran):
    index(1)
    index(2)
    for name in list(box.queue.tasks):
        box.queue.delete(name)

    index(3)
    index(4)
    box.travel(by=100)
    box.drain()

    assert [number for number, _ in ran] == [4]


def test_a_window_that_was_cancelled_runs_nothing(box, index, ran):
    handle = index(1)
    index(2)

    assert handle.cancel()
    box.travel(by=30)
    box.drain()
    assert ran == []
    index(3)
    box.travel(by=30)
    box.drain()
    assert [number for number, _ in ran] == [3]


def test_a_hundred_callers_at_once_meet_no_error(box, index, ran):
    with ThreadPoolExecutor(16) as pool:
        handles = list(pool.map(index, range(100)))

    assert sum(handle.is_new for handle in handles) == 1
    assert len(box.queue.tasks) == 1
    for _ in range(3):
        box.travel(by=30)
        box.drain()
    assert len(ran) == 1


@pytest.fixture
def writes(box):
    """Return a list to which each commit adds how many entities it writes."""
    made, commit = [], box.store.commit

    def counted(changes):
        made.append(len(changes))
        commit(changes)

    box.store.commit = counted
    return made


def test_those_that_join_at_the_same_time_are_written_once(box, index, ran, writes, monkeypatch):
    """What came up while one caller waits for Datastore is written together."""
    index(0)
    writes.clear()
    gate, state, combined = threading.Event(), WindowRecords.state, combiner(box)

    def slow(self, key):
        gate.wait(10)
        return state(self, key)

    monkeypatch.setattr(WindowRecords, "state", slow)
    with ThreadPoolExecutor(20) as pool:
        handles = pool.map(index, range(1, 21))
        while not (lanes := list(combined._lanes.values())) or len(lanes[0].jobs) < 19:
            threading.Event().wait(0.001)
        gate.set()
        assert not any(handle.is_new for handle in handles)
    latest = index(21)

    assert len(writes) <= 3
    box.travel(by=100)
    box.drain()
    assert [number for number, _ in ran] == [21]
    assert not latest.is_new


def combiner(box):
    return box.wiring.enqueuer.collect._calls._combined


def test_a_batch_costs_one_task_and_one_call_that_is_written(box, index, ran, writes):
    handles = index.map(range(250))

    assert [handle.is_new for handle in handles] == [True] + [False] * 249
    assert len(box.queue.tasks) == 1
    # The task of the window, and for each hundred calls the last of them.
    assert sum(writes) == 1 + 3
    box.travel(by=60)
    box.drain()
    assert [number for number, _ in ran] == [249]


def test_in_a_batch_each_key_has_its_last_call(app, box, ran):
    @app.deferred(name="publish", debounce=10, by=lambda product, price: product)  # noqa: ARG005
    def publish(product: str, price: int) -> None:
        ran.append((product, price))

    handles = publish.map(["a", "b", "a", "c", "b"], range(5))
    box.travel(by=10)
    box.drain()

    assert [handle.is_new for handle in handles] == [True, True, False, True, False]
    assert sorted(ran) == [("a", 2), ("b", 4), ("c", 3)]


def test_of_a_throttled_batch_the_first_runs_at_once_and_the_last_at_the_end(box, sync, ran):
    sync.map(range(5))
    box.drain()
    assert [number for number, _ in ran] == [0]
    box.travel(by=30)
    box.drain()
    assert [number for number, _ in ran] == [0, 4]


def test_in_a_batch_only_what_cannot_be_encoded_is_refused(box, index, ran):
    made = list(index.imap([1, object(), 2, object()]))

    assert [type(each).__name__ for each in made] == [
        "TaskHandle",
        "EncodeError",
        "TaskHandle",
        "EncodeError",
    ]
    box.travel(by=60)
    box.drain()
    assert [number for number, _ in ran] == [2]


def test_a_superseded_call_that_cannot_be_encoded_is_refused(index):
    index(1)
    with pytest.raises(EncodeError):
        index(object())


def test_a_queue_that_is_away_refuses_a_whole_batch(box, index, monkeypatch):
    def refuse(_task):
        raise UnavailableError("away")

    monkeypatch.setattr(box.queue, "enqueue", refuse)

    assert {type(each) for each in index.imap(range(3))} == {UnavailableError}


FAULTS = st.sampled_from(["call"] * 6 + ["pass"] * 4 + [*STEPS, "open", "note", "twice"])


@settings(max_examples=40)
@given(st.lists(st.tuples(FAULTS, st.integers(1, 12)), max_size=25), st.booleans())
def test_whatever_goes_wrong_the_last_call_that_returned_runs(steps, is_throttle):
    app, ran, made = adjourn.App(), [], []
    options = {"throttle": 10} if is_throttle else {"debounce": 10, "max_wait": 25}

    @app.deferred(name="note", by="task", **options)
    def note(number: int) -> None:
        ran.append(number)

    with sandbox(app, now=START) as box:
        for number, (step, seconds) in enumerate(steps):
            with pytest.MonkeyPatch.context() as patch:
                if step in {*STEPS, "open", "note"}:
                    patch.setattr(owner_of(step), step, _away)
                made += called(note, number) if step not in {"pass", "twice"} else []
                if step == "twice":
                    deliver_twice(box)
                box.drain()
                box.travel(by=seconds)
                box.drain()
        for _ in range(40):
            box.travel(by=2)
            box.drain()
        assert box.queue.tasks == {}
    assert ran == sorted(set(ran))
    # One that was refused may have been written, and then it is the last.
    assert (ran[-1] if ran else -1) >= (made[-1] if made else -1)


def owner_of(step):
    return Collector if step in {"_enqueue", "_open_next"} else WindowRecords


def called(task, number):
    """Make a call; return its number if it returns."""
    try:
        task(number)
    except StoreError:
        return []
    return [number]


def deliver_twice(box):
    for queued in list(box.queue.tasks.values()):
        if queued.due <= box.clock.now():
            box.deliver(queued)
            box.deliver(queued)


# What is refused, and what tests see


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"debounce": 10, "throttle": 10}, "debounce or throttle"),
        ({"debounce": 0.5}, "between a second and a day"),
        ({"throttle": 100_000}, "between a second and a day"),
        ({"max_wait": 10}, "max_wait needs debounce"),
        ({"debounce": 10, "max_wait": 9}, "not be shorter"),
        ({"by": "task"}, "by needs"),
        ({"debounce": 10, "by": "first"}, "by='first' must be"),
        ({"debounce": 10, "delay": 1}, "Leave delay out"),
        ({"debounce": 10, "expires": 60}, "Leave expires out"),
        ({"throttle": 10, "unique_by": "task"}, "Leave unique_by out"),
    ],
)
def test_options_that_contradict_are_refused(app, options, text):
    with pytest.raises(DeclarationError, match=text):
        app.deferred(name="task", **options)(lambda: None)


def test_what_is_planned_otherwise_cannot_be_debounced(app):
    with pytest.raises(DeclarationError, match="Leave debounce out"):
        app.periodic(interval=dt.timedelta(hours=1), debounce=10)(lambda: None)
    with pytest.raises(DeclarationError, match="leave throttle out"):
        app.startup_task(name="start", throttle=10)(lambda: None)


def test_calls_are_refused_where_they_would_be_lost_or_cannot_be_made(box, index):
    with pytest.raises(EncodeError):
        index("1", "2")
    with pytest.raises(EncodeError):
        index.options(by=lambda _: object())(1)
    with box.transactions.begin() as transaction, pytest.raises(DeclarationError, match="after"):
        index.options(transaction=transaction)(1)
    assert box.queue.tasks == {}


def test_a_call_that_is_not_debounced_writes_nothing(app, box):
    app.deferred(name="plain")(lambda: None)()

    box.drain()

    assert box.store.records == {}


def test_tests_see_the_call_while_it_waits_and_when_it_was_made(box, index, sync):
    index(1)
    assert box.assert_enqueued(index, 1).args == (1,)
    index(2)
    assert len(box.enqueued(index)) == 1
    box.travel(by=10)
    box.drain()
    assert [call.args for call in box.enqueued(index)] == [(2,)]

    sync(3)
    assert [call.args for call in box.enqueued(sync)] == [(3,)]


def test_an_inline_sandbox_runs_them_when_their_time_comes():
    app, ran = adjourn.App(), []

    @app.deferred(name="note", debounce=10, by="task")
    def note(number: int) -> None:
        ran.append(number)

    with inline(app) as box:
        note(1)
        note(2)
        assert ran == []
        box.travel(by=10)
        assert ran == [2]


def test_with_a_key_a_forged_record_is_not_run(index, app, ran):
    with sandbox(app, SETTINGS) as box:
        box.wiring.adapters.sealer = PlaceSeal()
        index(1)
        index(2)
        for key, (_, record) in list(box.store.records.items()):
            if record.get("body"):
                assert b"index" not in record["body"]
                box.store.put(key, {**record, "body": b"{}"})
        box.travel(by=30)
        box.wiring.receive_task  # noqa: B018 - it is made with the key
        assert Outcome.DEAD in box.drain()
    assert ran == []


def test_records_of_windows_expire(box, index):
    index(1)
    index(2)
    box.travel(by=10)
    box.drain()

    records = [record for key, (_, record) in box.store.records.items() if key.kind == KIND]
    assert len(records) == 3
    assert all(record["expires_at"] > box.clock.now() for record in records)


def test_windows_that_end_faster_than_they_are_noted_are_told(index, monkeypatch):
    monkeypatch.setattr(collected_calls, "_try", lambda *_: {})

    with pytest.raises(UnavailableError, match="ended faster"):
        index(1)

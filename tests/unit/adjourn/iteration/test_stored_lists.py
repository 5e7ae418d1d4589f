"""Lists are stored while they are read; what a start leaves behind runs nothing and is deleted."""

import datetime as dt
import itertools
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adjourn import App, EnqueueError, QueryIter, RowList, Status, StoreError
from adjourn.execution.delivery import Outcome
from adjourn.iteration import stored_lists
from adjourn.iteration.list_queries import ListQueries, described
from adjourn.iteration.shards import Shard, shard_key
from adjourn.iteration.stored_lists import KIND
from adjourn.serialization.codec import Codec
from adjourn.testing import sandbox
from tests.faults import CrashError, Faults

HOUR = dt.timedelta(hours=1)
MINUTE = dt.timedelta(minutes=1)


class Walk(QueryIter):
    """Notes what it is given."""

    max_entry_retries = 0
    notes: list[object]

    def handle_entry(self, entry, custom_data):  # noqa: ARG002
        if entry == "broken":
            raise RuntimeError("broken")
        self.notes.append(entry)

    def handle_finish(self, total_count, custom_data):  # noqa: ARG002
        self.notes.append(f"finished {total_count}")


@pytest.fixture
def walk(app, ran):
    return app.query_iter(type("Walk", (Walk,), {"__module__": __name__, "notes": ran}))


def stored(box):
    """Return what is stored of lists, and of everything else."""
    lists = [each.name for each in box.store.records if each.kind == KIND]
    return lists, [each for each in box.store.records if each.kind != KIND]


def revive(app):
    return app.wiring().reviver.revive()


def rows_then(error, count=2500):
    yield from range(count)
    raise error


# Pages


@settings(max_examples=30, database=None)
@given(
    sizes=st.lists(st.integers(1, 60_000), max_size=60),
    copies=st.integers(1, 60),
    parts=st.integers(1, 9),
    limit=st.integers(1, 1000),
)
def test_the_parts_of_a_list_have_each_item_once(sizes, copies, parts, limit):
    items = [f"{n} ".ljust(size, "x") for n, size in enumerate(sizes * copies)][:4000]
    codec = Codec()
    with sandbox(App()) as box:
        adapters = box.wiring.adapters
        listed = stored_lists.store(adapters, "list", map(codec.dumps, items))
        cuts = listed.cuts(parts)
        found, references = [], []
        for start, end in itertools.pairwise(cuts):
            query = {**described("list", are_keys=False, keys_only=False), "start": start}
            source, cursor, more = ListQueries(adapters, codec), "", True
            while more:
                page = source.page({**query, "end": end}, cursor=cursor, limit=limit)
                assert len(page.entries) == len(page.cursors) == len(page.references or ())
                assert len(page.entries) <= limit
                found += page.entries
                references += page.references or ()
                cursor, more = page.cursors[-1] if page.cursors else cursor, page.more
            assert source.find(query, references[-3:]) == found[-3:]
        pieces = [each["data"] for _, each in box.store.records.values() if "data" in each]

    assert found == items
    assert listed.total == len(items)
    assert len(cuts) - 1 == max(1, min(parts, len(items)))
    assert [each.partition(" at ")[0] for each in references] == [
        f"row {n}" for n in range(1, len(items) + 1)
    ]
    assert max(map(len, pieces), default=0) < 1_000_000


def test_a_start_reads_no_further_than_it_has_stored(box, walk):
    """So a list may be larger than the memory."""
    ahead = []

    def rows():
        for n in range(40_000):
            lists, _ = stored(box)
            ahead.append(n - 1000 * (len(lists) - 1))
            yield n

    walk.start(RowList(rows()))

    assert max(ahead) <= 9000


# Starts that die


def test_an_iterable_that_fails_starts_nothing(app, box, walk):
    with pytest.raises(OSError, match="gone"):
        walk.start(RowList(rows_then(OSError("gone"), 20_000)), name="spring")

    assert stored(box) == ([], [])
    assert not box.queue.tasks
    assert not list(app.runs().find())
    assert walk.start(RowList([1]), name="spring").is_new


def test_a_start_that_died_half_way_is_cleaned_up(app, box, walk, ran):
    """It has no chance to do that itself."""
    box.store.delete_many = die
    with pytest.raises(CrashError):
        walk.start(RowList(rows_then(CrashError(), 20_000)), name="spring")
    del box.store.delete_many
    lists, others = stored(box)
    assert len(lists) > 10
    assert (others, dict(box.queue.tasks)) == ([], {})

    box.clock.advance(HOUR - MINUTE)
    revive(app)
    assert stored(box)[0] == lists
    box.clock.advance(2 * MINUTE)
    revive(app)

    assert stored(box) == ([], [])
    run = walk.start(RowList([1]), name="spring")
    box.drain()
    assert run.is_new
    assert ran == [1, "finished 1"]


def die(*_args, **_kwargs):
    raise CrashError


@pytest.mark.parametrize("count", [3, 9500])
def test_a_start_may_die_at_any_moment(count):
    """It has begun the run, or it leaves nothing that runs and nothing that stays."""
    begun = 0
    for die_at in itertools.count():
        is_dead, notes, statuses = died(count, die_at)
        if statuses:
            begun += 1
            assert statuses == [Status.FINISHED]
            assert notes == [*range(count), f"finished {count}"]
        else:
            assert is_dead
            assert notes == []
        if not is_dead:
            break
    assert begun >= 2
    assert die_at >= 5


def died(count, die_at):
    """Let a start die at its n-th moment, and hours pass; return what has come of it."""
    app, notes = App(), []
    walk = app.query_iter(type("Walk", (Walk,), {"__module__": __name__, "notes": notes}))
    with sandbox(app) as box:
        faults, is_dead = Faults(box), False
        faults.die_at, box.store.delete_many = die_at, die
        try:
            walk.start(RowList(range(count)), name="spring")
        except CrashError:
            is_dead = True
        del box.store.delete_many
        faults.die_at = None
        for _ in range(20):
            box.clock.advance(5 * MINUTE)
            revive(app)
            box.drain()
        assert stored(box)[0] == []
        return is_dead, notes, [each.status for each in app.runs().find()]


def test_a_start_that_stood_still_for_an_hour_starts_nothing(app, box, walk, ran):
    def rows():
        yield from range(9000)
        box.clock.advance(2 * HOUR)
        revive(app)
        yield from range(9000)

    with pytest.raises(StoreError, match="nothing was added to it for an hour"):
        walk.start(RowList(rows()))

    box.drain()
    assert stored(box) == ([], [])
    assert ran == []


def test_a_list_that_is_deleted_just_before_its_run_is_stored_starts_nothing(app, box, walk):
    finish = stored_lists._Writer.finish

    def slowly(writer):
        listed = finish(writer)
        box.clock.advance(2 * HOUR)
        revive(app)
        return listed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stored_lists._Writer, "finish", slowly)
        with pytest.raises(StoreError, match="deleted before its run began"):
            walk.start(RowList(range(3)))

    assert stored(box) == ([], [])
    assert not box.queue.tasks


def test_a_slow_start_is_left_alone(app, box, walk, ran):
    """Its last sign of life counts."""

    def rows():
        for n in range(30_000):
            if n % 8000 == 0:
                box.clock.advance(HOUR - MINUTE)
                revive(app)
            yield n

    walk.start(RowList(rows()))
    box.drain()

    assert len(ran) == 30_001


def test_a_start_whose_steps_are_refused_leaves_no_list(app, box, walk, monkeypatch):
    def refuse(*_):
        raise EnqueueError("no")

    monkeypatch.setattr(box.queue, "enqueue", refuse)
    with pytest.raises(EnqueueError):
        walk.start(RowList(range(2000)), name="spring")

    assert stored(box)[0] == []
    monkeypatch.undo()
    assert walk.start(RowList([1]), name="spring").is_new
    assert [each.status for each in app.runs().find()] == [Status.RUNNING]


def test_a_start_that_was_rolled_back_leaves_no_list(box, walk, ran):
    with suppress(OSError), box.transactions.begin() as transaction:
        walk.start(RowList(range(2000)), transaction=transaction)
        assert len(stored(box)[0]) == 3
        raise OSError("no")
    box.clock.advance(MINUTE)
    assert box.drain()[-1] is Outcome.BUSY  # it may still be committed
    box.clock.advance(HOUR)

    assert box.drain()[-1] is Outcome.DONE

    assert stored(box)[0] == []
    assert ran == []


def test_of_two_starts_under_a_name_one_list_is_left(box, walk, ran):
    """The second one begins while the first one reads its list."""
    others = []

    def rows():
        yield "first"
        others.append(walk.start(RowList(["second"]), name="spring"))

    run = walk.start(RowList(rows()), name="spring")

    assert [each.is_new for each in (run, *others)] == [False, True]
    assert len(stored(box)[0]) == 2
    box.drain()
    assert ran == ["second", "finished 1"]
    assert stored(box)[0] == []


# Its end


def test_a_list_of_which_something_failed_is_kept_as_long_as_the_run(app, box, walk):
    run = walk.start(RowList([1, "broken"]))
    box.drain()
    assert run.fetch().errors == 1
    assert len(stored(box)[0]) == 2

    box.clock.advance(dt.timedelta(days=29))
    revive(app)
    again = run.rerun_failed()
    box.drain()
    assert again.fetch().total == 1
    assert len(stored(box)[0]) == 4
    box.clock.advance(dt.timedelta(days=2))
    revive(app)

    assert len(stored(box)[0]) == 2
    with pytest.raises(StoreError, match="is missing in Datastore"):
        run.rerun_failed()


def test_a_paused_run_keeps_its_list(app, box, walk, ran):
    run = walk.start(RowList(range(10)))
    run.pause()
    box.drain()
    box.clock.advance(dt.timedelta(days=300))
    revive(app)

    run.resume()
    box.drain()

    assert ran == [*range(10), "finished 10"]


def test_a_list_with_a_missing_piece_stops_the_run(box, walk):
    run = walk.start(RowList(range(1500)))
    lists, _ = stored(box)
    box.store.delete_many([stored_lists._piece_key(lists[0], 1)])
    for _ in range(10):
        box.drain()
        box.clock.advance(MINUTE)

    state = run.fetch()
    assert (state.status, state.done) == (Status.STOPPED, 1000)
    assert f"Piece 1 of the list {lists[0]} is missing in Datastore (kind AdjournList)" in (
        state.last_error
    )


def test_a_rerun_that_an_older_revision_has_stored_goes_on(box, walk):
    """It keeps what it is to handle as entities that are tried again."""
    run = walk.start(RowList(["broken"]))
    box.drain()
    again = run.rerun_failed()
    key = shard_key(again.id, 0)
    shard = Shard.from_record(again.id, 0, box.store.get([key])[0])
    due = Codec().dumps(box.clock.now()).decode()
    old = shard._replace(retries=f'[["row 1 at 0:0",0,{due}]]'.encode(), waiting=1)
    old = old._replace(query=shard.query.replace(b'"1:0"', b'"0:0"'))
    box.store.put(key, old.record())

    box.drain()

    assert (again.fetch().done, again.fetch().errors) == (1, 1)

"""A query is split into shards, and the run that they make is concluded once."""

import datetime as dt

import pytest

from adjourn import QueryIter, Status
from adjourn.errors import ConflictError
from adjourn.execution.delivery import Outcome
from adjourn.iteration.runs import Step, run_key
from adjourn.iteration.shards import KIND as SHARD
from adjourn.names import digest
from adjourn.testing import MemoryQuery
from tests.faults import CrashError

QUERY = MemoryQuery("Order")


class Walk(QueryIter):
    """Notes what it gets."""

    batch_size = 3
    step_seconds = 20
    notes: list[object]

    def handle_entry(self, entry, custom_data):
        self.notes.append(entry)
        if custom_data is not None:
            custom_data["sum"] += entry

    def handle_finish(self, total_count, custom_data):
        self.notes.append((total_count, custom_data))

    def merge(self, first, second):
        return {"sum": first["sum"] + second["sum"]}


@pytest.fixture
def walk(app, box, ran):
    box.queries.add("Order", *range(40))
    return app.query_iter(type("Walk", (Walk,), {"__module__": __name__, "notes": ran}))


def queued_shards(box):
    return sorted(Step.decode(q.task.body).shard for q in box.queue.tasks.values())


def test_a_run_is_split_into_more_shards_than_it_has_chains(box, walk):
    run = walk.start(QUERY, shards=2)

    assert queued_shards(box) == [0, 1]
    assert [shard.status for shard in run.fetch().shards] == ["running"] * 2 + ["waiting"] * 6


def test_every_entity_is_handled_once_and_the_end_comes_after_all(box, walk, ran):
    run = walk.start(QUERY, shards=3)

    box.drain()

    assert sorted(ran[:-1]) == list(range(40))
    assert ran[-1] == (40, None)
    assert (run.fetch().status, run.fetch().done) == (Status.FINISHED, 40)
    assert {shard.status for shard in run.fetch().shards} == {"ended"}


def test_a_chain_that_has_ended_its_shard_goes_on_with_the_next(box, walk):
    walk.start(QUERY, shards=2)

    box.deliver(box.queue.due()[0])
    assert queued_shards(box) == [1, 2]
    box.deliver(box.queue.due()[0])
    assert queued_shards(box) == [2, 3]


def test_a_repeated_end_of_a_shard_sees_that_the_next_one_is_queued(box, walk):
    walk.start(QUERY, shards=2)
    first = box.queue.due()[0]
    box._receive(first)
    box.queue.tasks = {first.name: first}  # the next one was not enqueued after all

    assert box.deliver(first) is Outcome.DONE

    assert queued_shards(box) == [2]


def test_a_worker_that_lost_its_lease_cannot_end_its_shard(app, box, ran, lines):
    def handle_entry(_self, entry, _custom_data):
        ran.append(entry)
        if entry == 1 and ran.count(1) == 1:
            box.clock._now += dt.timedelta(seconds=60)  # and not the clock of this step
            box._receive(queued)

    members = {"__module__": __name__, "notes": ran, "handle_entry": handle_entry}
    walk = app.query_iter(type("Walk", (Walk,), members))
    box.queries.add("Order", *range(40))
    run = walk.start(QUERY, shards=2)
    queued = box.queue.due()[0]

    assert box.deliver(queued) is Outcome.BUSY

    assert "iteration.fenced" in [line["event"] for line in lines()]
    assert queued_shards(box) == [0, 1, 2]
    assert [shard.status for shard in run.fetch().shards].count("running") == 2
    box.drain()
    assert run.fetch().done == 40


def test_a_shard_whose_end_meets_too_many_others_ends_in_the_next_step(box, walk, ran):
    walk.start(QUERY, shards=2)
    working = box.store.transact

    def conflict(_):
        raise ConflictError("too many others")

    box.store.transact = conflict
    box.deliver(box.queue.due()[0])
    box.store.transact = working

    box.drain()

    assert sorted(ran[:-1]) == list(range(40))
    assert ran[-1] == (40, None)


@pytest.mark.parametrize("shards", [1, 2])
def test_entries_that_move_behind_the_position_are_met_again_or_not_at_all(box, app, ran, shards):
    """The order is by price, and the hook raises the price of one and lowers that of another."""

    def handle_entry(_self, entry, _custom_data):
        ran.append(entry["name"])
        if entry["name"] == "a" and entry["price"] == 1:
            entry["price"] = 9
            others[3]["price"] = 0

    others = [{"name": name, "price": at} for at, name in enumerate("abcde", 1)]
    box.queries.add("Priced", *others)
    members = {"__module__": __name__, "notes": ran, "handle_entry": handle_entry}
    walk = app.query_iter(type("Walk", (Walk,), members | {"batch_size": 1}))
    run = walk.start(MemoryQuery("Priced", order="price"), shards=shards)

    box.drain()

    assert ran[:-1] == ["a", "b", "c", "e", "a"]  # d has moved to where nobody looks any more
    assert run.fetch().done == 5


def test_what_is_added_meanwhile_belongs_to_a_shard(box, walk, ran):
    walk.start(QUERY, shards=2)
    box.queries.add("Order", 40, 41)

    box.drain()

    assert sorted(ran[:-1]) == list(range(42))


def test_the_data_of_the_shards_are_merged(box, walk, ran):
    walk.start(QUERY, {"sum": 0}, shards=2)

    box.drain()

    assert ran[-1] == (40, {"sum": sum(range(40))})


def test_shards_that_changed_nothing_are_not_merged(box, app, ran):
    class Quiet(Walk):
        def handle_entry(self, entry, custom_data):
            if entry == 7:
                custom_data["sum"] += entry

        def merge(self, first, second):
            raise AssertionError((first, second))

    quiet = type("Quiet", (Quiet,), {"__module__": __name__, "notes": ran})
    quiet.__qualname__ = "Quiet"
    box.queries.add("Order", *range(40))
    app.query_iter(quiet).start(QUERY, {"sum": 100}, shards=2)

    box.drain()

    assert ran == [(40, {"sum": 107})]


def test_data_that_nobody_could_merge_stop_the_run_at_once(app, box, ran):
    members = {"__module__": __name__, "notes": ran, "merge": QueryIter.merge}
    walk = app.query_iter(type("Walk", (Walk,), members))
    box.queries.add("Order", *range(40))
    run = walk.start(QUERY, {"sum": 0}, shards=2)

    box.drain()

    state = run.fetch()
    assert (state.status, state.done) == (Status.STOPPED, 0)
    assert "of which each of the 8 shards has a copy; define merge" in state.last_error
    assert ran == [0, 1, 2, 3, 4]  # and no second step


def test_without_merge_data_that_stay_as_they_were_are_handed_on(app, box, ran):
    members = {
        "__module__": __name__,
        "notes": ran,
        "merge": QueryIter.merge,
        "handle_entry": lambda *_: None,
    }
    walk = app.query_iter(type("Walk", (Walk,), members))
    box.queries.add("Order", *range(40))
    walk.start(QUERY, {"sum": 5}, shards=2)

    box.drain()

    assert ran == [(40, {"sum": 5})]


def test_a_query_that_cannot_be_cut_is_walked_over_as_a_whole_and_says_so(box, walk, lines, ran):
    run = walk.start(QUERY, shards=4, limit=10)

    box.drain()

    assert len(run.fetch().shards) == 1
    assert ran == [*range(10), (10, None)]
    (line,) = [line for line in lines() if line["event"] == "iteration.whole"]
    assert "it has a limit" in line["message"]


def test_a_query_that_may_surprise_is_warned_about(box, walk, lines):
    box.queries.add("Priced", {"price": 3})
    walk.start(MemoryQuery("Priced", order="price"))

    (line,) = [line for line in lines() if line["event"] == "iteration.warning"]
    assert line["message"].startswith("The query is ordered by price: entities whose price is")


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 39, 40, 41])
def test_a_limit_counts_over_all_steps(box, walk, ran, limit):
    box.app._declared.iterations.get(f"{__name__}.Walk").handle_entry = lambda _self, entry, _: (
        box.clock.advance(dt.timedelta(seconds=10)),
        ran.append(entry),
    )
    run = walk.start(QUERY, limit=limit)

    box.drain()

    wanted = min(limit, 40)
    assert ran == [*range(wanted), (wanted, None)]
    assert (run.fetch().done, run.fetch().total) == (wanted, wanted)


def test_cursors_bound_a_walk(box, walk, ran):
    page = box.queries.page(box.queries.describe(QUERY), cursor="", limit=20)

    walk.start(QUERY, start_cursor=page.cursors[4], end_cursor=page.cursors[9])
    box.drain()

    assert ran == [5, 6, 7, 8, 9, (5, None)]


# Names


@pytest.mark.parametrize("former_shards", [1, 2, 3])
@pytest.mark.parametrize("shards", [1, 2])
def test_a_step_of_a_void_run_cannot_end_the_run_that_replaces_it(
    box, walk, ran, former_shards, shards
):
    """It goes on while its run is voided, started anew, and the new one's first steps die."""
    box.queries.add("Sale", *range(12))
    seen = []

    def handle_entry(_self, entry, _custom_data):
        seen.append(entry)
        if len(seen) == 1:
            now = box.clock.now()
            first._runs.update(first.id, lambda run: run.voided("It was not enqueued.", now))
            again = walk.start(MemoryQuery("Sale"), name="spring", shards=shards)
            assert (again.id, again.is_new) == (first.id, True)
            for queued in [q for q in box.queue.tasks.values() if q not in former]:
                with pytest.raises(CrashError):
                    box.deliver(queued)
        elif len(seen) <= 1 + shards:
            raise CrashError
        ran.append(entry)

    walk.handle_entry = handle_entry
    first = walk.start(MemoryQuery("Sale"), name="spring", shards=former_shards)
    former = list(box.queue.tasks.values())
    box.deliver(former[-1])

    assert (first.fetch().status, first.fetch().done) == (Status.RUNNING, 0)
    ran.clear()
    while box.queue.tasks:
        box.clock.advance(dt.timedelta(seconds=60))
        box.drain()
    assert sorted(ran[:-1]) == list(range(12))
    assert ran[-1] == (12, None)
    assert (first.fetch().status, first.fetch().done) == (Status.FINISHED, 12)
    kept = [key for key in box.store.records if key.kind == SHARD]
    assert len(kept) == len(first.fetch().shards)


def test_a_late_step_of_a_void_run_that_had_more_shards_is_acknowledged(box, walk, ran):
    box.queries.add("Sale", *range(12))
    first = walk.start(MemoryQuery("Sale"), name="spring", shards=3)
    *_, late = list(box.queue.tasks.values())
    first._runs.update(first.id, lambda run: run.voided("It was not enqueued.", box.clock.now()))
    walk.start(MemoryQuery("Sale"), name="spring")

    assert box.deliver(late) is Outcome.DONE

    box.drain()
    assert ran[-1] == (12, None)
    assert not [key for key in box.store.records if key.kind == "AdjournDeadLetter"]


def declared(app, name):
    members = {"handle_entry": lambda *_: None}
    return app.query_iter(name=name)(type("Named", (QueryIter,), members))


@pytest.mark.usefixtures("box")
def test_names_of_classes_and_runs_are_not_confused(app):
    one, another = declared(app, "a b"), declared(app, "a")

    first, second = one.start(QUERY, name="c"), another.start(QUERY, name="b c")

    assert (first.is_new, second.is_new) == (True, True)
    assert first.id != second.id
    assert one.start(QUERY, name="c").id == first.id
    assert another.start(QUERY, name="b c").id == second.id


def test_a_run_that_an_earlier_version_named_is_found(app, box):
    """Earlier versions hashed both names with a space in between."""
    run = declared(app, "a").start(QUERY, name="b")
    assert run.id == digest("a b")

    spaced = declared(app, "c d")
    new = spaced.start(QUERY, name="e")
    key, former = run_key(new.id), run_key(digest("c d e"))
    box.store.put(former, box.store.get([key])[0])
    box.store.delete_many([key])

    joined = spaced.start(QUERY, name="e")

    assert (joined.id, joined.is_new) == (former.name, False)


@pytest.mark.usefixtures("box")
def test_a_run_of_another_class_under_the_former_name_is_not_joined(app):
    spaced = declared(app, "c d")
    other = declared(app, "c").start(QUERY, name="d e")
    assert other.id == digest("c d e")

    assert spaced.start(QUERY, name="e").is_new

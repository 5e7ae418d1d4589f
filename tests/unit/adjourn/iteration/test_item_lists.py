"""Runs over lists of keys, rows and CSV files go as runs over queries do."""

import datetime as dt
import io
from decimal import Decimal

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import datastore

from adjourn import (
    CsvFile,
    DeclarationError,
    DeleteEntitiesIter,
    EncodeError,
    KeyList,
    QueryIter,
    RowList,
    Status,
    UpdateEntitiesIter,
)
from adjourn.iteration.stored_lists import KIND
from adjourn.testing import MemoryQuery


class Walk(QueryIter):
    """Notes what it is given."""

    max_entry_retries = 0
    broken: object = ()
    notes: list[object]

    def handle_entry(self, entry, custom_data):
        if entry in self.broken:
            raise RuntimeError("broken")
        self.notes.append(entry)
        custom_data["n"] += 1

    def handle_finish(self, total_count, custom_data):
        self.notes.append(("finished", total_count, custom_data["n"]))

    def merge(self, first, second):
        return {"n": first["n"] + second["n"]}


@pytest.fixture
def declare(app, ran):
    def declared(base=Walk, **members):
        return app.query_iter(
            type("Walk", (base,), {"__module__": __name__, "notes": ran} | members)
        )

    return declared


def key(n):
    return datastore.Key("Product", f"n{n:04}", project="sandbox")


def products(box, numbers):
    for n in numbers:
        entity = datastore.Entity(key(n))
        entity["n"] = n
        box.queries.add("Product", entity)


def go_on(box):
    """Deliver what is due, as time passes, until nothing is left."""
    while box.queue.tasks:
        box.drain()
        if next_due := box.queue.next_due():
            box.clock.advance(next_due - box.clock.now())


def pieces(box):
    return [each for each in box.store.records if each.kind == KIND]


@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("count", [0, 1, 3, 999, 1000, 1001, 2500])
def test_each_row_comes_once(box, declare, ran, shards, count):
    run = declare().start(RowList(range(count)), {"n": 0}, shards=shards)
    box.drain()

    assert sorted(ran[:-1]) == list(range(count))
    assert ran[-1] == ("finished", count, count)
    state = run.fetch()
    assert (state.status, state.done, state.total) == (Status.FINISHED, count, count)
    assert len(state.shards) == (1 if shards == 1 else max(1, min(16, count)))
    assert pieces(box) == []


def test_a_row_comes_as_it_was_listed(box, declare, ran):
    rows = [{"id": 7, "price": Decimal("1.20")}, "A-1", 17, ("a", None), key(3)]

    declare().start(RowList(rows), {"n": 0})
    box.drain()

    assert ran[:-1] == rows


def test_entities_come_by_their_keys_and_those_that_are_gone_are_counted(box, declare, ran):
    products(box, range(0, 3000, 2))
    keys = (key(n) for n in range(3000))
    run = declare(handle_entry=lambda _self, entry, _: ran.append(entry["n"])).start(
        KeyList(keys), {"n": 0}, shards=3
    )
    box.drain()

    assert sorted(ran[:-1]) == list(range(0, 3000, 2))
    state = run.fetch()
    assert (state.status, state.done, state.missing) == (Status.FINISHED, 3000, 1500)
    assert state.total == 3000


def test_batches_have_those_that_are_there(box, declare, ran):
    products(box, [1, 2, 5])

    def handle_batch(_self, entries, _data):
        ran.append([each["n"] for each in entries])
        return [None, RuntimeError("broken"), None]

    members = {"handle_batch": handle_batch, "handle_entry": QueryIter.handle_entry}
    run = declare(**members).start(KeyList(map(key, range(10))), {"n": 0})
    box.drain()

    assert ran[:-1] == [[1, 2, 5]]
    state = run.fetch()
    assert (state.done, state.missing, state.errors) == (10, 7, 1)
    assert state.failures[0].entry == "Product/n0002"


def test_a_batch_of_which_nothing_is_left_is_not_handed_over(box, declare, ran):
    members = {"handle_batch": lambda *_: ran.append("called")}
    run = declare(**members, handle_entry=QueryIter.handle_entry).start(
        KeyList(map(key, range(10))), {"n": 0}
    )
    box.drain()

    assert ran == [("finished", 10, 0)]
    assert run.fetch().missing == 10


def test_an_entity_that_is_deleted_before_it_is_tried_again_is_missing(box, declare):
    products(box, [1])

    def handle_entry(_self, entry, _data):
        box.queries.remove("Product", entry)
        raise RuntimeError("broken")

    run = declare(handle_entry=handle_entry, max_entry_retries=3).start(MemoryQuery("Product"), {})
    go_on(box)

    assert (run.fetch().done, run.fetch().missing) == (1, 1)


def test_listed_entities_are_deleted_in_bulk(box, declare):
    products(box, range(10))
    run = declare(DeleteEntitiesIter).start(KeyList([key(2), key(4), key(99)]))
    box.drain()

    assert [each["n"] for each in box.queries.entries("Product")] == [0, 1, 3, 5, 6, 7, 8, 9]
    assert (run.fetch().done, run.fetch().missing) == (3, 1)


def test_listed_entities_are_updated_in_bulk(box, declare):
    products(box, range(4))

    def update_entry(_self, entry, _data):
        entry["n"] += 100

    run = declare(UpdateEntitiesIter, update_entry=update_entry).start(
        KeyList([key(1), key(3)]), dry_run=True
    )
    box.drain()
    assert run.fetch().dry_run.counts == {"update": 2}
    declare(UpdateEntitiesIter, update_entry=update_entry, __qualname__="Other").start(
        KeyList([key(1), key(3)])
    )
    box.drain()

    assert [each["n"] for each in box.queries.entries("Product")] == [0, 101, 2, 103]


def test_rows_are_tried_again_and_told_by_their_number(box, declare, ran):
    rows = [{"id": n} for n in range(2500)]
    broken = [rows[3], rows[1500], rows[2499]]
    walk = declare(broken=list(broken), max_entry_retries=1)
    run = walk.start(RowList(rows), {"n": 0}, shards=2)
    box.drain()
    walk.broken = broken[1:]
    go_on(box)

    state = run.fetch()
    assert (state.status, state.done, state.errors) == (Status.FINISHED, 2500, 2)
    assert sorted(each.entry for each in run.failures()) == ["row 1501", "row 2500"]
    assert sum(entry == rows[3] for entry in ran) == 1


def test_rows_that_failed_are_handled_once_more_and_nothing_else(box, declare, ran):
    walk = declare(broken=range(0, 3000, 3))
    run = walk.start(RowList(range(3000)), {"n": 0}, shards=2)
    box.drain()
    walk.broken, had = {6}, len(ran)

    again = run.rerun_failed()
    box.drain()

    assert sorted(ran[had:-1]) == [n for n in range(0, 3000, 3) if n != 6]
    assert (again.fetch().total, again.fetch().done, again.fetch().errors) == (1000, 1000, 1)
    third = again.rerun_failed()
    walk.broken = ()
    box.drain()
    assert ran[-2:] == [6, ("finished", 1, 3000)]
    assert third.fetch().status is Status.FINISHED


def test_results_that_are_projected_are_handled_once_more(box, declare, ran):
    products(box, range(6))
    is_broken = [True]

    def handle_entry(_self, entry, _data):
        if is_broken and entry["n"] > 3:
            raise RuntimeError("broken")
        ran.append(entry["n"])

    client = datastore.Client(project="sandbox", credentials=AnonymousCredentials())
    query = client.query(kind="Product", projection=["n"])
    run = declare(handle_entry=handle_entry).start(query, {"n": 0})
    box.drain()
    ran.clear()
    is_broken.clear()

    run.rerun_failed()
    box.drain()

    assert ran[:-1] == [4, 5]


def test_a_run_is_paused_resumed_and_cancelled(box, declare, ran):
    def handle_entry(_self, entry, _data):
        box.clock.advance(dt.timedelta(seconds=1))
        ran.append(entry)

    run = declare(handle_entry=handle_entry, step_seconds=5).start(RowList(range(2000)), {})
    box.deliver(box.queue.due()[0])
    run.pause()
    box.drain()
    assert run.fetch().status is Status.PAUSED
    assert ran == list(range(5))
    run.resume()
    box.deliver(box.queue.due()[0])
    run.cancel()
    box.drain()

    assert run.fetch().status is Status.CANCELLED
    assert ran == list(range(10))
    assert pieces(box) == []


def test_a_limit_takes_the_first_ones_and_reads_no_further(box, declare, ran):
    def endless():
        n = 0
        while True:
            yield n
            n += 1

    run = declare().start(RowList(endless()), {"n": 0}, limit=1234)
    box.drain()

    assert run.fetch().total == 1234
    assert ran[:-1] == list(range(1234))


def test_a_second_start_under_a_name_reads_no_list(box, declare, ran):
    walk = declare()
    first = walk.start(RowList(range(3)), {"n": 0}, name="spring")

    def untouched():
        raise AssertionError("it is read")
        yield

    second = walk.start(RowList(untouched()), {"n": 0}, name="spring")
    box.drain()

    assert (first.is_new, second.is_new, first.id) == (True, False, second.id)
    assert len(ran) == 4


def test_the_pace_holds_for_lists(box, declare, ran):
    began = box.clock.monotonic()
    declare().start(RowList(range(100)), {"n": 0}, entities_per_second=10, shards=2)
    go_on(box)

    assert len(ran) == 101
    assert 8.5 <= box.clock.monotonic() - began <= 12


# CSV files


def test_the_rows_of_a_file_come_as_dicts(tmp_path, box, declare, ran):
    path = tmp_path / "prices.csv"
    path.write_text('\ufeffid,name\r\n7,"Gläser, ""groß"""\r\n\r\n8,\r\n', encoding="utf-8")

    declare().start(CsvFile(path), {"n": 0})
    box.drain()

    assert ran[:-1] == [{"id": "7", "name": 'Gläser, "groß"'}, {"id": "8", "name": ""}]


def test_an_open_file_and_other_delimiters_are_read(box, declare, ran):
    declare().start(CsvFile(io.StringIO("id;name\n7;A\n", newline=""), delimiter=";"), {"n": 0})
    box.drain()

    assert ran[0] == {"id": "7", "name": "A"}


def test_a_file_in_another_encoding_is_read(tmp_path, box, declare, ran):
    path = tmp_path / "old.csv"
    path.write_bytes("id,name\n7,Gläser\n".encode("cp1252"))

    declare().start(CsvFile(str(path), encoding="cp1252"), {"n": 0})
    box.drain()

    assert ran[0] == {"id": "7", "name": "Gläser"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"The first line of .* must name the columns, each differently; it has \[\]"),
        (b"id,id\n1,2\n", r"must name the columns, each differently; it has \['id', 'id'\]"),
        (b"id,name\n1,A\n2\n", r"Line 3 of .*prices.csv has 1 values instead of 2"),
        (b"id,name\n1,A,B\n", r"Line 2 of .*prices.csv has 3 values instead of 2"),
        (b'id,name\n1,"A\n', "cannot be read as CSV: unexpected end of data"),
        (b"id,name\n1,Gl\xe4ser\n", "cannot be read as CSV: 'utf-8' codec can't decode"),
    ],
)
def test_a_file_that_is_no_csv_starts_nothing(tmp_path, box, declare, content, said):
    path = tmp_path / "prices.csv"
    path.write_bytes(content)

    with pytest.raises(DeclarationError, match=said):
        declare().start(CsvFile(path), {"n": 0})

    assert not box.store.records
    assert not box.queue.tasks


def test_a_file_that_is_not_there_starts_nothing(tmp_path, box, declare):
    with pytest.raises(DeclarationError, match="cannot be read as CSV: "):
        declare().start(CsvFile(tmp_path / "none.csv"), {"n": 0})
    with pytest.raises(DeclarationError, match=r"cannot be read as CSV: .*delimiter"):
        declare(__qualname__="Other").start(CsvFile(io.StringIO("a"), delimiter=";;"), {"n": 0})

    assert not box.store.records


# What is refused


@pytest.mark.parametrize("items", ["ab", b"cd", {"a": 1}, 5, None])
def test_what_is_no_list_is_refused(items):
    with pytest.raises(DeclarationError, match="must be an iterable of keys"):
        KeyList(items)
    with pytest.raises(DeclarationError, match="must be an iterable of rows"):
        RowList(items)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("Product/1", "is not a complete key"),
        (datastore.Key("Product", project="sandbox"), "is not a complete key"),
        (datastore.Key("AdjournRun", "r", project="sandbox"), "only adjourn may change"),
    ],
)
def test_a_wrong_key_starts_nothing(box, declare, wrong, said):
    keys = [*map(key, range(2500)), wrong]
    with pytest.raises(DeclarationError, match=said):
        declare().start(KeyList(keys), {"n": 0})

    assert not box.store.records
    assert not box.queue.tasks


def test_a_row_that_cannot_be_encoded_starts_nothing(box, declare):
    with pytest.raises(EncodeError, match=r"item 2501\b"):
        declare().start(RowList([*range(2500), object()]), {"n": 0})
    with pytest.raises(EncodeError, match=r"item 2 takes 500,002 bytes and may take 500,000"):
        declare(__qualname__="Other").start(RowList(["x", "x" * 500_000]), {"n": 0})

    assert not box.store.records


@pytest.mark.usefixtures("box")
def test_cursors_are_refused(declare):
    with pytest.raises(DeclarationError, match="A list has no cursors"):
        declare().start(RowList([1]), {"n": 0}, start_cursor="abc")

"""What is stored of batches is read for ever."""

import datetime as dt
from pathlib import Path

import pytest

from adjourn.batches.children import Child, Children, Counts
from adjourn.batches.place import Kind, Place, State, call_id
from adjourn.batches.records import BatchRecord, batch_id
from adjourn.batches.shards import Shard
from tests import golden_records

GOLDEN = Path(__file__).parent / "golden"
NOW = dt.datetime(2026, 1, 1, 12, 30, 15, 250, tzinfo=dt.UTC)
CHILDREN = (
    Children()
    .with_added(Child(bytes([n]) * 16, kind) for n, kind in enumerate(list(Kind)[:6]))
    .with_end(bytes(16), State.FAILED)
    .with_end(b"\3" * 16, State.DONE, Counts(7, 2, 1))
)
ADDED = Children().with_added(
    Child(bytes([n]) * 16, kind) for n, kind in enumerate((Kind.ADDED_RUN, Kind.ADDED_BATCH))
)
RECORDS = {
    "added.json": Shard("5a" * 16, "ba" * 16, "", "", ADDED, NOW),
    "shard.json": Shard("5a" * 16, "ba" * 16, "", "", CHILDREN, NOW),
    "grown.json": Shard("5a" * 16, "ba" * 16, "5b" * 16, "c0" * 16, CHILDREN, NOW, "default mail"),
    "open.json": BatchRecord(id="ba" * 16, name="import", created_at=NOW, expires_at=NOW),
    "ended.json": BatchRecord(
        id="ba" * 16,
        name="",
        created_at=NOW,
        expires_at=NOW,
        parent=Place("0" * 32, "1" * 32, "2" * 32).text,
        children=CHILDREN,
        is_sealed=True,
        cancelled_at=NOW,
        cancels_rest=True,
        on_done=b"\x01\xff",
        on_failed=b"{}",
        queue="mail",
        round=2,
        failed_by="c0" * 16,
        sealed_at=NOW,
        ended_at=NOW,
    ),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_golden_record_is_read_and_written(name):
    record, stored = RECORDS[name], (GOLDEN / name).read_text()
    key = record.id if isinstance(record, BatchRecord) else record.name

    assert type(record).of(key, golden_records.record(stored)) == record
    assert golden_records.text(record.record()) == stored


def test_every_golden_file_is_tested():
    assert {path.name for path in GOLDEN.iterdir()} == RECORDS.keys()


def test_fields_that_a_newer_version_added_are_ignored():
    stored = golden_records.record((GOLDEN / "open.json").read_text())

    assert BatchRecord.of("ba" * 16, {**stored, "new": 1}) == RECORDS["open.json"]


def test_the_names_of_records_never_change():
    assert batch_id("import") == "a53c155c880e9a50815a670002caa5f2"
    assert call_id(b"\x07" * 16) == f"{'07' * 16}-child"
    assert len({batch_id("a"), batch_id("a", "b"), batch_id("b", "a")}) == 3

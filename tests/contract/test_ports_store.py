"""What the core asks of Datastore, of the twin in memory and of the adapter alike."""

import datetime as dt
import itertools
import random
from dataclasses import replace

import pytest

from adjourn.concurrency import PerProcess
from adjourn.errors import ConflictError, StoreError
from adjourn.gcp.datastore_api import datastore_client
from adjourn.gcp.datastore_store import DatastoreStore
from adjourn.ports import RecordKey
from adjourn.testing import SETTINGS, MemoryStore
from tests.support import serving

NOON = dt.datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=dt.UTC)
KEY, OTHER = RecordKey("Run", "a"), RecordKey("Run", "b")


numbers = itertools.count(1)  # every test has a database of its own


def at(minute):
    return None if minute is None else NOON.replace(minute=minute)


class VersionsContract:
    """Subclasses give a `subject` and `others`, through which another process writes the same."""

    def test_any_change_raises_the_version(self, subject):
        versions = [0]
        for change in (
            lambda: subject.put(KEY, {"n": 1}),
            lambda: subject.put(KEY, {"n": 2}),
            lambda: subject.replace(KEY, {"n": 1}, version=subject.read([KEY])[0].version),
            lambda: subject.put_many({KEY: {"n": 4}}),
            lambda: subject.delete_many([KEY]) or subject.put(KEY, {"n": 4}),
        ):
            change()
            versions += [each.version for each in subject.read([KEY])]

        assert versions == sorted(set(versions))

    def test_what_is_missing_has_no_version(self, subject):
        subject.put(KEY, {"n": 1})

        found = subject.read([OTHER, KEY, OTHER])

        assert [each and each.record for each in found] == [None, {"n": 1}, None]

    @pytest.mark.parametrize("name", ["", "x" * 1501, "\u00e9" * 751, "\ud800", "__id__"])
    def test_what_no_entity_can_be_called_is_missing(self, subject, name):
        subject.put(KEY, {"n": 1})
        wanted = [RecordKey("Run", name), KEY]

        assert subject.get(wanted) == [None, {"n": 1}]
        for keys, found in ((wanted, [None, {"n": 1}]), (wanted[:1], [None])):
            assert subject.transact(lambda transaction, keys=keys: transaction.get(keys)) == found

    def test_writing_what_is_there_leaves_the_version(self, subject):
        subject.put(KEY, {"n": 1, "at": NOON})
        (before,) = subject.read([KEY])

        subject.put(KEY, {"n": 1, "at": NOON.astimezone(dt.timezone(dt.timedelta(hours=2)))})

        assert subject.read([KEY]) == [before]
        same = subject.replace(KEY, {"n": 1, "at": NOON}, version=before.version)
        assert same == before.version

    def test_a_record_is_replaced_by_whoever_knows_its_version(self, subject):
        subject.put(KEY, {"n": 1})
        (before,) = subject.read([KEY])

        first = subject.replace(KEY, {"n": 2}, version=before.version)
        second = subject.replace(KEY, {"text": "x" * 2000}, version=first, unindexed={"text"})

        assert before.version < first < second
        (after,) = subject.read([KEY])
        assert (after.record, after.version) == ({"text": "x" * 2000}, second)

    def test_a_record_that_another_one_has_changed_is_not_replaced(self, subject, others):
        subject.put(KEY, {"n": 1})
        (before,) = subject.read([KEY])
        others.put(KEY, {"n": 2})

        with pytest.raises(ConflictError):
            subject.replace(KEY, {"n": 3}, version=before.version)

        assert subject.get([KEY]) == [{"n": 2}]

    def test_of_two_who_replace_a_record_one_meets_a_conflict(self, subject, others):
        subject.put(KEY, {"n": 1})
        (before,) = subject.read([KEY])
        others.replace(KEY, {"n": 2}, version=before.version)

        with pytest.raises(ConflictError):
            subject.replace(KEY, {"n": 3}, version=before.version)

        assert subject.get([KEY]) == [{"n": 2}]

    @pytest.mark.parametrize("again", [False, True])
    def test_a_record_that_is_gone_is_not_replaced(self, subject, others, again):
        subject.put(KEY, {"n": 1})
        (before,) = subject.read([KEY])
        others.delete_many([KEY])
        if again:
            others.put(KEY, {"n": 1})

        with pytest.raises(ConflictError):
            subject.replace(KEY, {"n": 3}, version=before.version)

        assert subject.get([KEY]) == [{"n": 1} if again else None]

    def test_many_records_are_written_and_deleted(self, subject):
        keys = [RecordKey("Run", f"{n:04}") for n in range(1201)]
        body = bytes(24_000)

        subject.put_many(
            {key: {"body": body, "name": key.name} for key in keys}, unindexed=["body"]
        )
        assert subject.get([keys[0], keys[-1]])[1] == {"body": body, "name": "1200"}
        for at in range(0, 1201, 120):  # Google's emulator does not put off what is too much
            assert None not in subject.get(keys[at : at + 120])

        subject.delete_many([*keys[:-1], keys[5]])
        assert [n for n, found in enumerate(subject.get(keys)) if found] == [1200]

    def test_no_records_are_no_work(self, subject):
        subject.put_many({})
        subject.delete_many([])


class EntityStoreContract(VersionsContract):
    """What is asked besides."""

    def test_records_are_found_by_the_beginning_of_their_names(self, subject):
        names = ["a", "b", "b-1", "b-10", "b-2", "bo", "b\U0010fffe", "größe", "z"]
        subject.put_many({RecordKey("Named", name): {"text": name} for name in reversed(names)})
        subject.put(RecordKey("Other", "b-3"), {"text": "of another kind"})

        assert [name for name, _ in subject.by_name("Named", prefix="")] == sorted(names)
        assert [r["text"] for _, r in subject.by_name("Named", prefix="b-")] == [
            "b-1",
            "b-10",
            "b-2",
        ]
        assert [n for n, _ in subject.by_name("Named", prefix="b")] == names[1:7]
        assert list(subject.by_name("Named", prefix="c")) == []

    @pytest.mark.parametrize(
        "value",
        [
            None,
            True,
            False,
            0,
            -(2**63),
            2**63 - 1,
            1.5,
            "",
            "größe \U0001f600",
            b"",
            b"\x00\xff",
            NOON,
            dt.datetime(1, 1, 1, tzinfo=dt.UTC),
        ],
        ids=repr,
    )
    def test_a_value_comes_back_as_it_was(self, subject, value):
        subject.put(KEY, {"value": value})

        (record,) = subject.get([KEY])

        assert record == {"value": value}
        assert isinstance(record["value"], type(value))

    def test_a_time_comes_back_in_utc(self, subject):
        moment = NOON.astimezone(dt.timezone(-dt.timedelta(hours=7)))

        subject.put(KEY, {"at": moment})

        ((record),) = subject.get([KEY])
        assert record["at"] == moment
        assert record["at"].isoformat() == NOON.isoformat()

    def test_records_come_in_the_order_of_their_keys(self, subject):
        subject.put(KEY, {"n": 1})
        subject.put(OTHER, {"n": 2})
        missing, elsewhere = RecordKey("Run", "c"), RecordKey("Other", "a")

        found = subject.get([OTHER, missing, KEY, elsewhere, OTHER])

        assert found == [{"n": 2}, None, {"n": 1}, None, {"n": 2}]

    def test_no_keys_are_no_records(self, subject):
        assert subject.get([]) == []

    def test_a_record_replaces_the_one_before(self, subject):
        subject.put(KEY, {"a": 1, "b": 2})
        subject.put(KEY, {"a": 3})

        assert subject.get([KEY]) == [{"a": 3}]

    def test_what_was_read_is_a_copy(self, subject):
        subject.put(KEY, {"a": 1})
        subject.get([KEY])[0]["a"] = 2

        assert subject.get([KEY]) == [{"a": 1}]

    def test_what_is_not_indexed_may_be_long(self, subject):
        subject.put(KEY, {"text": "x" * 100_000, "short": "y"}, unindexed={"text"})
        subject.transact(
            lambda t: t.put(OTHER, {"body": bytes(100_000), "short": 1}, unindexed=("body",))
        )

        first, second = subject.get([KEY, OTHER])
        assert len(first["text"]) == len(second["body"]) == 100_000

    def test_a_transaction_takes_effect_as_a_whole(self, subject):
        subject.put(KEY, {"n": 1})

        def work(transaction):
            ours, theirs = transaction.get([KEY, OTHER])
            transaction.put(KEY, {"n": ours["n"] + 1})
            transaction.put(OTHER, {"n": 10})
            return theirs

        assert subject.transact(work) is None

        assert subject.get([KEY, OTHER]) == [{"n": 2}, {"n": 10}]

    def test_a_transaction_reads_what_was_there_when_it_began(self, subject):
        subject.put(KEY, {"n": 1})

        def work(transaction):
            transaction.get([KEY])
            transaction.put(KEY, {"n": 2})
            return transaction.get([KEY])

        assert subject.transact(work) == [{"n": 1}]

        assert subject.get([KEY]) == [{"n": 2}]

    @pytest.mark.parametrize("reads", [False, True])
    def test_work_that_raises_leaves_nothing(self, subject, reads):
        def work(transaction):
            if reads:
                transaction.get([KEY])
            transaction.put(KEY, {"n": 1})
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            subject.transact(work)

        assert subject.get([KEY]) == [None]
        subject.put(KEY, {"n": 2})
        assert subject.get([KEY]) == [{"n": 2}]

    @pytest.mark.parametrize("reads", [False, True])
    def test_work_that_writes_nothing_is_fine(self, subject, reads):
        assert subject.transact(lambda t: t.get([KEY]) if reads else [None]) == [None]

    @pytest.mark.parametrize("before", [None, {"n": 1}])
    def test_work_is_done_again_on_what_another_one_wrote_meanwhile(self, subject, others, before):
        if before:
            subject.put(KEY, before)
        seen = []

        def work(transaction):
            seen.append(transaction.get([KEY])[0])
            if len(seen) == 1:
                others.put(KEY, {"n": 5})
            transaction.put(KEY, {"n": (seen[-1] or {"n": 0})["n"] + 1})

        subject.transact(work)

        assert seen == [before, {"n": 5}]
        assert subject.get([KEY]) == [{"n": 6}]

    def test_work_that_meets_others_again_and_again_is_given_up(self, subject, others):
        tries = []

        def work(transaction):
            transaction.get([KEY])
            tries.append(None)
            others.put(KEY, {"n": len(tries)})
            transaction.put(KEY, {"n": -1})

        with pytest.raises(ConflictError, match="gave up after 6 attempts"):
            subject.transact(work)

        assert len(tries) == 6
        assert subject.get([KEY]) == [{"n": 6}]

    def test_work_that_only_reads_does_not_mind_writes_elsewhere(self, subject, others):
        def work(transaction):
            others.put(OTHER, {"n": 1})
            return transaction.get([KEY])

        assert subject.transact(work) == [None]

    def test_a_transaction_knows_the_versions_that_it_has_written(self, subject, others):
        subject.put(OTHER, {"n": 1})
        found = []

        def work(transaction):
            transaction.get([KEY, OTHER])
            transaction.put(KEY, {"n": 1})
            transaction.delete(OTHER)
            found.append((transaction, dict(transaction.written)))

        subject.transact(work)

        ((transaction, before),) = found
        (stored,) = subject.read([KEY])
        assert (before, dict(transaction.written)) == ({}, {KEY: stored.version})
        subject.replace(KEY, {"n": 2}, version=transaction.written[KEY])
        others.put(KEY, {"n": 3})
        with pytest.raises(ConflictError):
            subject.replace(KEY, {"n": 4}, version=transaction.written[KEY])

    def test_a_transaction_deletes(self, subject):
        subject.put(KEY, {"n": 1})

        def work(transaction):
            transaction.get([KEY])
            transaction.delete(KEY)
            transaction.delete(OTHER)

        subject.transact(work)

        assert subject.get([KEY]) == [None]

    def test_what_another_one_changed_meanwhile_is_not_deleted_unseen(self, subject, others):
        subject.put(KEY, {"n": 1})
        seen = []

        def work(transaction):
            seen.append(transaction.get([KEY])[0])
            if len(seen) == 1:
                others.put(KEY, {"n": 2})
            if seen[-1] == {"n": 1}:
                transaction.delete(KEY)

        subject.transact(work)

        assert subject.get([KEY]) == [{"n": 2}]

    def test_a_transaction_reads_versions_and_what_is_read_so_is_guarded_too(self, subject, others):
        subject.put(KEY, {"n": 1})
        (before,) = subject.read([KEY])
        seen = []

        def work(transaction):
            seen.append(transaction.read([KEY, OTHER]))
            if len(seen) == 1:
                others.put(OTHER, {"n": 1})
            transaction.put(KEY, {"n": 2})

        subject.transact(work)

        assert seen[0] == [before, None]
        assert [each.record for each in seen[1]] == [{"n": 1}, {"n": 1}]

    def test_a_query_yields_the_latest_first(self, subject):
        for name, minute in (("a", 1), ("c", 3), ("b", 2)):
            subject.put(RecordKey("Run", name), {"at": at(minute), "n": minute})
        subject.put(RecordKey("Other", "a"), {"at": at(1)})
        subject.put(RecordKey("Run", "timeless"), {"n": 1})

        found = list(subject.query("Run", by="at"))

        assert [name for name, _ in found] == ["c", "b", "a"]
        assert found[0] == ("c", {"at": at(3), "n": 3})

    @pytest.mark.parametrize(
        ("since", "before", "names"),
        [(2, None, "cb"), (None, 2, "a"), (1, 3, "ba"), (2, 2, ""), (None, None, "cba")],
    )
    def test_a_query_keeps_to_times(self, subject, since, before, names):
        for name, minute in (("a", 1), ("b", 2), ("c", 3)):
            subject.put(RecordKey("Run", name), {"at": at(minute)})

        found = subject.query("Run", by="at", since=at(since), before=at(before))

        assert "".join(name for name, _ in found) == names

    def test_names_are_those_whose_time_has_passed_the_earliest_first(self, subject):
        for name, minute in (("a", 5), ("c", 3), ("b", 4), ("d", 1)):
            subject.put(RecordKey("Run", name), {"at": at(minute)})
        subject.put(RecordKey("Other", "x"), {"at": at(1)})
        subject.put(RecordKey("Run", "timeless"), {"n": 1})

        found = subject.names("Run", by="at", before=at(5), limit=2)

        assert list(found) == ["d", "c"]
        assert list(subject.names("Run", by="at", before=at(5), limit=9)) == ["d", "c", "b"]
        assert list(subject.names("Nothing", by="at", before=at(5), limit=9)) == []

    def test_what_a_query_has_found_can_be_deleted_on_the_way(self, subject):
        keys = [RecordKey("Run", f"{n:03}") for n in range(40)]
        for key in keys:
            subject.put(key, {"at": NOON, "body": bytes(100_000)}, unindexed={"body"})

        for name, _ in subject.query("Run", by="at"):
            subject.transact(lambda t, name=name: t.delete(RecordKey("Run", name)))

        assert subject.get(keys) == [None] * 40


class TestMemoryStore(EntityStoreContract):
    @pytest.fixture
    def subject(self):
        return MemoryStore()

    @pytest.fixture
    def others(self, subject):
        return subject


class DatastoreStoreFixtures:
    """Subclasses give the `address` of a Datastore."""

    @pytest.fixture
    def connect(self, monkeypatch, address):
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", address)
        settings = replace(SETTINGS, database=f"test-{next(numbers)}")
        return lambda: PerProcess(lambda: datastore_client(settings))

    @pytest.fixture
    def pauses(self):
        return []

    @pytest.fixture
    def subject(self, connect, pauses):
        return DatastoreStore(connect(), sleep=pauses.append, jitter=lambda: 0.5)

    @pytest.fixture
    def others(self, connect):
        return DatastoreStore(connect(), jitter=random.random)


class TestLaptopStore(DatastoreStoreFixtures, EntityStoreContract):
    @pytest.fixture
    def address(self, optimistic_address):
        return optimistic_address

    def test_pauses_between_tries_grow(self, subject, others, pauses):
        def work(transaction):
            transaction.get([KEY])
            others.put(KEY, {"n": len(pauses)})
            transaction.put(KEY, {"n": -1})

        with pytest.raises(ConflictError):
            subject.transact(work)

        assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8]

    def test_what_the_service_refuses_is_told(self, subject):
        with pytest.raises(StoreError, match="A request to Datastore failed"):
            subject.put(KEY, {"indexed": "x" * 2_000})
        with pytest.raises(StoreError):
            subject.transact(lambda t: t.put(KEY, {"indexed": "x" * 2_000}))

    def test_a_service_that_does_not_know_the_call_is_told(self, loop, monkeypatch):
        with serving(loop) as address:
            monkeypatch.setenv("DATASTORE_EMULATOR_HOST", address)
            subject = DatastoreStore(PerProcess(lambda: datastore_client(SETTINGS)))

            with pytest.raises(StoreError):
                subject.get([KEY])
            with pytest.raises(StoreError):
                subject.transact(lambda t: t.get([KEY]))
            with pytest.raises(StoreError):
                list(subject.query("Run", by="at"))
            with pytest.raises(StoreError):
                subject.replace(KEY, {}, version=1)
            with pytest.raises(StoreError):
                subject.put_many({KEY: {}})
            with pytest.raises(StoreError):
                subject.delete_many([KEY])

    def test_without_credentials_nothing_is_stored(self, monkeypatch, tmp_path):
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))

        with pytest.raises(StoreError, match=r"missing\.json was not found"):
            datastore_client(SETTINGS)


class TestGoogleStore(DatastoreStoreFixtures, VersionsContract):
    """Google's emulator lets a write wait for the transactions that have read what it changes."""

    @pytest.fixture
    def address(self, google_address):
        return google_address

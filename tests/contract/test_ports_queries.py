"""What the core asks of users' queries, of the twin in memory and of the adapter alike."""

import datetime as dt
import itertools
from dataclasses import replace

import pytest
from google.cloud import datastore
from google.cloud.datastore.helpers import GeoPoint
from google.cloud.datastore.query import And, Or, PropertyFilter

from adjourn.errors import ConflictError, DeclarationError, StoreError
from adjourn.gcp.datastore_api import datastore_client
from adjourn.gcp.datastore_queries import DatastoreQueries
from adjourn.gcp.datastore_values import DATASTORE_VALUES
from adjourn.serialization.codec import Codec
from adjourn.testing import SETTINGS, MemoryQueries, MemoryQuery
from tests.support import serving

numbers = itertools.count(1)  # every test has a database of its own


def carry(value):
    """Encode a value and decode it, as a run does."""
    codec = Codec(extensions=DATASTORE_VALUES)
    return codec.loads(codec.dumps(value))


def carried(subject, query, **limits):
    """Describe a query and carry what that says as a run does."""
    return carry(dict(subject.describe(query, **limits)))


def walk(subject, told, limit=1000):
    """Return the entries of all pages."""
    found, cursor, more = [], "", True
    while more:
        page = subject.page(told, cursor=cursor, limit=limit)
        assert len(page.cursors) == len(page.entries) <= limit
        found += page.entries
        cursor, more = (page.cursors or [cursor])[-1], page.more
    return found


class QuerySourceContract:
    """Subclasses give a `subject`, a `query` for 7 numbers, and ways to read and change them."""

    @pytest.fixture
    def told(self, subject, query):
        return carried(subject, query)

    @pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8, 1000])
    def test_pages_of_any_size_give_everything_once(self, subject, told, number, limit):
        assert [number(entry) for entry in walk(subject, told, limit)] == list(range(7))

    def test_the_last_page_says_that_it_is(self, subject, told):
        first = subject.page(told, cursor="", limit=4)
        second = subject.page(told, cursor=first.cursors[-1], limit=4)

        assert (first.more, second.more) == (True, False)
        assert len(second.entries) == 3

    @pytest.mark.parametrize("at", range(5))
    def test_a_walk_goes_on_behind_any_entry(self, subject, told, number, at):
        page = subject.page(told, cursor="", limit=5)
        page = subject.page(told, cursor=page.cursors[at], limit=7)

        assert [number(entry) for entry in page.entries] == list(range(at + 1, 7))

    def test_a_position_stays_where_it_is_when_entries_before_it_are_deleted(
        self, subject, told, number, remove
    ):
        cursor = subject.page(told, cursor="", limit=5).cursors[2]
        for each in (0, 1, 2):
            remove(each)

        page = subject.page(told, cursor=cursor, limit=5)

        assert [number(entry) for entry in page.entries] == [3, 4, 5, 6]

    def test_entries_that_are_added_behind_a_position_are_found(self, subject, told, number, add):
        cursor = subject.page(told, cursor="", limit=7).cursors[-1]
        add(7)

        page = subject.page(told, cursor=cursor, limit=5)

        assert [number(entry) for entry in page.entries] == [7]

    def test_nothing_is_an_empty_last_page(self, subject, told, remove):
        for each in range(7):
            remove(each)

        page = subject.page(told, cursor="", limit=5)

        assert (list(page.entries), list(page.cursors), page.more) == ([], [], False)

    def test_the_results_are_counted(self, subject, told, remove):
        assert subject.count(told) == 7

        remove(3)
        assert subject.count(told) == 6

    @pytest.mark.parametrize(("limit", "count"), [(1, 1), (6, 6), (7, 7), (8, 7)])
    def test_a_limit_is_told_and_counted(self, subject, query, limit, count):
        told = carried(subject, query, limit=limit)

        assert told["limit"] == limit
        assert subject.count(told) == count

    @pytest.mark.parametrize("ends", [(None, None), (2, None), (None, 4), (2, 4), (3, 3)])
    @pytest.mark.parametrize("size", [1, 2, 7])
    def test_a_walk_keeps_between_two_positions(self, subject, query, number, ends, size):
        after, until = ends
        cursors = subject.page(carried(subject, query), cursor="", limit=7).cursors
        told = carried(
            subject,
            query,
            start_cursor=None if after is None else cursors[after],
            end_cursor=None if until is None else cursors[until],
        )

        expected = list(range(7))[(after if after is not None else -1) + 1 : (until or 6) + 1]
        assert [number(entry) for entry in walk(subject, told, size)] == expected
        assert subject.count(told) == len(expected)

    def test_an_entry_is_found_again_by_its_reference(self, subject, query, number, remove):
        told = carried(subject, query)
        entries = walk(subject, told)
        references = carry([subject.refer(told, entry) for entry in entries])
        remove(3)

        found = subject.find(told, [references[5], references[3], references[0], references[5]])

        assert [each and number(each) for each in found] == [5, None, 0, 5]
        assert subject.find(told, []) == []

    @pytest.mark.parametrize("pieces", [2, 3, 4, 7, 100])
    def test_pieces_have_every_entry_once_and_those_that_are_added(
        self, subject, unordered, number, add, pieces
    ):
        split = subject.split(carried(subject, unordered), pieces)
        told = carry(list(split.parts))
        sizes = [subject.count(piece) for piece in told]
        add(7)
        add(-1)

        found = [number(entry) for piece in told for entry in walk(subject, piece, 2)]

        assert (len(told), split.reason) == (min(pieces, 7), "")
        assert max(sizes) - min(sizes) <= 1
        assert sorted(found) == list(range(-1, 8))

    def test_one_piece_is_no_split(self, subject, unordered):
        split = subject.split(carried(subject, unordered), 1)

        assert len(split.parts) == 1

    def test_what_has_hardly_any_entries_stays_whole(self, subject, unordered, remove):
        for each in range(6):
            remove(each)

        split = subject.split(carried(subject, unordered), 4)

        assert len(split.parts) == 1
        assert "fewer than two" in split.reason

    def test_an_ordered_query_stays_whole_and_is_warned_about(self, subject, query, unordered):
        told = carried(subject, query)

        split = subject.split(told, 4)

        assert list(split.parts) == [told]
        assert "order" in split.reason
        (warning,) = subject.warnings(told)
        assert "ordered by n" in warning
        assert not subject.warnings(carried(subject, unordered))

    def test_a_limit_or_a_position_keep_a_query_whole(self, subject, unordered):
        cursor = subject.page(carried(subject, unordered), cursor="", limit=1).cursors[0]
        for name, value in (("limit", 5), ("start_cursor", cursor), ("end_cursor", cursor)):
            split = subject.split(carried(subject, unordered, **{name: value}), 4)

            assert len(split.parts) == 1
            assert name.split("_")[0] in split.reason

    def test_an_entry_that_is_moved_behind_the_position_is_met_again(
        self, subject, query, number, move
    ):
        told = carried(subject, query)
        page = subject.page(told, cursor="", limit=4)
        move(1, 20)
        move(5, -3)

        rest = walk(subject, told | {"start_cursor": page.cursors[-1]})

        assert [number(entry) for entry in rest] == [4, 6, 20]

    def test_entries_are_deleted_once_they_are_found(self, subject, query, number):
        told = carried(subject, query)
        entries = walk(subject, told)

        subject.delete([entries[1], entries[4], entries[1]])
        subject.delete([entries[4], entries[6]])
        subject.delete([])

        assert [number(entry) for entry in walk(subject, told)] == [0, 2, 3, 5]

    def test_entries_are_changed_but_for_those_that_fail_or_need_not(self, subject, query, number):
        told = carried(subject, query)
        entries = walk(subject, told)
        subject.delete([entries[0]])
        seen = []

        def tenfold(entry):
            seen.append(entry["n"])
            entry["n"] *= 10
            if entry["n"] == 30:
                raise ZeroDivisionError
            return entry["n"] != 40

        failed = subject.change(entries, tenfold)

        assert sorted(seen) == [1, 2, 3, 4, 5, 6]
        assert [type(error) for error in failed] == [
            ZeroDivisionError if n == 3 else type(None) for n in range(7)
        ]
        assert [number(entry) for entry in walk(subject, told)] == [3, 4, 10, 20, 50, 60]
        assert subject.change([], tenfold) == []

    @pytest.mark.parametrize("query", [None, "SELECT *", 5])
    def test_what_is_not_a_query_is_refused(self, subject, query):
        with pytest.raises(DeclarationError, match="is not a"):
            subject.describe(query)


class TestMemoryQueries(QuerySourceContract):
    @pytest.fixture
    def subject(self):
        queries = MemoryQueries()
        queries.add("Number", *({"n": n} for n in range(7)))
        return queries

    @pytest.fixture
    def query(self):
        return MemoryQuery("Number", order="n")

    @pytest.fixture
    def unordered(self):
        return MemoryQuery("Number")

    @pytest.fixture
    def number(self):
        return lambda entry: entry["n"]

    @pytest.fixture
    def add(self, subject):
        return lambda n: subject.add("Number", {"n": n})

    @pytest.fixture
    def remove(self, subject):
        return lambda n: subject.remove("Number", {"n": n})

    @pytest.fixture
    def move(self, subject):
        def change(n, to):
            entries = walk(subject, subject.describe(MemoryQuery("Number")))
            next(entry for entry in entries if entry["n"] == n)["n"] = to

        return change

    def test_a_kind_without_entries_is_empty(self, subject):
        assert subject.count(subject.describe(MemoryQuery("Other"))) == 0

    def test_entries_may_be_anything(self, subject):
        subject.add("Other", 5, "five", 5.5)
        told = subject.describe(MemoryQuery("Other"))

        assert walk(subject, told, 2) == [5, "five", 5.5]
        assert subject.find(told, [subject.refer(told, "five"), subject.refer(told, 6)]) == [
            "five",
            None,
        ]


def equal(name, value):
    return PropertyFilter(name, "=", value)


EVEN, ODD = equal("parity", "even"), equal("parity", "odd")
FORMS = {
    "all": {},
    "equality": {"filters": [EVEN]},
    "inequality": {"filters": [PropertyFilter("n", ">", 1)]},
    "two inequalities": {"filters": [PropertyFilter("n", ">", 1), PropertyFilter("m", "<", 2)]},
    "!=": {"filters": [PropertyFilter("n", "!=", 3)]},
    "NOT_IN": {"filters": [PropertyFilter("n", "NOT_IN", [2, 4])]},
    "IN": {"filters": [PropertyFilter("m", "IN", [0, 2])]},
    "IN and order": {"filters": [PropertyFilter("m", "IN", [0, 2])], "order": ["-n"]},
    "IN and order by key": {"filters": [PropertyFilter("m", "IN", [0, 2])], "order": ["__key__"]},
    "OR": {"filters": [Or([equal("m", 1), EVEN])]},
    "OR of inequalities": {
        "filters": [Or([PropertyFilter("n", "<", 2), PropertyFilter("m", ">", 1)])]
    },
    "nested": {"filters": [Or([And([equal("m", 1), ODD]), And([equal("m", 2), EVEN])])]},
    "order": {"order": ["m", "-n"]},
    "key descending": {"order": ["-__key__"]},
    "array": {"filters": [PropertyFilter("tags", "IN", ["t1", "t2"])]},
    "projection": {"projection": ["n", "m"]},
    "projection of an array": {"projection": ["tags"], "filters": [EVEN]},
    "keys only": {"projection": ["__key__"], "filters": [EVEN]},
    "distinct": {"projection": ["m"], "distinct_on": ["m"]},
    "distinct of two": {"projection": ["m", "parity"], "distinct_on": ["parity", "m"]},
    "distinct entities": {"distinct_on": ["m"], "order": ["m"]},
    "ancestor": {"ancestor": ("Parity", "odd")},
    "ancestor and order": {"ancestor": ("Parity", "odd"), "order": ["-n"]},
    "no kind": {"kind": None},
    "namespace": {"namespace": "elsewhere"},
}
REFUSED = [
    ({"filters": [PropertyFilter("n", ">", 1)], "order": ["__key__"]}, "refuses its cursors"),
    ({"filters": [PropertyFilter("n", "!=", 1)], "order": ["__key__"]}, "leave the order out"),
    ({"distinct_on": ["parity"], "order": ["parity", "n"]}, "name n in distinct_on"),
    ({"distinct_on": ["parity"], "projection": ["parity", "m"]}, "within a group"),
]

REFUSED_BY_DATASTORE = [
    {"filters": [PropertyFilter("n", "IN", [])]},
    {"filters": [PropertyFilter("n", "IN", 5)]},
    {"filters": [PropertyFilter("n", "IN", list(range(31)))]},
    {"filters": [PropertyFilter("n", "NOT_IN", list(range(11)))]},
    {"filters": [PropertyFilter(name, "IN", list(range(6))) for name in "nm"]},
    {"filters": [equal("tags", ["all", "t1"])]},
    {"kind": None, "filters": [EVEN]},
    {"kind": None, "order": ["n"]},
    {"kind": None, "order": ["-__key__"]},
    {"order": ["n", "m", "-n"]},
    {"projection": ["n", "n"]},
    {"projection": ["n"], "filters": [equal("n", 1)]},
    {"distinct_on": ["m"], "filters": [PropertyFilter("m", "IN", [1, 2])]},
]

REFUSED_BY_THE_SERVICE_ALONE = [
    {"filters": [PropertyFilter("n", "!=", 1), PropertyFilter("m", "!=", 1)]},
    {"filters": [PropertyFilter("n", "NOT_IN", [1]), Or([equal("m", 1), EVEN])]},
    {"filters": [PropertyFilter("n", "NOT_IN", [1]), PropertyFilter("m", "IN", [1])]},
    {"filters": [equal("tags", {"all": 1})]},
    {"kind": None, "projection": ["n"]},
]


def form(client, told):
    """Return the query of a form."""
    options = {"kind": "Number"} | told
    if path := options.pop("ancestor", None):
        options["ancestor"] = client.key(*path)
    filters = options.pop("filters", [])
    query = client.query(**options)
    for each in filters:
        query.add_filter(filter=each)
    return query


def rows(entities):
    """Return what can be compared of entities and projections."""
    return [(entity.key, sorted((k, repr(v)) for k, v in entity.items())) for entity in entities]


class DatastoreQueriesContract(QuerySourceContract):
    """Subclasses give the `address` of a Datastore."""

    @pytest.fixture
    def client(self, monkeypatch, address):
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", address)
        settings = replace(SETTINGS, database=f"test-{next(numbers)}")
        return datastore_client(settings)

    @pytest.fixture
    def source(self, client):
        return DatastoreQueries(lambda: client)

    @pytest.fixture
    def put(self, client):
        return client.put

    @pytest.fixture
    def drop(self, client):
        return client.delete

    @pytest.fixture
    def subject(self, source, add):
        for n in range(7):
            add(n)
        return source

    @pytest.fixture
    def query(self, client):
        return client.query(kind="Number", order=["n"])

    @pytest.fixture
    def unordered(self, client):
        return client.query(kind="Number")

    @pytest.fixture
    def move(self, client, put):
        def change(n, to):
            parity = "odd" if n % 2 else "even"
            entity = client.get(client.key("Parity", parity, "Number", f"n{n}"))
            entity["n"] = to
            put(entity)

        return change

    @pytest.fixture
    def number(self):
        return lambda entity: entity["n"]

    @pytest.fixture
    def add(self, client, put):
        def made(n, namespace=None):
            parity = "odd" if n % 2 else "even"
            parent = client.key("Parity", parity, namespace=namespace)
            entity = datastore.Entity(client.key("Number", f"n{n}", parent=parent))
            entity.update({"n": n, "m": n % 3, "parity": parity, "tags": ["all", f"t{n % 3}"]})
            put(entity)

        return made

    @pytest.fixture
    def remove(self, client, drop):
        def delete(n):
            parity = "odd" if n % 2 else "even"
            drop(client.key("Parity", parity, "Number", f"n{n}"))

        return delete

    @pytest.fixture
    def products(self, client, put):
        makers = [client.key("Maker", each) for each in (1, "a")]
        embedded = datastore.Entity()
        embedded["city"] = "Ulm"
        for name, values in {
            "a": {
                "price": 1,
                "tags": ["new", "red"],
                "sold": dt.datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=dt.UTC),
                "code": b"ab",
                "of": makers[1],
                "at": GeoPoint(48, 10),
            },
            "b": {"price": 2, "tags": ["red"], "sold": None, "code": b"\xff", "of": makers[0]},
            "c": {"price": "three", "tags": [], "maker": embedded, "of": makers[0]},
            "d": {"price": 4.5, "maker": [{"city": "Bonn"}, {"city": "Aalen"}], "code": "ab"},
        }.items():
            entity = datastore.Entity(client.key("Product", name), ("note",) * (name != "b"))
            entity.update(values | {"note": "unindexed" if name != "b" else 5})
            if name in "bc":
                entity["at"] = GeoPoint(-1 if name == "b" else 48, 10 + (name == "c") / 10)
            put(entity)

    def found(self, subject, query):
        return [entity["n"] for entity in walk(subject, carried(subject, query), limit=2)]

    @pytest.mark.parametrize(
        ("condition", "numbers"),
        [
            (PropertyFilter("n", ">", 3), [4, 5, 6]),
            (And([PropertyFilter("n", ">=", 2), PropertyFilter("parity", "=", "odd")]), [3, 5]),
            (Or([PropertyFilter("n", "=", 1), PropertyFilter("n", "=", 6)]), [1, 6]),
            (
                And(
                    [
                        Or([PropertyFilter("n", "=", 1), PropertyFilter("n", "=", 6)]),
                        PropertyFilter("parity", "=", "even"),
                    ]
                ),
                [6],
            ),
            (PropertyFilter("n", "IN", [0, 5]), [0, 5]),
        ],
    )
    def test_filters_are_carried(self, subject, query, condition, numbers):
        query.add_filter(filter=condition)

        assert self.found(subject, query) == numbers

    @pytest.mark.filterwarnings("ignore:Detected filter using positional arguments")
    def test_filters_in_the_old_form_are_carried(self, subject, client):
        query = client.query(kind="Number", filters=[("n", "<", 2)], order=["n"])

        assert self.found(subject, query) == [0, 1]

    def test_a_filter_on_a_key_is_carried(self, subject, client):
        query = client.query(kind="Number")
        key = client.key("Parity", "odd", "Number", "n3")
        query.add_filter(filter=PropertyFilter("__key__", "=", key))

        assert self.found(subject, query) == [3]

    def test_an_ancestor_and_an_order_are_carried(self, subject, client):
        query = client.query(kind="Number", ancestor=client.key("Parity", "odd"), order=["-n"])

        assert self.found(subject, query) == [5, 3, 1]

    def test_a_namespace_is_carried(self, subject, client, add):
        add(9, namespace="elsewhere")
        query = client.query(kind="Number", namespace="elsewhere")

        assert self.found(subject, query) == [9]

    def test_keys_only_is_carried(self, subject, client):
        query = client.query(kind="Number")
        query.keys_only()

        found = walk(subject, carried(subject, query), limit=3)

        assert len(found) == 7
        assert all(not dict(entity) for entity in found)

    def test_whole_entities_are_left_out_where_keys_are_enough(self, subject, client):
        query = client.query(kind="Number", order=["-n"])
        query.add_filter(filter=PropertyFilter("n", ">", 2))
        told = carried(subject, query, keys_only=True)

        found = walk(subject, told, limit=2)

        assert [entity.key.name for entity in found] == ["n6", "n5", "n4", "n3"]
        assert not any(dict(entity) for entity in found)
        assert query.projection == []  # the user's own is as it was
        for values in ({"projection": ["n"]}, {"distinct_on": ["m"], "order": ["m"]}):
            kept = client.query(kind="Number", **values)
            assert carried(subject, kept, keys_only=True) == carried(subject, kept)

    def test_a_projection_is_carried_and_a_walk_goes_on_within_one_entity(self, subject, client):
        query = client.query(kind="Number", projection=["tags"], order=["tags"])

        found = walk(subject, carried(subject, query), limit=1)

        assert len(found) == 14
        assert [entity["tags"] for entity in found][:8] == ["all"] * 7 + ["t0"]

    def test_a_distinct_query_is_carried(self, subject, client):
        query = client.query(kind="Number", distinct_on=["parity"], order=["parity"])

        assert self.found(subject, query) == [0, 1]

    @pytest.mark.parametrize("name", FORMS)
    def test_a_walk_goes_on_behind_any_result(self, subject, client, add, name):
        for n in range(3):
            add(n, namespace="elsewhere")
        query = form(client, FORMS[name])
        expected = rows(query.fetch())
        told = carried(subject, query)

        page = subject.page(told, cursor="", limit=1000)

        assert rows(page.entries) == expected
        assert subject.count(told) == len(expected) > 1
        for at, cursor in enumerate(page.cursors):
            rest = subject.page(told, cursor=cursor, limit=1000)
            assert rows(rest.entries) == expected[at + 1 :]
        if query.kind is not None:  # the positions of all kinds are not those of the client
            until = carried(subject, query, end_cursor=page.cursors[1])
            assert rows(walk(subject, until, 1)) == expected[:2]

    @pytest.fixture
    def own(self, client, put):
        """Put entities of adjourn's own kinds, and one of a kind that only looks like them."""
        kinds = ["AdjournRun", "AdjournShard", "AdjournPayload", "AdjournDeadLetter"]
        keys = [client.key(kind, name) for kind in kinds for name in ("a", "z")]
        for key in [*keys, client.key("Adjournment", 1), client.key("Zebra", 1)]:
            put(datastore.Entity(key))
        return keys

    @pytest.mark.usefixtures("own")
    @pytest.mark.parametrize("keys_only", [True, False])
    @pytest.mark.parametrize("limit", [1, 2, 4, 100])
    def test_a_query_of_all_kinds_leaves_out_adjourns_own(self, subject, client, limit, keys_only):
        told = carried(subject, client.query(), keys_only=keys_only)

        kinds = [entity.key.kind for entity in walk(subject, told, limit)]

        assert kinds == ["Adjournment", *["Number"] * 7, "Zebra"]
        assert subject.count(told) == 9
        assert subject.count(carried(subject, client.query(), limit=8)) == 8

    @pytest.mark.usefixtures("own")
    @pytest.mark.parametrize("parts", [2, 3, 7, 30])
    def test_a_query_of_all_kinds_is_cut_without_adjourns_own(self, subject, client, parts):
        split = subject.split(carried(subject, client.query()), parts)

        found = [walk(subject, carry(part), 2) for part in split.parts]

        assert len(found) == min(parts, 9)
        assert all(found)
        kinds = [entity.key.kind for part in found for entity in part]
        assert kinds == ["Adjournment", *["Number"] * 7, "Zebra"]
        assert [subject.count(carry(part)) for part in split.parts] == [len(p) for p in found]

    def test_a_query_for_a_kind_of_adjourns_own_is_refused(self, subject, client):
        with pytest.raises(DeclarationError, match="AdjournRun is a kind of adjourn's own"):
            subject.describe(client.query(kind="AdjournRun"))
        with pytest.raises(DeclarationError, match="out of reach"):
            subject.describe(client.query(ancestor=client.key("AdjournRun", "r")))

    @pytest.mark.parametrize("name", FORMS)
    def test_a_query_of_any_form_is_cut_or_says_why_not(self, subject, client, add, name):
        for n in range(3):
            add(n, namespace="elsewhere")
        told = carried(subject, form(client, FORMS[name]))
        split = subject.split(told, 3)

        pieces = carry(list(split.parts))
        found = [row for piece in pieces for row in rows(walk(subject, piece, 2))]

        assert sorted(found, key=repr) == sorted(rows(walk(subject, told)), key=repr)
        assert (len(pieces) > 1) != bool(split.reason)

    @pytest.mark.parametrize(("told", "reason"), REFUSED)
    def test_what_no_cursor_resumes_is_refused(self, subject, client, told, reason):
        with pytest.raises(DeclarationError, match=reason):
            subject.describe(form(client, told))

    @pytest.mark.parametrize("limit", [0, -1, True, 1.5, "7"])
    def test_a_limit_that_is_none_is_refused(self, subject, query, limit):
        with pytest.raises(DeclarationError, match="limit is"):
            subject.describe(query, limit=limit)

    def test_what_a_walk_over_keys_found_is_found_again_without_its_values(
        self, subject, client, drop
    ):
        query = client.query(kind="Number")
        query.keys_only()
        told = carried(subject, query)
        entries = walk(subject, told)
        drop(entries[1].key)

        found = subject.find(told, carry([subject.refer(told, entry) for entry in entries]))

        assert found[1] is None
        assert [entity.key for entity in found if entity is not None] == [
            entity.key for entity in entries if entity.key != entries[1].key
        ]
        assert not any(dict(entity) for entity in found if entity is not None)

    def test_what_a_projection_gave_stands_for_itself(self, subject, client):
        told = carried(subject, client.query(kind="Number", projection=["n"]))
        entries = walk(subject, told)

        found = subject.find(told, carry([subject.refer(told, entry) for entry in entries]))

        assert rows(found) == rows(entries)

    @pytest.mark.parametrize("told", REFUSED_BY_DATASTORE, ids=repr)
    def test_what_datastore_refuses_is_told(self, subject, client, told):
        told = carried(subject, form(client, told))

        with pytest.raises(StoreError):
            subject.count(told)
        with pytest.raises(StoreError):
            subject.page(told, cursor="", limit=1)

    @pytest.mark.usefixtures("products")
    @pytest.mark.parametrize(
        ("condition", "names"),
        [
            (PropertyFilter("price", "=", 2), "b"),
            (PropertyFilter("price", "=", 2.0), ""),
            (PropertyFilter("price", "!=", 2), "acd"),
            (PropertyFilter("price", ">", 1), "bcd"),
            (PropertyFilter("price", ">=", 1), "abcd"),
            (PropertyFilter("price", "<", 2), "a"),
            (PropertyFilter("price", "<=", 2), "ab"),
            (PropertyFilter("price", "<", "z"), "abc"),
            (PropertyFilter("price", "IN", [1, 4.5, "x"]), "ad"),
            (PropertyFilter("price", "NOT_IN", [1, 4.5]), "bc"),
            (PropertyFilter("tags", "=", "red"), "ab"),
            (And([PropertyFilter("tags", ">", "new"), PropertyFilter("tags", "<", "red")]), ""),
            (And([equal("tags", "new"), equal("tags", "red")]), "a"),
            (And([equal("tags", "new"), PropertyFilter("tags", ">", "new")]), ""),
            (PropertyFilter("sold", "=", None), "b"),
            (PropertyFilter("sold", ">", dt.datetime(2025, 1, 1, tzinfo=dt.UTC)), "a"),
            (PropertyFilter("sold", "<", dt.datetime(2027, 1, 1)), "ba"),  # noqa: DTZ001
            (PropertyFilter("nothing", "=", None), ""),
            (PropertyFilter("note", "=", "unindexed"), ""),
            (PropertyFilter("maker.city", "=", "Ulm"), "c"),
            (PropertyFilter("code", "=", b"ab"), "ad"),
            (PropertyFilter("code", "=", "ab"), "ad"),
            (PropertyFilter("code", "=", 1), ""),
            (PropertyFilter("at", "=", GeoPoint(48, 10)), "a"),
            (PropertyFilter("at", ">", GeoPoint(-1, 10)), "ac"),
            (And([equal("tags", "red"), equal("price", 1)]), "a"),
            (Or([equal("price", 4.5), equal("tags", "new")]), "ad"),
            (PropertyFilter("of", "=", datastore.Key("Maker", 1, project=SETTINGS.project)), ""),
        ],
    )
    def test_values_of_all_types_are_compared(self, subject, client, condition, names):
        query = client.query(kind="Product")
        query.add_filter(filter=condition)

        found = walk(subject, carried(subject, query), limit=1)

        assert "".join(entity.key.name for entity in found) == names

    @pytest.mark.usefixtures("products")
    @pytest.mark.parametrize(
        ("order", "names"),
        [
            (["price"], "abcd"),
            (["-price"], "dcba"),
            (["sold"], "ba"),
            (["code", "-price"], "dab"),
            (["of"], "bca"),
            (["at"], "bac"),
            (["-code", "__key__"], "bad"),
            (["__key__"], "abcd"),
            (["note"], "b"),
        ],
    )
    def test_values_of_all_types_are_sorted(self, subject, client, order, names):
        found = walk(subject, carried(subject, client.query(kind="Product", order=order)), limit=1)

        assert "".join(entity.key.name for entity in found) == names

    @pytest.mark.usefixtures("products")
    @pytest.mark.parametrize("name", ["price", "tags", "sold", "code", "of", "at", "maker.city"])
    def test_values_of_all_types_are_projected(self, subject, client, name):
        query = client.query(kind="Product", projection=[name])

        found = walk(subject, carried(subject, query), limit=2)

        assert [each.key for each in found] == [each.key for each in query.fetch()]
        assert [each[name] for each in found] == [each[name] for each in query.fetch()]
        assert found

    @pytest.mark.usefixtures("products")
    def test_entities_come_as_datastore_returns_them(self, subject, client):
        query = client.query(kind="Product")

        found = walk(subject, carried(subject, query), limit=2)

        assert found == list(query.fetch())
        found[0]["price"] = 99
        found[0].exclude_from_indexes.clear()
        assert walk(subject, carried(subject, query)) == list(query.fetch())

    def test_keys_are_sorted_by_path_and_ids_come_before_names(self, subject, put, client):
        paths = [(10,), (9,), ("10",), ("9",), ("ä",), ("z",), (9, "Path", 1), (9, "Other", 2)]
        for path in paths:
            put(datastore.Entity(client.key("Path", *path)))
        query = client.query(kind=None, ancestor=None)

        found = [each.key for each in walk(subject, carried(subject, query), 3)]

        assert found == [each.key for each in query.fetch()]
        of_kind = client.query(kind="Path")
        assert [each.key.flat_path[1:] for each in walk(subject, carried(subject, of_kind), 3)] == [
            (9,),
            (9, "Path", 1),
            (10,),
            ("10",),
            ("9",),
            ("z",),
            ("ä",),
        ]

    def test_a_group_is_not_met_again_when_its_entity_is_deleted(self, subject, client, drop):
        query = client.query(kind="Number", distinct_on=["m"], order=["m"])
        told = carried(subject, query)
        page = subject.page(told, cursor="", limit=1)
        drop(page.entries[0].key)

        rest = subject.page(told, cursor=page.cursors[0], limit=5)

        assert [each["m"] for each in (*page.entries, *rest.entries)] == [0, 1, 2]

    def test_an_inequality_is_warned_about(self, subject, client):
        told = carried(subject, form(client, FORMS["two inequalities"]))

        warnings = subject.warnings(told)

        assert ["filters m" in each or "filters n" in each for each in warnings] == [True, True]
        assert not subject.warnings(carried(subject, form(client, FORMS["OR"])))


class RulesOfTheService:
    """What Google's emulator does otherwise: it lets more pass, and repeats entities in pages."""

    @pytest.mark.parametrize("told", REFUSED_BY_THE_SERVICE_ALONE, ids=repr)
    def test_what_the_service_refuses_is_told(self, subject, client, told):
        told = carried(subject, form(client, told))

        with pytest.raises(StoreError):
            subject.count(told)

    def test_a_cursor_of_another_query_is_told(self, subject, client, query):
        cursor = subject.page(carried(subject, query), cursor="", limit=1).cursors[0]
        told = carried(subject, client.query(kind="Number", order=["m"]), start_cursor=cursor)

        with pytest.raises(StoreError):
            subject.count(told)

    @pytest.mark.usefixtures("products")
    @pytest.mark.parametrize(
        ("order", "names"),
        [
            (["tags"], "ab"),
            (["-tags"], "ba"),
            (["-tags", "__key__"], "ab"),
            (["tags", "-price"], "ab"),
            (["-tags", "-price"], "ba"),
            (["maker.city"], "dc"),
            (["-maker.city"], "cd"),
            (["-__key__", "price"], "dcba"),
        ],
    )
    def test_arrays_are_sorted_by_their_smallest_or_largest_value(
        self, subject, client, order, names
    ):
        found = walk(subject, carried(subject, client.query(kind="Product", order=order)), limit=1)

        assert "".join(entity.key.name for entity in found) == names

    @pytest.mark.usefixtures("products")
    def test_an_array_is_sorted_by_the_values_that_are_asked_for(self, subject, client):
        query = client.query(kind="Product", order=["tags", "-price"])
        query.add_filter(filter=PropertyFilter("tags", ">", "new"))

        found = walk(subject, carried(subject, query), limit=1)

        assert [entity.key.name for entity in found] == ["b", "a"]

    @pytest.mark.usefixtures("products")
    @pytest.mark.parametrize(
        ("condition", "names"),
        [(PropertyFilter("sold", ">", 0), ["a"]), (PropertyFilter("maker", "=", "Ulm"), [])],
        ids=["times are whole numbers", "an embedded entity has no value of its own"],
    )
    def test_values_are_compared_as_in_an_index(self, subject, client, condition, names):
        query = client.query(kind="Product")
        query.add_filter(filter=condition)

        assert [each.key.name for each in walk(subject, carried(subject, query))] == names


class TestMemoryEntities(RulesOfTheService, DatastoreQueriesContract):
    """The twin beside a Datastore that is given the same entities, and is asked what is right."""

    @pytest.fixture
    def address(self, datastore_address):
        return datastore_address

    @pytest.fixture
    def source(self):
        return MemoryQueries()

    @pytest.fixture
    def put(self, client, source):
        def both(entity):
            client.put(entity)
            source.add(entity.kind, entity)

        return both

    @pytest.fixture
    def drop(self, client, source):
        def both(key):
            client.delete(key)
            source.remove(key.kind, datastore.Entity(key))

        return both

    def test_an_entity_takes_the_place_of_the_one_with_its_key(self, subject, client):
        entity = datastore.Entity(client.key("Number", 1))
        subject.add("Number", entity)
        entity["n"] = 1
        assert subject.entries("Number")[0] == datastore.Entity(entity.key)

        subject.add("Number", entity)

        assert subject.entries("Number")[0] == entity
        assert len(subject.entries("Number")) == 8

    def test_a_partial_key_is_completed_as_by_the_client(self, subject, client):
        made = [datastore.Entity(client.key("Order")) for _ in range(3)]

        subject.add("Order", *made)

        assert [each.key for each in subject.entries("Order")] == [each.key for each in made]
        assert not any(each.key.is_partial for each in made)

    def test_an_entity_of_another_kind_is_refused(self, subject, client):
        with pytest.raises(ValueError, match=r"is of the kind 'Order', not 'Orders'"):
            subject.add("Orders", datastore.Entity(client.key("Order", 1)))

    def test_what_is_not_there_cannot_be_removed(self, subject, client):
        for kind in ("Number", "Other"):
            with pytest.raises(ValueError, match=f"not an entry of the kind '{kind}'"):
                subject.remove(kind, datastore.Entity(client.key(kind, 1)))


class AdapterContract(DatastoreQueriesContract):
    """Subclasses give the `address` of a Datastore, which the subject reads itself."""

    def test_the_cursors_of_googles_client_are_taken_and_others_refused(self, subject, query):
        iterator = query.fetch(limit=3)
        list(iterator)
        told = carried(subject, query, start_cursor=iterator.next_page_token)

        assert [entity["n"] for entity in walk(subject, told)] == [3, 4, 5, 6]
        with pytest.raises(DeclarationError, match="is not a cursor"):
            subject.describe(query, end_cursor=5)

    def test_a_query_for_another_project_is_refused(self, subject):
        query = datastore.Client(project="other").query(kind="Number")

        with pytest.raises(DeclarationError, match="is for the project 'other'"):
            subject.describe(query)

    def test_a_query_for_another_database_is_refused(self, subject):
        query = datastore.Client(project=SETTINGS.project, database="b").query(kind="Number")

        with pytest.raises(DeclarationError, match="is for the database 'b', ADJOURN_DATABASE is"):
            subject.describe(query)

    def test_a_service_that_gives_no_positions_is_told(self, subject, told, monkeypatch):
        monkeypatch.setattr("adjourn.gcp.datastore_api.urlsafe_b64encode", lambda _: b"")

        with pytest.raises(StoreError, match="without a cursor"):
            subject.page(told, cursor="", limit=1)

    def test_a_service_that_does_not_do_it_is_told(self, loop, monkeypatch, client, query):
        subject = DatastoreQueries(lambda: client)
        told = subject.describe(query)
        with serving(loop) as address:
            monkeypatch.setenv("DATASTORE_EMULATOR_HOST", address)
            stranger = datastore_client(SETTINGS)
            subject = DatastoreQueries(lambda: stranger)

            with pytest.raises(StoreError):
                subject.page(told, cursor="", limit=1)
            with pytest.raises(StoreError):
                subject.count(told)
            with pytest.raises(StoreError):
                subject.delete([datastore.Entity(stranger.key("Number", 1))])
            with pytest.raises(StoreError):
                subject.change([datastore.Entity(stranger.key("Number", 1))], len)


class TestLaptopQueries(RulesOfTheService, AdapterContract):
    @pytest.fixture
    def optimistic(self, monkeypatch, optimistic_address):
        """Return a client of a Datastore in which nobody waits for what others have read."""
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", optimistic_address)
        return datastore.Client(project=SETTINGS.project, database=f"test-{next(numbers)}")

    def many(self, client, count, size=0):
        keys = [client.key("Many", n) for n in range(1, count + 1)]
        for at in range(0, count, 30):
            entities = [datastore.Entity(key, ("body",)) for key in keys[at : at + 30]]
            for entity in entities:
                entity.update({"n": 0, "body": bytes(size)})
            client.put_multi(entities)
        return list(client.query(kind="Many").fetch())

    @pytest.mark.parametrize(("count", "size"), [(1201, 0), (60, 250_000)])
    def test_many_and_large_entities_are_changed_and_deleted(self, subject, client, count, size):
        entries = self.many(client, count, size)

        def change(entity):
            entity["n"] += 1

        assert set(subject.change(entries, change)) == {None}
        assert {entity["n"] for entity in client.query(kind="Many").fetch()} == {1}

        subject.delete(entries)
        assert list(client.query(kind="Many").fetch()) == []

    def test_an_end_holds_though_the_service_answers_in_several_parts(self, subject, client):
        self.many(client, 1201)
        query = client.query(kind="Many")
        cursors = subject.page(subject.describe(query), cursor="", limit=1201).cursors

        told = subject.describe(query, end_cursor=cursors[1099])
        page = subject.page(told, cursor="", limit=5000)

        assert (len(page.entries), page.more) == (1100, False)
        assert subject.count(told) == 1100

    def test_an_entity_that_others_keep_changing_holds_up_no_other(self, optimistic):
        client = optimistic
        pauses = []
        subject = DatastoreQueries(lambda: client, sleep=pauses.append, jitter=lambda: 1.0)
        entries = self.many(client, 120)
        rival = datastore.Client(project=client.project, database=client.database)

        def change(entity):
            entity["n"] += 1
            if entity.key.id == 33:
                other = datastore.Entity(entity.key)
                other["n"] = entity["n"] + 100
                rival.put(other)

        failed = subject.change(entries, change)

        assert [n for n, error in enumerate(failed, 1) if error] == [33]
        assert isinstance(failed[32], ConflictError)
        changed = {entity.key.id: entity["n"] for entity in client.query(kind="Many").fetch()}
        assert {n for key, n in changed.items() if key != 33} == {1}
        assert max(pauses) > 5 * min(pauses) > 0

    def test_an_entity_that_was_changed_meanwhile_is_changed_as_it_is_then(self, optimistic):
        client = optimistic
        subject = DatastoreQueries(lambda: client, sleep=lambda _: None)
        entries = self.many(client, 10)
        rival = datastore.Client(project=client.project, database=client.database)
        times = []

        def change(entity):
            if entity.key.id == 3 and not times:
                times.append(1)
                other = datastore.Entity(entity.key)
                other["n"] = 100
                rival.put(other)
            entity["n"] += 1

        assert set(subject.change(entries, change)) == {None}

        found = sorted(entity["n"] for entity in client.query(kind="Many").fetch())
        assert found == [1] * 9 + [101]

    @pytest.mark.usefixtures("own")
    @pytest.mark.parametrize("limit", [1, 3, 100])
    def test_a_query_of_all_kinds_leaves_out_adjourns_own_between_positions(
        self, subject, client, limit
    ):
        results = client.query().fetch(limit=6)
        assert len(list(results)) == 6
        told = carried(subject, client.query(), start_cursor=results.next_page_token)

        kinds = [entity.key.kind for entity in walk(subject, told, limit)]

        assert kinds == ["Adjournment", *["Number"] * 7, "Zebra"]

    def test_adjourns_own_entities_are_neither_changed_nor_deleted(self, subject, client, own):
        entities = [client.get(key) for key in own]

        def change(entity):
            entity["n"] = 1

        assert set(subject.change(entities, change)) == {None}
        subject.delete(entities)

        assert [dict(client.get(key)) for key in own] == [{}] * len(own)

    @pytest.mark.parametrize("value", [object(), "x" * 2_000], ids=["unknown", "long"])
    def test_what_datastore_cannot_keep_is_told_of_that_entity(self, subject, client, value):
        def change(entity):
            entity["n"] = value if entity.key.id == 7 else 1

        failed = subject.change(self.many(client, 60), change)

        assert [n for n, error in enumerate(failed, 1) if error] == [7]
        changed = {entity.key.id: entity["n"] for entity in client.query(kind="Many").fetch()}
        assert {n for key, n in changed.items() if key != 7} == {1}
        assert changed[7] == 0

    def test_what_is_no_stored_entity_is_refused(self, subject):
        with pytest.raises(DeclarationError, match="is not an entity"):
            subject.delete([5])
        with pytest.raises(DeclarationError, match="is not an entity"):
            subject.change([datastore.Entity()], len)

    @pytest.fixture
    def address(self, optimistic_address):
        return optimistic_address


class TestGoogleQueries(AdapterContract):
    @pytest.fixture
    def address(self, google_address):
        return google_address

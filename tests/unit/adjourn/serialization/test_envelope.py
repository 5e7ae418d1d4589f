"""An envelope keeps what is called with what, over versions and against broken bodies."""

import dataclasses
import datetime as dt
import enum
import json
import random
import zlib
from decimal import Decimal
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import pydantic
import pytest
from google.cloud.datastore import Entity, Key
from google.cloud.datastore.helpers import GeoPoint
from hypothesis import given
from hypothesis import strategies as st
from proto.datetime_helpers import DatetimeWithNanoseconds

from adjourn.debounce.window import Stamp, Window
from adjourn.errors import DecodeError, EncodeError
from adjourn.gcp.datastore_values import DATASTORE_VALUES
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn.serialization.payload_reference import MAX_BODY, PayloadReference

GOLDEN = Path(__file__).parent / "golden"
NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


class Color(enum.Enum):
    RED = 1


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass(frozen=True)
class Line:
    sku: str
    price: Decimal


@attrs.frozen
class Part:
    _sku: str
    count: int = 1


class Parcel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)

    parts: list[Part]
    weight: float = 1.0
    note: str = ""


@pytest.fixture(scope="module")
def codec():
    codec = Codec(extensions=DATASTORE_VALUES)
    for cls in (Color, Rights, Line, Part, Parcel):
        codec.register(cls, cls.__name__.lower())
    return codec


def envelope(**changes):
    return Envelope(**{"id": "7f3a", "task": "shop.send_receipt", "enqueued_at": NOON} | changes)


def body(**changes):
    fields = {"v": 1, "id": "7f3a", "task": "t", "enqueued_at": {"$datetime": NOON.isoformat()}}
    return json.dumps(fields | changes).encode()


def datastore_values():
    key = Key("Shop", "berlin", "Order", 5, project="p", namespace="n", database="d")
    entity = Entity(key, exclude_from_indexes=("note",))
    entity["note"] = "long"
    entity["at"] = DatetimeWithNanoseconds(2026, 1, 2, nanosecond=123456789, tzinfo=dt.UTC)
    entity["place"] = GeoPoint(52.5, 13.4)
    entity["address"] = Entity()
    entity["address"]["city"] = "Berlin"
    return envelope(args=(key, entity))


PLACE = f"{'ba' * 16}-{'5a' * 16}-{'c0' * 16}"
STOWED = PayloadReference(pieces=3, size=2_000_001, sha256="ab" * 32, until=1_800_000_000)
EXPECTED = {
    "v1-plain.json": lambda: envelope(
        args=(1, 2.5, "größe", None, True, [1, {"a": "b"}]), kwargs={"resend": False}
    ),
    "v1-budget.json": lambda: envelope(eta=NOON + dt.timedelta(days=1), max_retries=0),
    "v1-values.json": lambda: envelope(
        args=(
            1 << 1024,
            float("inf"),
            "\ud83d",
            b"\x00\xff",
            (1, (2,)),
            {3, 1},
            frozenset({"b", "a"}),
            {1: "one", (2, 3): "pair"},
            {"$tuple": [1]},
            dt.date(2026, 1, 2),
            dt.time(3, 4, 5),
            dt.time(3, 4, 5, 6, tzinfo=dt.UTC),
            dt.datetime(2026, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001 - naive ones are carried as such
            dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
            dt.datetime(2026, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2), "EET")),
            dt.timedelta(-1, 2, 3),
            Decimal("1.20"),
            UUID(int=7),
        ),
        kwargs={"$int": "not a marker"},
    ),
    "v1-registered.json": lambda: envelope(
        args=(Color.RED, Rights.READ | Rights.WRITE, Line("a-1", Decimal("9.90")))
    ),
    "v1-models.json": lambda: envelope(args=(Parcel(parts=[Part("a-1")], note="!"),)),
    "v1-datastore.json": datastore_values,
}
WINDOW = Window(
    key="0b1c",
    generation=3,
    wait=10.0,
    longest=60.0,
    first=Stamp(NOON, "7f3a"),
    is_throttle=False,
)
NEWER = (
    b'{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",'
    b'"user":{"$newer":["u-1"]}}'
)
READ_ONLY = {
    "v1-least.json": envelope,
    "v1-newer-fields.json": lambda: envelope(args=(1,), newer=NEWER),
    # Without the prefix that leaves them to a revision that knows these fields.
    "v1-written-flow.json": lambda: envelope(args=("acme",), flow=("acme", "")),
    "v1-written-result.json": lambda: envelope(keep_result=dt.timedelta(hours=1)),
    "v1-written-window.json": lambda: envelope(args=(42,), window=WINDOW.fields()),
}
WRITTEN = {
    "v1-written-plain.json": lambda: envelope(args=(1,), kwargs={"resend": False}),
    "v1-written-all.json": lambda: envelope(
        args=(1,),
        queue="mail",
        eta=NOON + dt.timedelta(days=1),
        expires_at=NOON + dt.timedelta(days=2),
        timeout=dt.timedelta(minutes=1),
        max_retries=0,
        min_backoff=dt.timedelta(seconds=1),
        max_backoff=dt.timedelta(seconds=2),
        once=True,
        no_retry=True,
        resumed=1,
        attempts=2,
        executions=3,
    ),
    "v1-written-distant.json": lambda: envelope(
        eta=NOON + dt.timedelta(days=90),
        starts_at=NOON + dt.timedelta(days=90),
        hops_at=NOON + dt.timedelta(days=29),
    ),
    "v1-written-waiting.json": lambda: envelope(
        marker="7f3a",
        waiting_since=NOON + dt.timedelta(seconds=1),
        starts_at=NOON + dt.timedelta(seconds=3),
        resumed=2,
        unique="0b1c",
        context={"user": "anna"},
    ),
    "v1-prefixed-flow.json": lambda: envelope(args=("acme",), flow=("acme", "")),
    "v1-written-batch.json": lambda: envelope(args=("acme",), batch=PLACE),
    "v1-prefixed-result.json": lambda: envelope(keep_result=dt.timedelta(hours=1)),
    "v1-written-newer.json": lambda: envelope(args=(1,), resumed=1, newer=NEWER),
    "v1-written-user-start.json": lambda: envelope(args=({"limit": 5},), user_start="5e1f"),
    "v1-written-schedule.json": lambda: envelope(args=(42,), schedule="tenant-42"),
    "v1-prefixed-window.json": lambda: envelope(args=(42,), window=WINDOW.fields()),
    "v2-written-reference.json": lambda: envelope(stowed=STOWED),
    "v2-written-stored-elsewhere.json": lambda: envelope(
        stowed=STOWED._replace(stored_as="0f3a-resumed"), resumed=1
    ),
}


@pytest.mark.parametrize("name", [*EXPECTED, *READ_ONLY, *WRITTEN])
def test_a_golden_body_is_read_for_ever(codec, name):
    expected = (EXPECTED | READ_ONLY | WRITTEN)[name]()

    decoded = Envelope.decode((GOLDEN / name).read_bytes(), codec)

    assert decoded == expected
    assert decoded.encode(codec) == expected.encode(codec)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_golden_body_is_what_is_written(codec, name):
    assert WRITTEN[name]().encode(codec) == (GOLDEN / name).read_bytes().rstrip(b"\n")


def test_every_golden_body_is_tested():
    assert {
        path.name for path in GOLDEN.iterdir()
    } == EXPECTED.keys() | READ_ONLY.keys() | WRITTEN.keys()


@pytest.mark.parametrize(
    ("prefix", "field"),
    [
        ("batch", {"batch": PLACE}),
        ("window", {"window": WINDOW.fields()}),
        ("result", {"keep_result": dt.timedelta(hours=1)}),
        ("flow", {"flow": ("acme",)}),
        ("batch", {"flow": ("acme",), "keep_result": dt.timedelta(hours=1), "batch": PLACE}),
    ],
)
def test_a_call_that_asks_for_more_is_of_an_unknown_task_to_earlier_versions(codec, prefix, field):
    """They would run it as a plain one; as it is, they leave it to the next revision."""
    call = envelope(**field)
    body = call.encode(codec)

    assert json.loads(body)["task"] == f"{prefix}:shop.send_receipt"
    assert Envelope.decode(body, codec) == call


def test_fields_of_a_newer_version_cannot_take_the_place_of_known_ones(codec):
    newer = {"newer": {"$bytes": "e30="}, "args2": [1]}
    decoded = Envelope.decode(body(**newer), codec)

    assert json.loads(decoded.newer) == newer
    assert Envelope.decode(decoded._replace(resumed=1).encode(codec), codec).resumed == 1


def test_every_field_is_in_a_golden_body():
    bodies = [WRITTEN[name]()._asdict() for name in WRITTEN]
    defaults = envelope()._asdict()
    always = {"id", "task", "enqueued_at"}

    written = {name for body in bodies for name, value in body.items() if value != defaults[name]}

    assert written | always == set(Envelope._fields)


instants = st.datetimes(
    *(dt.datetime.fromisoformat(f"{year:04}-01-01") for year in (2, 9000)),
    timezones=st.just(dt.UTC),
)


@given(
    args=st.lists(st.integers() | st.text()).map(tuple),
    kwargs=st.dictionaries(st.text(st.characters(exclude_categories=())), st.binary()),
    id=st.from_regex("[A-Za-z0-9][A-Za-z0-9_-]{0,499}", fullmatch=True),
    enqueued_at=instants,
    eta=st.none() | instants,
    max_retries=st.none() | st.integers(0),
)
def test_an_envelope_comes_back(codec, **fields):
    written = envelope(**fields)

    assert Envelope.decode(written.encode(codec), codec) == written


def test_the_version_stands_first(codec):
    assert envelope().encode(codec).startswith(b'{"v":1,"id":"7f3a"')


def test_an_argument_that_cannot_be_carried_is_named(codec):
    with pytest.raises(EncodeError, match=r"^kwargs\['order'\]\['items'\]\[1\]: "):
        envelope(kwargs={"order": {"items": [0, object()]}}).encode(codec)
    with pytest.raises(EncodeError, match=r"^args\[1\]: "):
        envelope(args=(0, object())).encode(codec)


def test_a_body_takes_hardly_more_bytes_than_noise_in_it(codec):
    noise = random.Random(1).randbytes(MAX_BODY * 98 // 100)

    assert len(noise) < len(envelope(args=(noise,)).encode(codec)) <= MAX_BODY


def test_a_body_of_more_than_a_billing_chunk_is_compressed(codec):
    small, large = envelope(args=("a" * 30_000,)), envelope(args=("a" * 40_000,))

    assert small.encode(codec).startswith(b"{")
    assert len(large.encode(codec)) < 1000
    assert Envelope.decode(large.encode(codec), codec) == large


@pytest.mark.parametrize(
    "spoil",
    [lambda body: body[:-10], lambda body: body[:50] + b"?" + body[51:], lambda _: b"\x78\x9c"],
    ids=["cut short", "changed", "empty"],
)
def test_a_spoiled_compressed_body_cannot_be_decoded(codec, spoil):
    body = envelope(args=("a" * 40_000,)).encode(codec)

    with pytest.raises(DecodeError):
        Envelope.decode(spoil(body), codec)


def test_a_compressed_body_cannot_fill_the_memory(codec):
    bomb = zlib.compress(b"[" * (100 << 20))

    with pytest.raises(DecodeError, match="more than"):
        Envelope.decode(bomb, codec)


WRONG = [
    ("id", ""),
    ("id", 7),
    ("task", ""),
    ("task", None),
    ("args", "ab"),
    ("args", {"a": 1}),
    ("kwargs", [1]),
    ("kwargs", None),
    ("enqueued_at", "2026-01-01T00:00:00+00:00"),
    ("enqueued_at", None),
    ("eta", 7),
    ("max_retries", -1),
    ("max_retries", True),
    ("max_retries", 1.0),
]


OUT_OF_RANGE = [
    ("timeout", dt.timedelta(seconds=14)),
    ("timeout", dt.timedelta(minutes=31)),
    ("min_backoff", dt.timedelta(seconds=-1)),
    ("max_backoff", dt.timedelta.max),
    ("attempts", 2**63),
    ("executions", 10**400),
    ("resumed", -1),
    ("eta", dt.datetime.max.replace(tzinfo=dt.UTC)),
    ("expires_at", dt.datetime.min.replace(tzinfo=dt.UTC)),
    ("enqueued_at", dt.datetime.max.replace(tzinfo=dt.UTC)),
]


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE)
def test_a_field_that_could_not_be_computed_with_is_refused(codec, name, value):
    body = json.loads(envelope().encode(codec))

    with pytest.raises(DecodeError, match=f"{name} of an envelope must be"):
        Envelope.decode(json.dumps({**body, name: codec.encode(value, name)}).encode(), codec)


@pytest.mark.parametrize("name", ["resumed", "attempts", "executions"])
def test_there_is_room_to_count_on(codec, name):
    most = json.loads(envelope(**{name: 2**62}).encode(codec))

    assert getattr(Envelope.decode(json.dumps(most).encode(), codec), name) == 2**62
    with pytest.raises(DecodeError, match="counts more than a call can have come to"):
        Envelope.decode(json.dumps({**most, name: 2**62 + 1}).encode(), codec)


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_field_of_a_wrong_type_is_refused(codec, name, value):
    with pytest.raises(EncodeError, match=f"^{name} of an envelope must be"):
        envelope(**{name: value}).encode(codec)
    with pytest.raises(DecodeError, match=f"{name} of an envelope must be"):
        Envelope.decode(body(**{name: value}), codec)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"v": 3}, r"version 3 and this .* version 2; deploy"),
        ({"v": 0}, "version 0"),
        ({"v": "1"}, "version '1'"),
        ({"v": True}, "version True"),
        ({"v": 3, "args": [{"$newer": 1}]}, "version 3"),
        ({"kwargs": {"$dict": [[1, 2]]}}, "kwargs of an envelope"),
        ({"args": {"$set": [1]}}, "args of an envelope"),
        ({"args": [{"$gone": 1}]}, r"\$gone"),
        ({"enqueued_at": {"$datetime": "2026-01-01T00:00:00"}}, "aware"),
        ({"eta": {"$datetime": "2026-01-01T00:00:00"}}, "aware"),
    ],
)
def test_a_body_that_this_version_cannot_read_is_refused(codec, changes, message):
    with pytest.raises(DecodeError, match=message):
        Envelope.decode(body(**changes), codec)


@pytest.mark.parametrize(
    "broken", [b"", b"\xff", b"[]", b"1", b"{}", b'{"v":1}', b'{"v":1,"id":"a","task":"t"}']
)
def test_what_is_not_an_envelope_is_refused(codec, broken):
    with pytest.raises(DecodeError):
        Envelope.decode(broken, codec)


@given(
    st.binary()
    | st.dictionaries(
        st.sampled_from(["v", "id", "task", "args", "kwargs", "enqueued_at", "eta", "max_retries"]),
        st.sampled_from([1, "a", [], {}, None, {"$datetime": NOON.isoformat()}, {"$dict": []}]),
    ).map(lambda fields: json.dumps(fields).encode())
)
def test_a_random_body_is_an_envelope_or_a_decode_error(codec, broken):
    try:
        Envelope.decode(broken, codec)
    except DecodeError:
        return

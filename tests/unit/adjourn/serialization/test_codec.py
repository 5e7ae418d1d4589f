"""Values come back as they were, and nothing but values can be decoded."""

import dataclasses
import datetime as dt
import enum
import io
import json
import subprocess
import sys
import uuid
from collections import OrderedDict, namedtuple
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adjourn.errors import DeclarationError, DecodeError, EncodeError
from adjourn.serialization.codec import MAX_DEPTH, Codec, from_json, to_json
from adjourn.serialization.types import Extension


class Color(enum.Enum):
    RED = 1
    CRIMSON = 1  # noqa: PIE796 - an alias
    NONE = None


class Level(enum.IntEnum):
    LOW = 1


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Bits(enum.IntFlag):
    ONE = 1


class Masked(enum.Flag, boundary=enum.CONFORM):
    ONE = 1


class Loose(enum.Flag, boundary=enum.EJECT):
    ONE = 1


@dataclasses.dataclass
class Line:
    sku: object
    count: object = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    items: object = ()
    note: str = dataclasses.field(default="", compare=False)


@dataclasses.dataclass
class Counted:
    word: str
    size: int = dataclasses.field(init=False)
    seen: int = dataclasses.field(init=False)
    maker: dataclasses.InitVar[str] = "me"

    def __post_init__(self, maker):
        self.word = f"<{self.word}>"
        self.size = len(self.word)
        self.cache = {maker: self.word}


@dataclasses.dataclass
class Positive:
    number: int

    def __post_init__(self):
        if self.number < 0:
            raise ValueError(self.number)


@pytest.fixture(scope="module")
def codec():
    return make_codec()


def make_codec():
    codec = Codec()
    for cls in (Color, Level, Rights, Bits, Masked, Loose, Line, Order, Counted, Positive):
        codec.register(cls, cls.__name__.lower())
    return codec


CODEC = make_codec()
MARKERS = sorted(CODEC._by_marker)


def shape(value):
    """Return what tells a value from every other one, as text: types, order, signs and folds."""
    kind = type(value)
    if kind is int:
        told = hex(value)
    elif kind in {list, tuple}:
        told = [shape(item) for item in value]
    elif kind in {set, frozenset}:
        told = sorted(shape(item) for item in value)
    elif kind is dict:
        told = [(shape(key), shape(item)) for key, item in value.items()]
    elif dataclasses.is_dataclass(kind):
        told = [
            (field.name, shape(getattr(value, field.name))) for field in dataclasses.fields(kind)
        ]
    else:
        told = repr(value)
    return f"{kind.__name__} {told}"


ZONES = st.one_of(
    st.none(),
    st.just(dt.UTC),
    st.sampled_from(["Europe/Berlin", "America/St_Johns", "UTC"]).map(ZoneInfo),
    st.builds(
        dt.timezone,
        st.timedeltas(dt.timedelta(hours=-23, microseconds=1), dt.timedelta(hours=23)),
    ),
    st.builds(dt.timezone, st.just(dt.timedelta()), st.text(max_size=3)),
)
FOLDS = st.integers(0, 1)
TEXT = st.text(st.characters(exclude_categories=()), max_size=8) | st.sampled_from(
    ["\ud83d\ude00", "\ud83d" + "\ude00", "$", "\x00", "😀"]
)
# Years from the ends are left out, where zones overflow in Python itself.
MOMENTS = st.builds(
    lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold),
    st.datetimes(dt.datetime(2, 1, 1), dt.datetime(9998, 1, 1)),  # noqa: DTZ001 - zones come next
    ZONES,
    FOLDS,
)
TIMES = st.builds(
    lambda time, zone, fold: time.replace(tzinfo=zone, fold=fold), st.times(), ZONES, FOLDS
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers().map(lambda number: number << 1020),
    st.floats(),
    TEXT,
    st.binary(max_size=8),
    st.dates(),
    st.datetimes(),
    MOMENTS,
    TIMES,
    st.timedeltas(),
    ZONES,
    st.decimals().filter(lambda number: not number.is_snan()),
    st.uuids(),
    st.sampled_from([*Color, *Level, *Rights, Rights(3), Rights(0), Bits(9), Bits(-2)]),
)
HASHABLE = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.frozensets(inner, max_size=3)
        | st.builds(Order, items=inner, note=TEXT)
    ),
    max_leaves=5,
)
NAMES = st.sampled_from([*MARKERS, "$", "$nothing", "a$", "order", "größe"]) | TEXT
VALUES = st.recursive(
    HASHABLE | st.just(Decimal("sNaN12")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.sets(HASHABLE, max_size=3),
        st.dictionaries(NAMES, inner, max_size=3),
        st.dictionaries(HASHABLE, inner, max_size=3),
        st.builds(Line, inner, inner),
    ),
    max_leaves=12,
)


@given(VALUES)
def test_a_value_comes_back_with_its_types(value):
    assert shape(CODEC.loads(CODEC.dumps(value))) == shape(value)


@given(VALUES)
def test_what_came_back_encodes_to_the_same_bytes(value):
    body = CODEC.dumps(value)

    assert CODEC.dumps(CODEC.loads(body)) == body


@pytest.mark.parametrize(
    "value",
    [
        10**5000,
        -(10**5000),
        "\ud83d" + "\ude00",
        "\ud83d\ude00 \U0001f600",
        {"\ud800": 1, "a": "\udc00"},
        {1: "a", "1": "b", None: "c", (1, 2): "d"},
        {float("nan"), float("nan")},
        {"$tuple": [1]},
        {"$dict": []},
        {"a": 1, "$": 2},
        dt.datetime.min,  # noqa: DTZ901 - naive ones are carried as such
        dt.datetime.max.replace(tzinfo=dt.UTC),
        dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
        dt.timezone(dt.timedelta(0), "Zulu"),
        dt.timezone(dt.timedelta(seconds=-1, microseconds=1)),
        dt.timedelta.min,
        Decimal("-0E+7"),
        Decimal("-sNaN123"),
        {frozenset({1, frozenset()})},
        {(1, 2), ("a", (b"",))},
        {"$bytes": "", ".__key__": "x", "$": {}},
        [b"", dt.timedelta(0), set(), frozenset(), (), {}, 0, "", None, False],
    ],
    ids=range(22),
)
def test_a_hard_case_comes_back(codec, value):
    assert shape(codec.loads(codec.dumps(value))) == shape(value)


def test_utc_comes_back_as_the_one_object(codec):
    moment = codec.loads(codec.dumps(dt.datetime(2026, 1, 1, tzinfo=dt.UTC)))

    assert moment.tzinfo is dt.UTC


def test_json_values_stand_for_themselves(codec):
    body = codec.dumps({"größe": [1, 2.5, -0.0, None, True, "ü"], "b": {}})

    assert body.decode() == '{"größe":[1,2.5,-0.0,null,true,"ü"],"b":{}}'


def test_the_form_of_every_marker_is_kept(codec):
    values = [
        (1 << 1024, f'{{"$int":"{1 << 1024:#x}"}}'),
        (float("-inf"), '{"$float":"-inf"}'),
        ("\ud800", '{"$str":"7aCA"}'),
        (b"\xff", '{"$bytes":"/w=="}'),
        ((1, [2]), '{"$tuple":[1,[2]]}'),
        ({3, 1, 2}, '{"$set":[1,2,3]}'),
        (frozenset("ba"), '{"$frozenset":["a","b"]}'),
        ({1: 2}, '{"$dict":[[1,2]]}'),
        (dt.date(2026, 1, 2), '{"$date":"2026-01-02"}'),
        (dt.time(1, 2), '{"$time":"01:02:00"}'),
        (dt.datetime(2026, 1, 2, tzinfo=dt.UTC), '{"$datetime":"2026-01-02T00:00:00+00:00"}'),
        (
            dt.datetime(2026, 1, 2, tzinfo=ZoneInfo("Asia/Tokyo")),
            '{"$datetime":{"at":"2026-01-02T00:00:00","tzinfo":{"$zone":"Asia/Tokyo"},"fold":0}}',
        ),
        (dt.timedelta(1, 2, 3), '{"$timedelta":[1,2,3]}'),
        (dt.timezone(dt.timedelta(0), "Z"), '{"$timezone":[{"$timedelta":[0,0,0]},"Z"]}'),
        (Decimal("1.20"), '{"$decimal":"1.20"}'),
        (uuid.UUID(int=1), '{"$uuid":"00000000-0000-0000-0000-000000000001"}'),
        (Color.RED, '{"$:color":"RED"}'),
        (Rights(3), '{"$:rights":3}'),
        (Line("a"), '{"$:line":{"sku":"a","count":1}}'),
    ]

    assert [codec.dumps(value).decode() for value, _ in values] == [body for _, body in values]


# --- what is refused at encode


class Text(str):
    __slots__ = ()


class Zone(dt.tzinfo):
    pass


@dataclasses.dataclass
class Unregistered:
    pass


class Plain(enum.Enum):
    ONE = 1


Pair = namedtuple("Pair", "a b")  # noqa: PYI024 - it is what users pass
THING = object()
NAMELESS = b"TZif" + bytes(35) + b"\x01\0\0\0\4" + bytes(6) + b"UTC\0"  # a zone file of one zone


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (THING, r"^value: builtins\.object cannot be encoded; pass an id or"),
        ({"order": Order(items=[1, 2, 3, THING])}, r"^value\['order'\]\.items\[3\]: "),
        ([(0, {"a": {THING}})], r"^value\[0\]\[1\]\['a'\]\{\*\}: "),
        ({1: THING}, r"^value\[1\]: "),
        ({(1,): THING}, r"^value\[<tuple>\]: "),
        ({1 << 20000: THING}, r"^value\[<int>\]: "),
        ({THING: 1}, r"^value\[<object>\]: "),
        ({"x" * 5000: THING}, r"^value\['x{10,60}\]: "),
        (Text("a"), r"Text cannot be encoded; it would be decoded as a plain str"),
        (Pair(1, 2), "plain tuple"),
        (OrderedDict(a=1), "plain dict"),
        (uuid.SafeUUID.safe, "write @app.register above the class SafeUUID"),
        (Plain.ONE, "Plain cannot be encoded; write @app.register above the class Plain"),
        (Unregistered(), "write @app.register above the class Unregistered"),
        (Unregistered, r"builtins\.type cannot"),
        (1j, "complex"),
        (range(3), "range"),
        (bytearray(b"a"), "bytearray"),
        (dt.datetime(2026, 1, 1, tzinfo=Zone()), r"^value\.tzinfo: .* use datetime\.timezone"),
        (lambda: None, "function"),
        (
            ZoneInfo.from_file(io.BytesIO(NAMELESS)),
            "ZoneInfo cannot be encoded: its state is a NoneType",
        ),
    ],
    ids=range(21),
)
def test_what_cannot_come_back_is_refused_where_it_stands(codec, value, message):
    with pytest.raises(EncodeError, match=message):
        codec.encode(value)


def test_a_cycle_is_refused(codec):
    cycle = []
    cycle.append(cycle)
    ring = {}
    ring["ring"] = (ring,)

    for value in (cycle, ring):
        with pytest.raises(EncodeError, match="nested deeper than 200 levels, or within itself"):
            codec.encode(value)


def nest(levels, wrap):
    value = 0
    for _ in range(levels):
        value = wrap(value)
    return value


@pytest.mark.parametrize(
    ("wrap", "levels"),
    [
        (lambda value: [value], 1),
        (lambda value: {"a": value}, 1),
        (lambda value: (value,), 2),
        (lambda value: frozenset([value]), 2),
        (lambda value: Order(items=value), 2),
        (lambda value: {1: value}, 3),
        (lambda value: {"$a": value}, 3),
    ],
    ids=["list", "object", "tuple", "frozenset", "dataclass", "dict", "marker"],
)
def test_what_is_not_too_deep_to_encode_is_not_too_deep_to_decode(codec, wrap, levels):
    count = (MAX_DEPTH + 1) // levels
    value = nest(count, wrap)

    assert codec.loads(codec.dumps(value)) == value
    with pytest.raises(EncodeError, match="deeper"):
        codec.encode(nest(count + 1, wrap))


def test_a_body_that_is_too_deep_is_refused(codec):
    for levels in (MAX_DEPTH + 2, 100_000):
        with pytest.raises(DecodeError, match="deeper"):
            codec.loads(b"[" * levels + b"]" * levels)


def test_little_stack_left_is_no_recursion_error(codec):
    def fall(act):
        try:
            fall(act)
        except RecursionError:
            act()

    value = nest(100, lambda value: [value])
    tree = codec.encode(value)
    errors = []

    def encode():
        with pytest.raises(EncodeError) as caught:
            codec.encode(value)
        errors.append(caught)

    def decode():
        with pytest.raises(DecodeError) as caught:
            codec.decode(tree)
        errors.append(caught)

    for act in (encode, decode):
        try:
            fall(act)
        except RecursionError:  # in pytest.raises itself, where there is too little for it, too
            continue

    assert errors


# --- what is refused at decode


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"\xef\xbb\xbf1",
        "[1]".encode("utf-16"),
        b"[1",
        b"[NaN]",
        b"-Infinity",
        b"1" * 5000,
        b'{"a":1,"a":2}',
        b'{"$nothing":1}',
        b'{"$":1}',
        b'{"$:gone":{}}',
        b'{"$tuple":[1],"a":1}',
        b'{"a":1,"$tuple":[1]}',
        b'{"$tuple":[1],"$list":[1]}',
        b'{"$tuple":"ab"}',
        b'{"$tuple":{"a":1}}',
        b'{"$int":"x"}',
        b'{"$int":7}',
        b'{"$float":"x"}',
        b'{"$str":"!"}',
        b'{"$str":"/w=="}',
        b'{"$bytes":"a"}',
        b'{"$bytes":"YQ==\\n"}',
        b'{"$set":[[1]]}',
        b'{"$set":[1,1]}',
        b'{"$set":[1,true]}',
        b'{"$frozenset":[{}]}',
        b'{"$dict":["ab"]}',
        b'{"$dict":[[1]]}',
        b'{"$dict":[[[1],2]]}',
        b'{"$dict":[[1,2],[true,3]]}',
        b'{"$date":"2026-02-30"}',
        b'{"$time":"25:00"}',
        b'{"$time":7}',
        b'{"$datetime":"99999-01-01"}',
        b'{"$datetime":{"at":"2026-01-01"}}',
        b'{"$datetime":{"at":"2026-01-01","tzinfo":1,"fold":0}}',
        b'{"$datetime":{"at":"2026-01-01","tzinfo":null,"fold":2}}',
        b'{"$timedelta":[1e300]}',
        b'{"$timedelta":["1"]}',
        b'{"$timezone":[1]}',
        b'{"$timezone":[{"$timedelta":[1,0,0]}]}',
        b'{"$zone":"Europe/Nowhere"}',
        b'{"$zone":"../../etc/passwd"}',
        b'{"$zone":"Europe"}',
        b'{"$zone":""}',
        b'{"$zone":"a\\u0000"}',
        b'{"$decimal":"x"}',
        b'{"$set":[{"$decimal":"sNaN"}]}',
        b'{"$uuid":"x"}',
        b'{"$:color":"BLUE"}',
        b'{"$:color":"__class__"}',
        b'{"$:color":1}',
        b'{"$:rights":4}',
        b'{"$:rights":-1}',
        b'{"$:bits":-2}',
        b'{"$:masked":3}',
        b'{"$:loose":3}',
        b'{"$:line":{}}',
        b'{"$:line":[]}',
        b'{"$:positive":{"number":-1}}',
        b'{"$:positive":{"number":"1"}}',
    ],
)
def test_a_broken_body_is_a_decode_error(codec, body):
    with pytest.raises(DecodeError):
        codec.loads(body)


def test_a_decode_error_does_not_quote_the_content(codec):
    with pytest.raises(DecodeError) as caught:
        codec.loads(b'{"$date":"secret"}')

    assert "secret" not in str(caught.value)
    assert "$date" in str(caught.value)


def test_an_unknown_name_is_told(codec):
    with pytest.raises(DecodeError, match=r"marker '\$:gone'"):
        codec.loads(b'{"$:gone":{}}')


def test_what_is_not_json_is_not_decoded(codec):
    with pytest.raises(DecodeError, match="tuple is not JSON"):
        codec.decode((1,))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["2026-01-01", "2026-01-01T00:00", "nan", "0x1", "YQ==", "RED", "UTC"])
    | TEXT,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["at", "tzinfo", "fold", "sku", *MARKERS]), inner),
        st.builds(lambda marker, content: {marker: content}, st.sampled_from(MARKERS), inner),
    ),
    max_leaves=10,
)


@given(JSON)
@example({"$set": [{"$datetime": {"at": "0001-01-01", "tzinfo": {"$zone": "UTC"}, "fold": 1}}]})
def test_forged_json_is_a_value_or_a_decode_error(tree):
    try:
        value = CODEC.loads(json.dumps(tree).encode())
    except DecodeError:
        return
    CODEC.dumps(value)


FORMS = {
    "date": r"2026-?(01|W01)-?0?[1-9]?",
    "time": r"T?(01|24)(:?00){0,2}([:.,]0{0,7}1?)?(Z|[+-]0[01](:?[06]0){0,2})?",
    "datetime": r"2026-?(12-?31|W01-?1)[T ]?((01|24)(:?00){0,2}(\.0{0,7}1?)?(Z|[+-]0[01]:?00)?)?",
    "bytes": r"(YWJj)?(YW[IJ]=?|Y[QR]={0,3})?[=\n]?",
    "decimal": r"[+-]?[01_]{1,2}\.?([eE][+-]?1)?|-?s?NaN0?1?|inf(inity)?",
    "uuid": r"\{?(0{8}-?)(0{4}-?){3}(0{12}|A{12})\}?|[0_]{32}",
}
FORGED = st.one_of(
    [
        st.builds(lambda tag, text: {f"${tag}": text}, st.just(t), st.from_regex(r, fullmatch=True))
        for t, r in FORMS.items()
    ]
    + [
        st.builds(
            lambda tag, bits: {f"$:{tag}": bits},
            st.sampled_from(["rights", "bits", "masked", "loose"]),
            st.integers(-9, 9),
        ),
        st.lists(st.sampled_from([-1, 0, 1, 1.5, 86400, 10**6]), max_size=4).map(
            lambda parts: {"$timedelta": parts}
        ),
    ]
)


@given(FORGED)
@example({"$time": "24:00:00"})  # midnight for Python 3.14
@example({"$time": "01:02:03:04"})  # had a fraction until 3.13
@example({"$datetime": "2026-12-31T00:00:00.0000001"})
@example({"$bytes": "YWJj="})
def test_what_is_decoded_is_encoded_as_it_was_read(tree):
    try:
        value = CODEC.decode(tree)
    except DecodeError:
        return
    assert CODEC.encode(value) == tree


@given(st.binary() | st.tuples(VALUES, st.integers(0), st.binary(max_size=3)))
def test_random_bytes_are_a_value_or_a_decode_error(body):
    if isinstance(body, tuple):
        value, place, patch = body
        whole = CODEC.dumps(value)
        place %= len(whole)
        body = whole[:place] + patch + whole[place + len(patch) :]
    try:
        CODEC.loads(body)
    except DecodeError:
        return


# --- registered classes


def test_a_dataclass_comes_back_in_the_state_it_had(codec):
    counted = Counted("a")
    counted.size = 99

    back = codec.loads(codec.dumps(counted))

    assert (back.word, back.size, hasattr(back, "seen")) == ("<a>", 99, False)
    assert back.cache


def test_fields_may_come_and_go(codec):
    assert codec.loads(b'{"$:line":{"sku":"a","colour":"red"}}') == Line("a", 1)


def test_a_former_name_stays_readable():
    codec = Codec()
    codec.register(Line, "line", "row", "position")

    bodies = [b'{"$:line":{"sku":1}}', b'{"$:row":{"sku":1}}', b'{"$:position":{"sku":1}}']

    assert [codec.loads(body) for body in bodies] == [Line(1)] * 3
    assert codec.dumps(Line(1)) == b'{"$:line":{"sku":1,"count":1}}'


def test_register_returns_the_class():
    assert Codec().register(Line, "line") is Line


class Heap(list):
    pass


@dataclasses.dataclass
class Stack(Heap):
    top: int = 0


@dataclasses.dataclass
class Needy:
    word: str
    maker: dataclasses.InitVar[str]

    def __post_init__(self, maker):
        pass


@pytest.mark.parametrize(
    ("cls", "name", "message"),
    [
        (Order, "line", "is taken"),
        (Line, "order", "registered already"),
        (Needy, "needy", "not made from its fields.*maker"),
        (Stack, "stack", "more than its fields"),
        (Heap, "heap", "no dataclass, enum, class of attrs or model of pydantic"),
        (Line("a"), "instance", "no dataclass"),
    ],
)
def test_a_class_that_cannot_be_registered_is_refused(cls, name, message):
    codec = Codec()
    codec.register(Line, "line")

    with pytest.raises(DeclarationError, match=message):
        codec.register(cls, name)


# --- extensions


class Money:
    def __init__(self, cents):
        self.cents = cents


MONEY = Extension(
    "money",
    f"{Money.__module__}.Money",
    list,
    lambda money: [money.cents],
    lambda state: Money(*state),
)


def test_an_extension_carries_a_type():
    codec = Codec([MONEY])

    back = codec.loads(codec.dumps([Money(5), Money((6,))]))

    assert [type(each) for each in back] == [Money, Money]
    assert [each.cents for each in back] == [5, (6,)]


def test_what_an_extension_cannot_encode_is_refused():
    with pytest.raises(EncodeError, match=r"^value\[0\]\[0\]: builtins\.object"):
        Codec([MONEY]).encode([Money(THING)])
    with pytest.raises(EncodeError, match=r"^value: .*Money cannot be encoded: .*cents") as caught:
        Codec([MONEY]).encode(Money.__new__(Money))
    assert isinstance(caught.value.__cause__, AttributeError)


@pytest.mark.parametrize("change", [{"tag": "tuple"}, {"type_name": "builtins.tuple"}])
def test_two_extensions_for_one_thing_are_refused(change):
    with pytest.raises(DeclarationError, match="is taken"):
        Codec([MONEY._replace(**change)])


def test_nothing_of_google_is_imported_unless_it_is_met():
    script = """
import sys
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn.gcp.datastore_values import DATASTORE_VALUES
codec = Codec(DATASTORE_VALUES)
codec.loads(codec.dumps([1, (2,), b"3"]))
assert not {"google.cloud.datastore", "google.api_core"} & set(sys.modules)
"""
    shared = Path(sys.modules["adjourn"].__file__).parents[1]

    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": str(shared)})


def test_strict_json_is_what_travels():
    tree = {"b": [1, "ü"], "a": None}

    assert from_json(to_json(tree)) == tree
    assert to_json(tree).decode() == '{"b":[1,"ü"],"a":null}'

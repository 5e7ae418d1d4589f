"""Values: ViUR's own encoder, decoder and classes are the judge."""

import collections
import datetime as dt
import enum
import json

import pytest
import pytz
from google.cloud.datastore import Key as GoogleKey
from viur.core import db
from viur.core.utils import json as viur_json

from adjourn.errors import EncodeError
from adjourn.serialization.codec import Codec
from adjourn.viur import JsonKeyEncoder, app, jsonDecodeObjectHook
from tests.viur.real import world, worlds

KEY = db.Key("order", 7, parent=db.Key("shop", "north"))
BERLIN = pytz.timezone("Europe/Berlin")
SUMMER = BERLIN.localize(dt.datetime(2024, 7, 1, 12, 30, 15, 250))  # noqa: DTZ001 - as pytz wants it
NOON = dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC)

Point = collections.namedtuple("Point", "x y")  # noqa: PYI024 - as ViUR code has them


class Level(enum.IntEnum):
    HIGH = 5


class Colour(enum.StrEnum):
    RED = "red"


class Text(str):
    __slots__ = ()


class Plain(enum.Enum):
    ONE = 1


def entity(key=KEY, **properties):
    made = db.Entity(key)
    made.update(properties)
    made.exclude_from_indexes = {"text"} & properties.keys()
    return made


def carried(value):
    return app._declared.codec.loads(app._declared.codec.dumps(value))


def through_viur(value):
    return viur_json.loads(viur_json.dumps(value))


# What ViUR's encoder takes, and what comes back here; there, all sequences come back as lists.
TAKEN = {
    "key": (KEY, KEY),
    "key-with-a-name": (db.Key("shop", "north"), db.Key("shop", "north")),
    "entity": (entity(n=1, of=KEY), entity(n=1, of=KEY)),
    "embedded-entity": (entity(None, n=1), entity(None, n=1)),
    "defaultdict": (collections.defaultdict(list, a=[1]), {"a": [1]}),
    "OrderedDict": (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    "Counter": (collections.Counter("aab"), {"a": 2, "b": 1}),
    "namedtuple": (Point(1, 2), (1, 2)),
    "dict-keys": ({"a": 1}.keys(), ["a"]),
    "dict-values": ({"a": KEY}.values(), [KEY]),
    "dict-items": ({"a": 1}.items(), [("a", 1)]),
    "range": (range(3), [0, 1, 2]),
    "deque": (collections.deque([1, 2]), [1, 2]),
    "IntEnum": (Level.HIGH, 5),
    "StrEnum": (Colour.RED, "red"),
    "subclass-of-str": (Text("text"), "text"),
    "datetime-of-pytz": (SUMMER, SUMMER.astimezone(dt.UTC)),
    "datetime": (NOON, NOON),
    "timedelta": (
        dt.timedelta(minutes=13, microseconds=37),
        dt.timedelta(minutes=13, microseconds=37),
    ),
    "bytes": (b"\x00\xff", b"\x00\xff"),
    "set": ({1, 2}, {1, 2}),
    "frozenset": (frozenset({1}), frozenset({1})),
    "nested": ({"a": [KEY, {"b": entity(n=KEY)}]}, {"a": [KEY, {"b": entity(n=KEY)}]}),
}


def as_lists(value):
    if isinstance(value, list | tuple | frozenset):
        return [as_lists(each) for each in value]
    return value


@pytest.mark.parametrize("name", TAKEN)
def test_what_viurs_encoder_takes_is_taken_and_arrives_as_there(name):
    value, expected = TAKEN[name]

    assert as_lists(carried(value)) == through_viur(value) == as_lists(expected)
    assert carried(value) == expected
    assert type(carried(value)) is type(expected)


def test_a_generator_is_taken_and_read_once():
    assert carried(n * n for n in range(4)) == [0, 1, 4, 9]


def test_keys_are_viurs_own_and_their_text_is_url_safe():
    (key,) = carried([KEY])

    assert type(key) is db.Key
    assert str(key) == str(KEY)
    assert (key.parent.kind, key.parent.name) == ("shop", "north")
    assert db.Key.from_legacy_urlsafe(str(key)) == KEY


def test_entities_are_viurs_own_with_what_is_not_indexed():
    made = carried(entity(n=1, text="long"))

    assert (type(made), made.key, made.exclude_from_indexes) == (db.Entity, KEY, {"text"})


def test_what_viur_refuses_is_refused_with_a_hint():
    for value in (Plain.ONE, object(), complex(1)):
        with pytest.raises(TypeError):
            viur_json.dumps(value)
        with pytest.raises(EncodeError, match="cannot be encoded"):
            carried(value)


def test_adjourn_proper_stays_exact():
    for value in (KEY, Point(1, 2), Level.HIGH, collections.OrderedDict(), SUMMER):
        with pytest.raises(EncodeError):
            Codec().dumps(value)


def test_a_key_of_googles_own_stays_one():
    key = GoogleKey("a", 1, project="p")

    assert type(carried(key)) is GoogleKey


@pytest.mark.parametrize("name", sorted(TAKEN.keys() - {"frozenset"}))  # which stays a set here
def test_the_encoder_writes_what_viurs_decoder_reads_and_the_hook_what_viur_writes(name):
    value, _ = TAKEN[name]

    assert viur_json.loads(json.dumps(value, cls=JsonKeyEncoder)) == through_viur(value)
    assert json.loads(viur_json.dumps(value), object_hook=jsonDecodeObjectHook) == through_viur(
        value
    )


def test_an_argument_arrives_in_the_function_as_viurs_own(stack, adjourn_world):
    worlds.clear()
    probe = adjourn_world.module("probe")
    adjourn_world.run(lambda: probe.remember("key", KEY))
    adjourn_world.run(lambda: probe.remember("entity", entity(n=1)))

    found = worlds.effects("values")
    package = "viur.datastore.types" if world.is_older() else "viur.core.db.types"
    assert found["remembered/key"] == {"text": repr(str(KEY)), "type": f"'{package}.Key'"}
    assert found["remembered/entity"]["type"] == f"'{package}.Entity'"

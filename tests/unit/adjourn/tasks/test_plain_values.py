"""Members of enums, numbers of NumPy and other subclasses are taken as what they stand for."""

import datetime as dt
import enum
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import adjourn
from adjourn import App, DeclarationError, QueryIter
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn.tasks.options import Options
from adjourn.tasks.plain_values import plain_number
from adjourn.testing import MemoryQuery, sandbox


class Queue(enum.StrEnum):
    MAIL = "mail"


class Old(str, enum.Enum):  # noqa: UP042 - it is formatted as Old.MAIL
    MAIL = "mail"


class Name(str):  # noqa: SLOT000 - as users write it
    __str__ = __repr__ = lambda _: "another text"


class Size(enum.IntEnum):
    THREE = 3


class Wait(dt.timedelta):
    __add__ = __radd__ = __str__ = lambda *_: "another time"


class Moment(dt.datetime):
    pass


TEXTS = [Queue.MAIL, Old.MAIL, Name("mail")]
THREES = [Size.THREE, np.int64(3), np.uint8(3)]
DURATIONS = [
    Wait(seconds=20),
    np.int64(20),
    np.float64(20),
    np.float32(20),
    Fraction(20),
    20.0,
    enum.IntEnum("Seconds", {"TWENTY": 20}).TWENTY,
]


def only(box):
    (queued,) = box.queue.tasks.values()
    return queued


@pytest.mark.parametrize("text", TEXTS, ids=repr)
def test_a_text_reaches_the_queue_as_plain_text(app, text):
    @app.deferred(name=text, aliases=[text + "s"], queue=text)
    def send():
        pass

    with sandbox(app) as box:
        handle = send.options(call_name=text).defer()

        task = only(box).task
        names = (send.name, task.queue, task.name, task.label, handle.queue)
        assert names == ("mail",) * 5
        assert {type(each) for each in names} == {str}
        assert handle.name.endswith("/queues/mail/tasks/mail")
        assert Envelope.decode(task.body, Codec()).task == "mail"
        box.drain()


@pytest.mark.parametrize("text", TEXTS, ids=repr)
def test_a_text_names_whatever_is_declared(app, text):
    app.periodic(interval=dt.timedelta(hours=1), cron_name=text, name=text)(lambda: None)

    @app.query_iter(name=text)
    class Walk(QueryIter):
        queue_name = text

        def handle_entry(self, entry, custom_data):
            pass

    thing = object()
    app.add_object(text, thing)

    assert app.cron_names() == {"mail", "adjourn"}
    assert {type(name) for name in app.cron_names()} == {str}
    assert app.queues("default") == {"default", "mail"}
    assert (type(Walk.queue_name), type(Walk.registered_name)) == (str, str)
    assert type(app._declared.objects.path(thing)) is str
    with sandbox(app) as box:
        Walk.start(MemoryQuery("Order"), name=text, queue=text, shards=Size.THREE)
        assert only(box).task.queue == "mail"
        assert "Old" not in only(box).task.name


@pytest.mark.parametrize("number", THREES, ids=repr)
def test_a_number_is_a_plain_one(app, number):
    @app.query_iter(name="walk")
    class Walk(QueryIter):
        batch_size = max_entry_retries = max_failures = number

        def handle_entry(self, entry, custom_data):
            pass

    taken = [
        Options().changed(max_retries=number).max_retries,
        Walk.batch_size,
        Walk.max_entry_retries,
        Walk.max_failures,
    ]
    assert taken == [3] * 4
    assert {type(each) for each in taken} == {int}


@pytest.mark.parametrize(
    "number", [True, np.True_, 3.0, np.float64(3), "3", Decimal(3), None], ids=repr
)
def test_what_is_no_whole_number_stays_what_it_is(number):
    assert plain_number(number) is number


@pytest.mark.parametrize(
    "number", [True, np.True_, 3.0, np.float64(3), "3", np.array([3.5])], ids=repr
)
def test_what_is_no_whole_number_is_refused(number):
    with pytest.raises(DeclarationError, match="must be a whole number from 0"):
        Options().changed(max_retries=number)


@pytest.mark.parametrize("wait", DURATIONS, ids=repr)
def test_a_duration_is_a_plain_one(wait):
    options = Options().changed(delay=wait, timeout=wait)

    assert (options.delay, type(options.delay)) == (dt.timedelta(seconds=20), dt.timedelta)
    assert (options.timeout, type(options.timeout)) == (dt.timedelta(seconds=20), dt.timedelta)


@pytest.mark.parametrize("wait", [True, np.True_, "20", np.array([20]), Decimal("nan")], ids=repr)
def test_what_is_no_duration_is_refused(wait):
    with pytest.raises(DeclarationError, match="must be a timedelta or a number of seconds"):
        Options().changed(delay=wait)


def test_an_instant_is_a_plain_one():
    eta = Options().changed(eta=Moment(2026, 11, 23, 12, tzinfo=dt.UTC)).eta

    assert (eta, type(eta)) == (dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC), dt.datetime)


@pytest.mark.parametrize("unhashable", [[], {}])
def test_a_choice_may_be_any_value_and_is_refused_in_words(unhashable):
    for mistake in (
        lambda: Options().changed(unique_by=unhashable),
        lambda: Options().changed(unique_by="task", unique_until=unhashable),
        lambda: App().startup_task(once_per=unhashable),
        lambda: App().periodic(interval=dt.timedelta(hours=1), overlap=unhashable),
    ):
        with pytest.raises(adjourn.DeclarationError, match="must be"):
            mistake()

"""Arguments are written as text and read again as what they were, and nothing in a text is run."""

import datetime as dt
import uuid
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adjourn.serialization.codec import Codec
from adjourn_local.clients.call_arguments import read, written
from adjourn_local.errors import UsageError

CODEC = Codec()
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes(timezones=st.just(dt.UTC))
    | st.uuids()
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(SCALARS, max_size=3)
        | st.dictionaries(NAMES | st.sampled_from(["$decimal", "a$b"]), inner, max_size=3)
        | st.dictionaries(st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(VALUES, max_size=3), st.dictionaries(NAMES, VALUES, max_size=3))
def test_what_is_written_is_read_as_what_it_was(args, kwargs):
    assert read(written(args, kwargs, CODEC), CODEC) == (tuple(args), kwargs)


def test_the_text_is_what_one_would_write():
    args = (1, "it's", (2,), {"a": [None]}, {3, 1}, Decimal("1.50"))
    text = written(args, {"when": dt.date(2026, 1, 2), "class": b"x"}, CODEC)

    assert text.split(",\n") == [
        "1",
        '"it\'s"',
        "(2,)",
        "{'a': [None]}",
        "{1, 3}",
        "{'$decimal': '1.50'}",
        "when={'$date': '2026-01-02'}",
        "**{'class': b'x'}",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "print(1)",
        "[x for x in (1,)]",
        "uuid",
        "f'{1}'",
        "lambda: 1",
        "*[1]",
        "1); f(2",
        "1) + (2",
        "1 if 1 else 2",
        "a=1, a=2",
        "a=1, **{'a': 2}",
        "**{1}",
        "**3",
        "{'$uuid': 'x'}",
        "{'$uuid': '0', 'b': 1}",
        "{'$nothing': 1}",
        "{[]: 1}",
        "{{1}}",
        "2j",
        "...",
        "(" * 300,
        "-" * 5_000 + "1",
        "\0",
        "'\ud800'",
        "9" * 5_000,
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(UsageError):
        read(text, CODEC)


def test_a_marker_holds_what_the_codec_decodes():
    number = uuid.UUID(int=7)

    assert read(f"{{'$uuid': '{number}'}}", CODEC) == ((number,), {})

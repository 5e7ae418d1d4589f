"""Write and read large JSON at once, where no part of it needs a closer look.

`Codec` looks at each value for itself. Here the standard library's C code does nearly all of the
work, and what the codec would look for is found out for many values together.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import chain
from types import NoneType
from typing import Any

from adjourn.serialization.budget import NATIVE_BITS, no_number

_PLAIN = frozenset({NoneType, bool, int, float, str, list, dict})
_LEVELS, _MOST_ITEMS = 30, 4_000_000
_TOO_MANY_DIGITS = b"0" * len(str(1 << NATIVE_BITS))
_TO_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)

_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes({*range(256)} - {*b'[]{}"'})
_WHITE_SPACE = b" \t\n\r"


class DoubtfulError(Exception):
    """JSON has to be looked at closely, and may be wrong."""


def is_plain(value: object) -> bool:
    """Whether a value consists of JSON's own types, with no "$" in a name and in few levels.

    What `plain_json` notices is not checked here: numbers and lone surrogates.
    """
    level, names = [value], list[Any]()
    for _ in range(_LEVELS):
        kinds = {*map(type, level)}
        if not kinds <= _PLAIN:
            return False
        lists = [each for each in level if type(each) is list] if list in kinds else []
        dicts = [each for each in level if type(each) is dict] if dict in kinds else []
        names += chain.from_iterable(dicts)
        # A list that holds itself twice doubles with each level.
        count = sum(map(len, lists)) + sum(map(len, dicts))
        if not count or count > _MOST_ITEMS:
            return not count and {str}.issuperset(map(type, names)) and "$" not in "".join(names)
        level = [*chain.from_iterable(lists), *chain.from_iterable(map(dict.values, dicts))]
    return False


def plain_json(value: object, to_json: Callable[[Any], bytes]) -> bytes | None:
    """Return the JSON of a value that is plain; None if it may hold what JSON cannot.

    Args:
        value: The value.
        to_json: Returns its JSON.
    """
    try:
        body = to_json(value)
    except ValueError:  # nan, inf, a lone surrogate, or a number that Python does not print
        return None
    return None if _TOO_MANY_DIGITS in body.translate(_TO_ZEROS) else body


def read(
    body: bytes, decode_marker: Callable[[str, Any], object], parse_int: Callable[[str], int]
) -> Any:
    """Return the value that a body has.

    Args:
        body: JSON in UTF-8.
        decode_marker: Returns the value of a marker with its decoded content.
        parse_int: Returns the number that digits stand for.

    Raises:
        DoubtfulError: The body is wrong, or only a closer look can tell that it is not.
    """
    objects: list[dict[str, Any]] = []
    markers = 0

    def read_object(members: dict[str, Any]) -> object:
        nonlocal markers
        if len(members) == 1:
            ((name, content),) = members.items()
            if name.startswith("$"):
                markers += 1
                return decode_marker(name, content)
        objects.append(members)
        return members

    decoder = json.JSONDecoder(
        object_hook=read_object, parse_int=parse_int, parse_constant=no_number
    )
    try:
        value = decoder.decode(str(body, "utf-8"))
    except Exception as error:  # the closer look tells what it is
        raise DoubtfulError from error
    names = [*chain.from_iterable(objects)]
    if "$" in "".join(names) or _may_repeat(body, len(names) + markers) or not _is_shallow(body):
        raise DoubtfulError
    return value


def _may_repeat(body: bytes, names: int) -> bool:
    """Whether JSON may have more names than the objects made of it, so that one came twice."""
    # A colon follows each name in its quotation marks. Texts may hold both, which is only doubtful.
    return names != body.count(b":") and (names != body.translate(None, _WHITE_SPACE).count(b'":'))


def _is_shallow(body: bytes) -> bool:
    """Whether JSON is certainly nested in few levels; there may be no brackets in texts."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Of texts only the quotation marks are left, two by two; others are around a bracket.
    brackets = body.translate(_TO_SQUARE, _NO_BRACKETS).replace(b'""', b"")
    for _ in range(_LEVELS):
        if not brackets or b'"' in brackets:
            break
        brackets = brackets.replace(b"[]", b"")
    return not brackets

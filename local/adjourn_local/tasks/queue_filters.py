"""Parse the filters of ListQueues: comparisons of a queue's fields in Cloud Logging's syntax.

Sources: `google.cloud.tasks_v2.types.ListQueuesRequest.filter` for the operators, and
https://cloud.google.com/logging/docs/view/logging-query-language for the rest: logical operators
are in capitals, OR binds more tightly than AND, AND may be omitted, texts are compared without
case, and an unset field has its default value.
"""

import re
from collections.abc import Callable, MutableSequence, Sequence
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from google.cloud.tasks_v2.types import queue as queue_types
from google.protobuf import descriptor, duration_pb2, timestamp_pb2  # type: ignore[import-untyped]

from adjourn_local.http.resource_names import invalid

Matches = Callable[[Any], bool]
Fields = Sequence[Any]
Compare = Callable[[Any, Any], bool]
Leaf = Callable[[], Matches]

_Queue: Any = queue_types.Queue.pb()

# Before a name or a parenthesis a minus is NOT; elsewhere it is part of a number or a word.
_TOKEN = re.compile(
    r"""\s*(?: (?P<text>"(?:[^"\\]|\\.)*") | (?P<minus>-(?=[A-Za-z(]))
      | (?P<sign><=|>=|!=|[<>=:()]) | (?P<word>[^\s"<>=!:()~]+) )""",
    re.VERBOSE,
)
_ESCAPED = re.compile(r"\\(.)")
_ANY = "*"
_OPERATORS: dict[str, Compare] = {
    "<=": le,
    "<": lt,
    ">=": ge,
    ">": gt,
    "!=": ne,
    "=": eq,
}
_NO_VALUES = frozenset({*_OPERATORS, ":", "(", ")", "AND", "OR", "NOT"})
_MOST_NESTED = 100
_TIMES = {each.DESCRIPTOR: each for each in (duration_pb2.Duration, timestamp_pb2.Timestamp)}
_FLAGS = {"true": True, "false": False}


def parse(text: str) -> Matches:
    """Return a function that returns whether a queue matches; an empty filter matches every queue.

    Raises:
        RpcError: INVALID_ARGUMENT, if the filter is malformed or names an unknown field.
    """
    if not text.strip():
        return lambda _: True
    return _Parser(text).matches()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split()

    def matches(self) -> Matches:
        if sum(token in {"(", "NOT"} for token in self._tokens) > _MOST_NESTED:
            raise self._malformed()
        found = self._all_of(self._comparison)
        if self._tokens:
            raise self._malformed()
        return found

    def _split(self) -> list[str]:
        tokens, at, end = [], 0, len(self._text.rstrip())
        while at < end:
            found = _TOKEN.match(self._text, at)
            if found is None:
                raise self._malformed()
            tokens.append("NOT" if found["minus"] else found[0].strip())
            at = found.end()
        return tokens

    def _all_of(self, leaf: Leaf) -> Matches:
        parts = [self._one_of(leaf)]
        while self._tokens and self._tokens[0] != ")":
            self._take("AND")
            parts.append(self._one_of(leaf))
        return lambda queue: all(part(queue) for part in parts)

    def _one_of(self, leaf: Leaf) -> Matches:
        parts = [self._factor(leaf)]
        while self._take("OR"):
            parts.append(self._factor(leaf))
        return lambda queue: any(part(queue) for part in parts)

    def _factor(self, leaf: Leaf) -> Matches:
        if self._take("NOT"):
            inner = self._factor(leaf)
            return lambda queue: not inner(queue)
        return self._group(leaf)

    def _group(self, leaf: Leaf) -> Matches:
        if not self._take("("):
            return leaf()
        inner = self._all_of(leaf)
        if not self._take(")"):
            raise self._malformed()
        return inner

    def _comparison(self) -> Matches:
        """Read `field operator value`, where several values may be in parentheses."""
        fields = _fields(self._next())
        sign = self._next()
        if sign != ":" and sign not in _OPERATORS:
            raise self._malformed()
        return self._group(lambda: _test(fields, sign, self._value()))

    def _value(self) -> str:
        token = self._next()
        if token in _NO_VALUES:
            raise self._malformed()
        return _ESCAPED.sub(r"\1", token[1:-1]) if token.startswith('"') else token

    def _next(self) -> str:
        if not self._tokens:
            raise self._malformed()
        return self._tokens.pop(0)

    def _take(self, token: str) -> bool:
        is_next = self._tokens[:1] == [token]
        if is_next:
            self._tokens.pop(0)
        return is_next

    def _malformed(self) -> Exception:
        return invalid(
            f"The filter {self._text!r} cannot be read. It compares fields of a queue, such as "
            "'state: PAUSED AND rate_limits.max_dispatches_per_second >= 5'; the operators are "
            "<=, <, >=, >, !=, = and :, and texts other than words and numbers must be quoted."
        )


def _fields(path: str) -> Fields:
    message, fields = _Queue.DESCRIPTOR, []
    for name in path.split("."):
        known = message.fields if message is not None else ()
        field = next((each for each in known if name in (each.name, each.json_name)), None)
        if field is None:
            raise invalid(f"The filter names {path!r}, which is not a field of a queue.")
        fields.append(field)
        message = field.message_type
    return fields


def _test(fields: Fields, sign: str, text: str) -> Matches:
    *parents, last = fields
    if text == _ANY and sign == ":":
        return lambda queue: any(_is_set(each, last) for each in _reach([queue], parents))
    key = _key(last)
    try:
        wanted = key(text)
    except (ValueError, KeyError):
        raise invalid(
            f"The filter compares {last.name} with {text!r}, which is not a value of it."
        ) from None
    compare: Compare = _OPERATORS.get(sign, eq)
    if sign == ":" and isinstance(wanted, str):
        compare = _contains

    def test(queue: Any) -> bool:
        return any(compare(key(each), wanted) for each in _reach([queue], fields))

    return test


def _contains(text: str, part: str) -> bool:
    return part in text


def _is_set(message: Any, field: Any) -> bool:
    return (
        message.HasField(field.name) if field.has_presence else bool(getattr(message, field.name))
    )


def _reach(messages: Sequence[Any], fields: Fields) -> Sequence[Any]:
    """Return the values of a field path; several if a field in the path is repeated."""
    for field in fields:
        values = (getattr(each, field.name) for each in messages)
        messages = [
            item
            for value in values
            for item in (value if isinstance(value, MutableSequence) else [value])
        ]
    return messages


def _key(field: Any) -> Callable[[Any], Any]:
    """Return a function that makes a field's values and the texts of a filter comparable."""
    if field.message_type in _TIMES:
        return lambda value: _nanoseconds(_TIMES[field.message_type], value)
    if field.message_type is not None:
        raise invalid(
            f"The filter compares {field.name}, which is a message; name one of its fields."
        )
    if field.enum_type is not None:
        numbers = field.enum_type.values_by_name
        return lambda value: numbers[value.upper()].number if isinstance(value, str) else value
    if field.cpp_type == descriptor.FieldDescriptor.CPPTYPE_STRING:
        return str.casefold
    if field.cpp_type == descriptor.FieldDescriptor.CPPTYPE_BOOL:
        return lambda value: _FLAGS[value.lower()] if isinstance(value, str) else value
    return float


def _nanoseconds(kind: Any, value: Any) -> int:
    if isinstance(value, str):
        text, value = value, kind()
        value.FromJsonString(text)
    nanoseconds: int = value.ToNanoseconds()
    return nanoseconds

"""The two languages in which Google filters: of Cloud Monitoring and of Cloud Logging.

They look alike and differ in what a value may be: a list in parentheses is Logging's alone,
`one_of` and the other functions are Monitoring's alone.
Sources: https://cloud.google.com/monitoring/api/v3/filters and
https://cloud.google.com/logging/docs/view/logging-query-language.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""\s*(?P<string>"(?:[^"\\]|\\.)*") | \s*(?P<symbol>!=|>=|<=|=~|!~|[=<>:(),])
    | \s*(?P<word>[\w.@/-]+(?:"[^"]*")?[\w.]*)""",
    re.VERBOSE,
)
_COMPARISONS = {
    "monitoring": {"=", "!=", ">", "<", ">=", "<=", ":"},
    "logging": {"=", "!=", ">", "<", ">=", "<=", ":", "=~", "!~"},
}
_FUNCTIONS = {
    "starts_with",
    "ends_with",
    "has_substring",
    "one_of",
    "monitoring.regex.full_match",
}
_SELECTORS = {
    "monitoring": re.compile(
        r"project|group\.id|(resource|metric)\.(type|labels?\.\w+)|metadata\.(system|user)_labels\.\w+"
    ),
    "logging": re.compile(
        r"severity|timestamp|logName|trace|resource\.(type|labels\.\w+)|labels\..+"
        r"|(jsonPayload|protoPayload|httpRequest)\..+|textPayload"
    ),
}


class FilterError(ValueError):
    """A filter that the service would refuse."""


@dataclass
class Filter:
    """A filter that was read.

    Attributes:
        compared: What is compared, in order; `select_slo_burn_rate` for such a selection.
    """

    compared: list[str] = field(default_factory=list)


def monitoring_filter(text: str) -> Filter:
    """Read a filter of a time series.

    Raises:
        FilterError: It is not one.
    """
    found = _Parser("monitoring", text).read()
    if found.compared == ["select_slo_burn_rate"]:
        return found
    for needed in ("metric.type", "resource.type"):
        if found.compared.count(needed) != 1:
            raise FilterError(f"{text!r} must name one {needed}")
    return found


def logging_filter(text: str) -> Filter:
    """Read a filter of log entries.

    Raises:
        FilterError: It is not one.
    """
    return _Parser("logging", text).read()


class _Parser:
    def __init__(self, dialect: str, text: str) -> None:
        self._dialect = dialect
        self._text = text
        self._tokens = _tokens(text)
        self._found = Filter()

    def read(self) -> Filter:
        self._alternatives()
        if self._tokens:
            raise FilterError(f"{self._text!r}: {self._tokens[0]!r} is not expected")
        return self._found

    def _alternatives(self) -> None:
        self._conjunction()
        while self._take("OR"):
            self._conjunction()

    def _conjunction(self) -> None:
        self._factor()
        while self._take("AND"):
            self._factor()

    def _factor(self) -> None:
        self._take("NOT")
        if self._take("("):
            self._alternatives()
            self._need(")")
        else:
            self._comparison()

    def _comparison(self) -> None:
        name = self._next()
        if self._dialect == "monitoring" and name == "select_slo_burn_rate":
            self._arguments()
        elif not _SELECTORS[self._dialect].fullmatch(name):
            raise FilterError(f"{self._text!r}: {name!r} cannot be compared")
        elif (operator := self._next()) not in _COMPARISONS[self._dialect]:
            raise FilterError(f"{self._text!r}: {operator!r} does not compare")
        else:
            self._value()
        self._found.compared.append(name)

    def _value(self) -> None:
        value = self._next()
        if value == "(" and self._dialect == "logging":
            self._next()
            while self._take("OR"):
                self._next()
            self._need(")")
        elif value in _FUNCTIONS and self._dialect == "monitoring":
            self._arguments()
        elif not re.fullmatch(r'".*"|-?[0-9.]+|true|false|[A-Z]+', value, re.DOTALL):
            raise FilterError(f"{self._text!r}: {value!r} is no value")

    def _arguments(self) -> None:
        self._need("(")
        self._next()
        while self._take(","):
            self._next()
        self._need(")")

    def _next(self) -> str:
        if not self._tokens:
            raise FilterError(f"{self._text!r} breaks off")
        return self._tokens.pop(0)

    def _take(self, token: str) -> bool:
        if self._tokens[:1] == [token]:
            self._tokens.pop(0)
            return True
        return False

    def _need(self, token: str) -> None:
        if not self._take(token):
            raise FilterError(f"{self._text!r}: {token!r} is expected before {self._tokens[:1]}")


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if not match:
            raise FilterError(f"{text!r}: {text[position : position + 20]!r} cannot be read")
        found.append(_token(match.groups()))
        position = match.end()
    return found


def _token(groups: Sequence[str | None]) -> str:
    return next(group for group in groups if group is not None)

"""Structured log lines for Cloud Logging and Error Reporting, each with the name of an event.

Source: https://cloud.google.com/logging/docs/structured-logging and
https://cloud.google.com/error-reporting/docs/formatting-error-messages. Arguments and tokens are
never logged.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, TextIO, cast

from adjourn.concurrency import Scoped
from adjourn.error_text import safely

LABELS = "logging.googleapis.com/labels"
_TRACE = "logging.googleapis.com/trace"
_SPAN = "logging.googleapis.com/spanId"

# Of a longer entry Cloud Logging cuts off the rest (256 KB, https://cloud.google.com/logging/quotas),
# and then it is no JSON. Its own fields need some space.
_LONGEST_LINE = 200_000
_LONGEST_MESSAGE = 10_000
_SHORTEST = 100
_MOST_FIELDS = 200
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "adjourn"}

_OPENTELEMETRY = ("opentelemetry.trace", "opentelemetry.metrics")
_bound: ContextVar[Mapping[str, object]] = ContextVar("adjourn_log_fields")
_NOTHING: Mapping[str, object] = {}
_note_error: ContextVar[Callable[[BaseException], object] | None] = ContextVar(
    "adjourn_note_error", default=None
)
_log = logging.getLogger("adjourn")


def event(
    name: str, level: int, message: str, *, error: BaseException | None = None, **fields: object
) -> None:
    """Log one event.

    Args:
        name: Documented name of the event, which never changes.
        level: Level of `logging`.
        message: Text for people; a long one is cut.
        error: Exception whose traceback is logged, too.
        fields: Further fields with flat JSON values.
    """
    if error is not None and (note := _note_error.get()):
        note(error)
    if _log.isEnabledFor(level):
        message = _shortened(message, _LONGEST_MESSAGE)
        _log.log(level, message, exc_info=error, extra={"adjourn": {"event": name, **fields}})


def bound(**fields: object) -> Scoped[Mapping[str, object]]:
    """Add fields to every line that is logged in a `with` block, also by the application."""
    return Scoped(_bound, {**_bound.get(_NOTHING), **fields})


def is_observed() -> bool:
    """Whether OpenTelemetry's SDK is set up in this process, so that spans and metrics are of use.

    It may be imported without being set up: Redis' client does so, and ndb imports that.
    """
    if "opentelemetry.sdk" not in sys.modules:
        return False
    trace, metrics = map(sys.modules.get, _OPENTELEMETRY)
    if trace is None or metrics is None:
        return False
    providers = trace.get_tracer_provider(), metrics.get_meter_provider()
    # Those that do nothing are the API's own.
    return not all(type(each).__module__.startswith(_OPENTELEMETRY) for each in providers)


def noting_errors(note: Callable[[BaseException], object]) -> Scoped[Any]:
    """Return a context manager in which `note` is called with each error that is logged."""
    return Scoped(_note_error, note)


def bound_fields() -> Mapping[str, object]:
    """Return the fields that `bound` adds in the present context."""
    return _bound.get(_NOTHING)


class JsonFormatter(logging.Formatter):
    """Formats a record as one line with a JSON object, `extra` of the application included."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record in the structure that Cloud Logging parses."""
        fields = _bound.get(_NOTHING)
        extra = {name: value for name, value in vars(record).items() if name not in _OWN}
        line: dict[str, object] = {
            "severity": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            **fields,
            **getattr(record, "adjourn", {}),
        }
        if record.exc_info and record.exc_info[1]:
            line["stack_trace"] = "".join(traceback.format_exception(record.exc_info[1]))
        return _bounded(_with_labels(line, extra) if extra else line)


def _bounded(line: Mapping[str, object]) -> str:
    """Return fields as JSON that is short enough: long values are cut, the last ones left out."""
    text, longest, most = _to_json(line), _LONGEST_LINE // 2, _MOST_FIELDS
    while len(text) > _LONGEST_LINE:
        kept = list(line.items())[:most]
        line = {name[:longest]: _cut(value, longest) for name, value in kept}
        most = most if longest > _SHORTEST else most // 2
        longest = max(longest // 2, _SHORTEST)
        text = _to_json(line)
    return text


def _to_json(line: Mapping[str, object]) -> str:
    try:
        return json.dumps(line, default=str, allow_nan=False)
    except Exception:  # noqa: BLE001 - whatever a value raises, the others are logged
        return json.dumps({name: _presentable(value) for name, value in line.items()}, default=str)


def _presentable(value: object) -> object:
    try:
        json.dumps(value, default=str, allow_nan=False)
    except Exception:  # noqa: BLE001 - as above
        return safely(lambda: repr(value))
    return value


def _cut(value: object, longest: int) -> object:
    """Return a value of which the JSON is not much longer than `longest`."""
    text = _to_json({"": value})
    if len(text) <= longest:
        return value
    shown = value if isinstance(value, str) else text
    # A character may take twelve bytes.
    return _shortened(shown, len(shown) * longest // len(text))


def _shortened(text: str, longest: int) -> str:
    """Return a text with both ends, and without the middle if it is longer than `longest`."""
    if len(text) <= longest:
        return text
    half = max(longest // 2, 1)
    left_out = len(text) - 2 * half
    return f"{text[:half]} ... ({left_out} characters are left out) ... {text[-half:]}"


def configure(level: int = logging.INFO, *, links: bool = False) -> logging.Handler:
    """Send every log line of this process to stdout as JSON, in the place of functions-framework.

    Where Cloud Run sets `LOG_EXECUTION_ID`, the framework installs a handler of its own before it
    loads the function, which writes neither events nor severities and nothing below WARNING. It is
    removed; handlers of others are kept.

    Args:
        level: Level of `logging`.
        links: Whether what is printed within a request is linked to it, as the framework does where
            it sees the request.

    Returns:
        The handler that does it.
    """
    root = logging.getLogger()
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    root.handlers[:] = [*(each for each in root.handlers if not _is_frameworks(each)), handler]
    root.setLevel(level)
    sys.stdout = cast(TextIO, _WholeLines(sys.stdout, handler, links=links))
    if links:
        sys.stderr = cast(TextIO, _WholeLines(sys.stderr, handler, links=True))
    return handler


def keep(handler: logging.Handler, level: int = logging.INFO) -> None:
    """Send adjourn's own lines to a handler if the application has replaced it meanwhile."""
    if handler not in logging.getLogger().handlers:
        _log.addHandler(handler)
        _log.setLevel(_log.level or level)
        _log.propagate = False


def _is_frameworks(handler: logging.Handler) -> bool:
    stream = getattr(handler, "stream", None)
    # Not `type(...)`, which is that of a proxy.
    return stream.__class__.__module__.startswith("functions_framework")


class _WholeLines:
    """Text stream that passes each line on in one write, never amid a line of the log.

    `print`, and the framework that adds an execution id to what it prints, write a line and its end
    one after the other. A log line of another thread in between would be no JSON, and its event
    lost.
    """

    def __init__(self, stream: TextIO, handler: logging.Handler, *, links: bool) -> None:
        self._stream = stream
        self._handler = handler
        self._links = links
        self._begun = threading.local()

    def write(self, text: str) -> int:
        """Pass on the whole lines; keep the rest until its end is written."""
        lines, end, self._begun.text = (self._kept() + text).rpartition("\n")
        self._pass_on(lines + end)
        return len(text)

    def flush(self) -> None:
        """Pass on what this thread has begun, and flush the stream."""
        begun, self._begun.text = self._kept(), ""
        self._pass_on(begun)
        self._stream.flush()

    def _kept(self) -> str:
        return getattr(self._begun, "text", "")

    def _pass_on(self, text: str) -> None:
        if self._links:
            text = "".join(map(_linked, re.findall(".*\n|.+", text)))
        self._handler.acquire()
        try:
            self._stream.write(text)
        finally:
            self._handler.release()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _linked(printed: str) -> str:
    """Return a printed line with the fields that link it to its request, if it has one."""
    bound = _bound.get(_NOTHING)
    links = {name: bound[name] for name in (LABELS, _TRACE, _SPAN) if name in bound}
    if not links or printed.isspace():
        return printed
    try:
        content = json.loads(printed)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        content = {"message": printed.removesuffix("\n")}
    return f"{_bounded(_with_labels(links, content))}\n"


def _with_labels(fields: Mapping[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """Return fields, replaced by the own ones of a line except for labels, which it has besides."""
    line, labels = {**fields, **own}, (fields.get(LABELS), own.get(LABELS))
    if isinstance(labels[0], dict) and isinstance(labels[1], dict):
        line[LABELS] = {**labels[0], **labels[1]}
    return line


def trace_fields(project: str, traceparent: str | None) -> dict[str, object]:
    """Return the fields that link a line to its trace (https://www.w3.org/TR/trace-context/)."""
    if not traceparent:
        return {}
    parts = traceparent.split("-")
    if len(parts) != 4 or len(parts[1]) != 32 or len(parts[2]) != 16:  # noqa: PLR2004 - the format
        return {}
    return {
        _TRACE: f"projects/{project}/traces/{parts[1]}",
        _SPAN: parts[2],
    }


def execution_fields(execution_id: str | None) -> dict[str, object]:
    """Return the label under which Google's own runtime tells the lines of one request apart."""
    return {LABELS: {"execution_id": execution_id}} if execution_id else {}

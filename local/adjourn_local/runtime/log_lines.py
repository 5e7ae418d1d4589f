"""The log lines of a stack, of what its functions print and of the stack itself."""

import datetime as dt
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STACK = "stack"
# Of a longer text both ends are kept.
_LONGEST_MESSAGE = 20_000
_LONGEST_TRACE = 40_000
_SHORT_ID = 8
# The fields that this process's own log records may have.
_RECORDED = ("event", "queue", "attempt", "outcome", "status", "retry_in", "held_back")
_FRAME = re.compile(r'  File "(.+)", line (\d+)')


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of the log.

    Attributes:
        at: When it was read.
        source: Who wrote it: a function's name, or "stack".
        message: Text for people.
        severity: Such as "WARNING"; empty for what was merely printed.
        fields: The other fields, such as `event`, `task`, `task_id`, `queue` and `attempt`.
    """

    at: dt.datetime
    source: str
    message: str
    severity: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, source: str, text: str, at: dt.datetime) -> "LogLine":
        """Return what a function has printed: a structured line, or any other."""
        fields = _structured(text)
        if fields is None:
            return cls(at=at, source=source, message=cut(text, _LONGEST_MESSAGE))
        message, severity = str(fields.pop("message")), str(fields.pop("severity", ""))
        message = cut(message, _LONGEST_MESSAGE)
        return cls(at=at, source=source, message=message, severity=severity, fields=fields)

    @classmethod
    def of_record(cls, record: logging.LogRecord) -> "LogLine":
        """Return a record of this process's log."""
        found = {name: getattr(record, name, None) for name in _RECORDED}
        fields = {name: value for name, value in found.items() if value is not None}
        if task := getattr(record, "task", None):  # Cloud Tasks' name of it, not the registered one
            fields["delivery"] = task
        if record.exc_info:
            fields["stack_trace"] = logging.Formatter().formatException(record.exc_info)
        return cls(
            at=dt.datetime.fromtimestamp(record.created).astimezone(),
            source=STACK,
            message=cut(record.getMessage(), _LONGEST_MESSAGE),
            severity=record.levelname,
            fields=fields,
        )

    @classmethod
    def from_json(cls, text: str) -> "LogLine | None":
        """Return a line that `to_json` has written; None if it is damaged."""
        fields = _structured(text)
        if fields is None:
            return None
        try:
            at = dt.datetime.fromisoformat(fields.pop("time"))
            source = fields.pop("source")
        except (KeyError, TypeError, ValueError):
            return None
        message, severity = str(fields.pop("message")), str(fields.pop("severity", ""))
        return cls(at=at, source=str(source), message=message, severity=severity, fields=fields)

    def to_json(self) -> str:
        """Return the line as a JSON object on one line."""
        own = {"time": self.at.isoformat(timespec="milliseconds"), "source": self.source}
        text = {"severity": self.severity, "message": self.message}
        return json.dumps({**self.fields, **own, **text}, default=str)

    @property
    def event(self) -> str:
        """The name of the event; empty for what the application logs or prints."""
        return str(self.fields.get("event", ""))

    @property
    def task(self) -> str:
        """The registered name of the task, or of the iteration's class; empty if there is none."""
        return str(self.fields.get("task") or self.fields.get("iteration") or "")

    @property
    def short_id(self) -> str:
        """The beginning of the id of the call or of the run."""
        return str(self.fields.get("task_id") or self.fields.get("run") or "")[:_SHORT_ID]

    @property
    def attempt(self) -> int | None:
        """The number of the attempt, from 1."""
        attempt = self.fields.get("attempt")
        return attempt if isinstance(attempt, int) else None

    @property
    def queue(self) -> str:
        """The short name of the queue."""
        return str(self.fields.get("queue", "")).rpartition("/")[2]

    @property
    def trace(self) -> str:
        """The traceback of an error; empty if there is none."""
        return cut(str(self.fields.get("stack_trace", "")).rstrip(), _LONGEST_TRACE)

    def error(self) -> str:
        """Return the error at the end of the traceback and where it was raised; empty if none."""
        lines = self.trace.splitlines()
        frames = [n for n, line in enumerate(lines) if _FRAME.match(line)]
        if not frames:
            return lines[-1] if lines else ""
        after = [line for line in lines[frames[-1] + 1 :] if not line.startswith("    ")]
        error = after[0] if after else ""
        found = [match for line in lines if (match := _FRAME.match(line))]
        own = [match for match in found if "/site-packages/" not in match[1]] or found
        return f"{error} ({own[-1][1].rpartition('/')[2]}:{own[-1][2]})"


def _structured(text: str) -> dict[str, Any] | None:
    """Return the fields of a structured line, None for any other."""
    if not text.startswith("{"):
        return None
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) and isinstance(fields.get("message"), str) else None


def cut(text: str, longest: int) -> str:
    """Return a text with both ends, and without the middle if it is longer than `longest`."""
    if len(text) <= longest:
        return text
    half = longest // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]} … ({left_out:,} characters are left out) … {text[-half:]}"

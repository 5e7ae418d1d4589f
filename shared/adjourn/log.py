"""Structured log lines for Cloud Logging and Error Reporting, each with the name of an event.

Source: https://cloud.google.com/logging/docs/structured-logging and
https://cloud.google.com/error-reporting/docs/formatting-error-messages. Arguments and tokens are
never logged.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType

from adjourn.concurrency import Scoped

_bound: ContextVar[Mapping[str, object]] = ContextVar("adjourn_log_fields")
_NOTHING: Mapping[str, object] = MappingProxyType({})
_log = logging.getLogger("adjourn")


def event(
    name: str, level: int, message: str, *, error: BaseException | None = None, **fields: object
) -> None:
    """Log one event.

    Args:
        name: Documented name of the event, which never changes.
        level: Level of `logging`.
        message: Text for people.
        error: Exception whose traceback is logged, too.
        fields: Further fields with flat JSON values.
    """
    _log.log(level, message, exc_info=error, extra={"adjourn": {"event": name, **fields}})


def bound(**fields: object) -> Scoped[Mapping[str, object]]:
    """Add fields to every line that is logged in a `with` block, also by the application."""
    return Scoped(_bound, {**_bound.get(_NOTHING), **fields})


class JsonFormatter(logging.Formatter):
    """Formats a record as one line with a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record in the structure that Cloud Logging parses."""
        line: dict[str, object] = {
            "severity": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            **_bound.get(_NOTHING),
            **getattr(record, "adjourn", {}),
        }
        if record.exc_info and record.exc_info[1]:
            line["stack_trace"] = "".join(traceback.format_exception(record.exc_info[1]))
        return json.dumps(line, default=str)


def configure(level: int = logging.INFO) -> logging.Handler | None:
    """Log to stdout as JSON, unless the root logger already has handlers.

    Returns:
        The handler that was added; None if there were others.
    """
    root = logging.getLogger()
    if root.handlers:
        return None
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    root.addHandler(handler)
    root.setLevel(level)
    return handler


def keep(handler: logging.Handler, level: int = logging.INFO) -> None:
    """Send adjourn's own lines to a handler if the application has replaced it meanwhile."""
    if handler not in logging.getLogger().handlers:
        _log.addHandler(handler)
        _log.setLevel(level)
        _log.propagate = False


def trace_fields(project: str, traceparent: str | None) -> dict[str, object]:
    """Return the fields that link a line to its trace (https://www.w3.org/TR/trace-context/)."""
    if not traceparent:
        return {}
    parts = traceparent.split("-")
    if len(parts) != 4 or len(parts[1]) != 32 or len(parts[2]) != 16:  # noqa: PLR2004 - the format
        return {}
    return {
        "logging.googleapis.com/trace": f"projects/{project}/traces/{parts[1]}",
        "logging.googleapis.com/spanId": parts[2],
    }

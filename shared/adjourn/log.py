"""Log lines as events, in the structure that Cloud Logging and Error Reporting lift.

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
    """Log one event; `name` is fixed and documented, `fields` are flat JSON values."""
    _log.log(level, message, exc_info=error, extra={"adjourn": {"event": name, **fields}})


def bound(**fields: object) -> Scoped[Mapping[str, object]]:
    """Add fields to every line that this thread of control logs meanwhile, the user's too."""
    return Scoped(_bound, {**_bound.get(_NOTHING), **fields})


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as Cloud Logging wants it."""
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
    """Send every log line of this process to stdout as JSON, unless handlers are set already.

    Returns:
        What was set; None if handlers were.
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
    """Return the fields that tie a line to its trace (https://www.w3.org/TR/trace-context/)."""
    if not traceparent:
        return {}
    parts = traceparent.split("-")
    if len(parts) != 4 or len(parts[1]) != 32 or len(parts[2]) != 16:  # noqa: PLR2004 - the format
        return {}
    return {
        "logging.googleapis.com/trace": f"projects/{project}/traces/{parts[1]}",
        "logging.googleapis.com/spanId": parts[2],
    }

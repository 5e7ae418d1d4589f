"""The place in a trace, as calls carry it: a W3C `traceparent`."""

from __future__ import annotations

import logging
from collections.abc import Callable

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from adjourn.log import event

_W3C = TraceContextTextMapPropagator()
_HEADER = "traceparent"


def tracer() -> trace.Tracer:
    """Return what makes our spans."""
    return trace.get_tracer("adjourn")


def traceparent_in(context: Context | None = None) -> str | None:
    """Return where in a trace a context is, by default the present one; None if in no trace."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, context)
    return carrier.get(_HEADER)


def span_context(traceparent: str | None) -> trace.SpanContext | None:
    """Return what a `traceparent` refers to; None if it is missing or wrong."""
    context = _W3C.extract({_HEADER: traceparent or ""}, Context())
    found = trace.get_current_span(context).get_span_context()
    return found if found.is_valid else None


def guarded(work: Callable[[], object]) -> None:
    """Do work of which no failure may become one of a call, such as that of a user's exporter."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - whatever samplers and processors raise
        text = "A span or metric is lost: OpenTelemetry's SDK has raised an error"
        event("telemetry.failed", logging.WARNING, text, error=error)

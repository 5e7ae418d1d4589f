"""Spans and metrics of deliveries.

A delivery is observed from the moment that its caller is admitted. What it is about, and so the
parent of its span, is known only when its body has been read: then whoever reads it describes it.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Self

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from adjourn.clock import Clock
from adjourn.concurrency import Scoped
from adjourn.error_text import error_line, traceback_text
from adjourn.log import noting_errors
from adjourn.telemetry import conventions as names
from adjourn.telemetry.instruments import instruments
from adjourn.telemetry.trace_context import guarded, span_context, traceparent_in, tracer

_LONGEST_ERROR = 1_000
_LONGEST_TRACEBACK = 20_000

_present: ContextVar[Observation | None] = ContextVar("adjourn_observation", default=None)


def present() -> Observation | None:
    """Return the observation of the delivery that is being received here."""
    return _present.get()


class Observation:
    """One delivery, from its admission to its outcome.

    Attributes:
        error: The last error that was logged meanwhile.
        is_resumed: Whether the call waits, or was enqueued again as a new task.
    """

    def __init__(
        self,
        operation: str,
        system: str,
        destination: str,
        attributes: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Begin to observe.

        Args:
            operation: What is done with the delivery: `process` or `tick`.
            system: The service that delivers.
            destination: Short name of the queue, or the cron name.
            attributes: Further attributes of the span.
            clock: For the duration and the lag.
        """
        self.error: BaseException | None = None
        self.is_resumed = False
        self._common = {
            names.SYSTEM: system,
            names.OPERATION_NAME: operation,
            names.OPERATION_TYPE: "process",
            names.DESTINATION: destination,
        }
        self._attributes = attributes
        self._clock = clock
        self._began_at = time.time_ns()  # as the SDK takes the time, not the injected clock
        self._began = clock.monotonic()
        self._span: trace.Span | None = None
        self._token: Any = None
        self._scopes = (Scoped(_present, self), noting_errors(self._note))

    def __enter__(self) -> Self:
        for scope in self._scopes:
            scope.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            contexts.detach(self._token)
        for scope in reversed(self._scopes):
            scope.__exit__()

    def describe(
        self,
        task: str,
        *,
        operation: str | None = None,
        created_in: str | None = None,
        is_child: bool = True,
        due: dt.datetime | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> str | None:
        """Tell what is delivered; from here on the delivery's span is the current one.

        Args:
            task: Name of the task, iteration or cron.
            operation: What is done, if not what was said at first.
            created_in: `traceparent` of where it was enqueued.
            is_child: Whether the span belongs to that trace, unless there is a span here already,
                such as that of a web framework. It is linked to it in any case.
            due: When it was to begin; None if that is not known of this attempt.
            attributes: Further attributes of the span.

        Returns:
            The `traceparent` of the span; `created_in` if there is none.
        """
        if self._span is None:
            self._common[names.TASK] = task
            if operation:
                self._common[names.OPERATION_NAME] = operation
            guarded(lambda: self._begin(task, created_in, attributes or {}, is_child=is_child))
            if due is not None:
                lag = max((self._clock.now() - due).total_seconds(), 0.0)
                guarded(lambda: instruments().lag.record(lag, self._common))
        return traceparent_in() or created_in

    def _begin(
        self, task: str, created_in: str | None, attributes: Mapping[str, Any], *, is_child: bool
    ) -> None:
        created = span_context(created_in)
        parent = contexts.get_current()
        if not trace.get_current_span(parent).get_span_context().is_valid:
            parent = Context()
            if created and is_child:
                parent = trace.set_span_in_context(trace.NonRecordingSpan(created))
        self._span = tracer().start_span(
            f"{self._common[names.OPERATION_NAME]} {task}",
            context=parent,
            kind=SpanKind.CONSUMER,
            attributes={**self._common, **self._attributes, **attributes},
            links=[Link(created)] if created else [],
            start_time=self._began_at,
        )
        self._token = contexts.attach(trace.set_span_in_context(self._span))

    def _begin_undescribed(self) -> None:
        self._begin(self._common[names.DESTINATION], None, {}, is_child=False)
        if self.error is not None:
            self._note(self.error)

    def _note(self, error: BaseException) -> None:
        self.error = error
        if self._span is None:
            return
        content = {
            names.EXCEPTION_TYPE: names.error_type(error),
            names.EXCEPTION_MESSAGE: error_line(error, _LONGEST_ERROR),
            names.EXCEPTION_STACKTRACE: traceback_text(error, _LONGEST_TRACEBACK),
        }
        with suppress(Exception):  # it is logged in any case
            self._span.add_event(names.EXCEPTION, content)

    def handled(self, entities: int) -> None:
        """Count the entities that a step of an iteration has handled."""
        if entities > 0:
            common = {names.TASK: self._common[names.TASK]}
            guarded(lambda: instruments().entities.add(entities, common))
        if self._span is not None:
            self._span.set_attribute(names.ENTITIES, entities)

    def end(self, outcome: str, *, is_failure: bool, is_dead: bool = False) -> None:
        """End the span, and count the delivery.

        Args:
            outcome: What the delivery came to.
            is_failure: Whether it failed, for whatever reason.
            is_dead: Whether it was given up for good.
        """
        if self._span is None:
            guarded(self._begin_undescribed)
        if self.is_resumed:
            outcome, is_failure = "resumed", self.error is not None
        told = {**self._common, names.OUTCOME: outcome}
        if is_failure:
            told[names.ERROR_TYPE] = names.error_type(self.error) if self.error else outcome
        seconds = self._clock.monotonic() - self._began

        def count() -> None:
            instruments().consumed.add(1, told)
            instruments().duration.record(seconds, told)
            if is_dead:
                instruments().dead_letters.add(1, self._common)

        guarded(count)
        guarded(lambda: self._end(told, is_failure=is_failure))

    def _end(self, told: Mapping[str, str], *, is_failure: bool) -> None:
        if self._span is None:
            return
        self._span.set_attributes(told)
        if is_failure:
            line = error_line(self.error, _LONGEST_ERROR) if self.error else told[names.OUTCOME]
            self._span.set_status(Status(StatusCode.ERROR, line))
        self._span.end()

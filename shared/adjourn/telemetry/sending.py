"""Spans and metrics of what is enqueued."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from adjourn.error_text import error_line
from adjourn.telemetry import conventions as names
from adjourn.telemetry.instruments import instruments
from adjourn.telemetry.trace_context import guarded, tracer

T = TypeVar("T")

_LONGEST_ERROR = 1_000


class Sending:
    """An enqueuing, during which its span is the current one: what is enqueued carries it along."""

    def __init__(self, operation: str, task: str, queue: str) -> None:
        """Prepare to enqueue.

        Args:
            operation: What is done: `send` calls or `start` a run.
            task: Registered name of the task or iteration.
            queue: Short name of the queue.
        """
        self._common = {
            names.SYSTEM: names.CLOUD_TASKS,
            names.OPERATION_NAME: operation,
            names.OPERATION_TYPE: "send",
            names.DESTINATION: queue,
            names.TASK: task,
        }
        self._name = f"{operation} {task}"
        self._span: trace.Span = trace.INVALID_SPAN
        self._sent = 0
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self.begin()
        context = trace.set_span_in_context(self._span)
        self._token = contexts.attach(context)
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        contexts.detach(self._token)
        self.end(error)

    def begin(self) -> None:
        """Begin the span, without making it the current one."""
        self._began = time.perf_counter()

        def begin() -> None:
            self._span = tracer().start_span(
                self._name, kind=SpanKind.PRODUCER, attributes=self._common
            )

        guarded(begin)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the span the current one within a `with` block."""
        with trace.use_span(self._span, record_exception=False, set_status_on_exception=False):
            yield

    def sent(self, attributes: dict[str, Any], *, is_new: bool = True) -> None:
        """Tell what was enqueued, and count it unless it was there already."""
        self._sent += is_new
        known = {name: value for name, value in attributes.items() if value is not None}
        guarded(lambda: self._span.set_attributes(known))

    def failed(self, error: BaseException) -> None:
        """Note why something of a batch was not enqueued."""
        self._error = error

    def end(self, error: BaseException | None = None, *, is_batch: bool = False) -> None:
        """End the span and count what it stands for."""
        error = error or self._error
        seconds = time.perf_counter() - self._began

        def end() -> None:
            attributes = dict(self._common)
            if is_batch:
                self._span.set_attribute(names.BATCH_COUNT, self._sent)
            if error is not None:
                attributes[names.ERROR_TYPE] = names.error_type(error)
                self._span.set_attribute(names.ERROR_TYPE, attributes[names.ERROR_TYPE])
                line = error_line(error, _LONGEST_ERROR)
                self._span.set_status(Status(StatusCode.ERROR, line))
            if self._sent:
                instruments().sent.add(self._sent, self._common)
            instruments().sending.record(seconds, attributes)

        guarded(end)
        guarded(self._span.end)


def sent_in_batches(
    sending: Sending,
    create: Callable[[Iterable[T]], Iterator[Any]],
    prepared: Iterable[T],
    is_new: Callable[[Any], bool],
) -> Iterator[Any]:
    """Yield the results of enqueuing many calls, of which one span stands for all.

    Args:
        sending: What begins with the first call and ends with the last one.
        create: Enqueues what is prepared, in batches, while the results are consumed.
        prepared: The calls. They are made while the span is the current one.
        is_new: Whether a result that is no error stands for a new task.
    """

    def within() -> Iterator[T]:
        calls = iter(prepared)
        while True:
            with sending.current():
                try:
                    call = next(calls)
                except StopIteration:
                    return
            yield call

    sending.begin()
    error: BaseException | None = None
    try:
        for result in create(within()):
            if isinstance(result, Exception):
                sending.failed(result)
            else:
                sending.sent({}, is_new=is_new(result))
            yield result
    except GeneratorExit:  # nobody wants the rest
        raise
    except BaseException as failure:
        error = failure
        raise
    finally:
        sending.end(error, is_batch=True)

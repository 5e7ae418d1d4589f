"""The only module that knows Flask: from headers to a delivery, from an outcome to a status."""

import datetime as dt
import logging
from collections.abc import Callable

from flask import Request, Response
from werkzeug.exceptions import RequestEntityTooLarge

from adjourn.dispatch import Delivery, Outcome
from adjourn.log import bound, event, trace_fields
from adjourn.retry import Attempt

# Cloud Tasks itself accepts no more than a megabyte (https://cloud.google.com/tasks/docs/quotas).
LONGEST_BODY = 1 << 20

# A 4xx other than 429 counts as an execution and does not slow the queue down; 503 does.
STATUS = {
    Outcome.DONE: 204,
    Outcome.DEAD: 200,
    Outcome.FAILED: 422,
    Outcome.BUSY: 409,
    Outcome.UNKNOWN: 404,
    Outcome.UNAUTHENTICATED: 401,
    Outcome.FORBIDDEN: 403,
    Outcome.TROUBLE: 503,
}


def function(receive: Callable[[Delivery], Outcome], project: str) -> Callable[[Request], Response]:
    """Return a function as functions-framework wants it, around one of the app's receivers."""

    def respond(request: Request) -> Response:
        with bound(**trace_fields(project, request.headers.get("traceparent"))):
            if request.method != "POST":
                return _text(405, "use POST", Allow="POST")
            if (request.content_length or 0) > LONGEST_BODY:
                return _too_long(request.content_length)
            request.max_content_length = LONGEST_BODY  # for a body that does not tell its length
            try:
                delivery = _delivery(request)
            except RequestEntityTooLarge:
                return _too_long(None)
            return _answer(receive(delivery))

    return respond


def _answer(outcome: Outcome) -> Response:
    status = STATUS[outcome]
    return Response(status=status) if status == 204 else _text(status, outcome.name.lower())  # noqa: PLR2004


def _text(status: int, text: str, **headers: str) -> Response:
    return Response(f"{text}\n", status=status, headers=headers, mimetype="text/plain")


def _too_long(length: int | None) -> Response:
    event("request.too_long", logging.WARNING, f"Refused a body of {length or 'too many'} bytes")
    return _text(413, f"a body may have {LONGEST_BODY} bytes")


def _delivery(request: Request) -> Delivery:
    headers = request.headers
    return Delivery(
        authorization=headers.getlist("Authorization"),
        body=request.get_data(cache=False),
        path=request.path,
        queue=headers.get("X-CloudTasks-QueueName", ""),
        task_name=headers.get("X-CloudTasks-TaskName", ""),
        attempt=Attempt(
            retry_count=_number(headers.get("X-CloudTasks-TaskRetryCount")),
            execution_count=_number(headers.get("X-CloudTasks-TaskExecutionCount")),
        ),
        scheduled=_time(headers.get("X-CloudScheduler-ScheduleTime")),
    )


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else 0


def _time(text: str | None) -> dt.datetime | None:
    try:
        time = dt.datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return time if time.utcoffset() is not None else None

"""The only module that knows Flask: from headers to a delivery, from an outcome to a status."""

import datetime as dt
import logging
import re
from collections.abc import Callable
from functools import cache, partial

from flask import Request, Response

from adjourn.context import TRACEPARENT, carrying
from adjourn.delivery import AppEngine, Delivery, Outcome
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

_COUNT = re.compile("[0-9]{1,9}")


def function(receive: Callable[[Delivery], Outcome], project: str) -> Callable[[Request], Response]:
    """Return a function as functions-framework wants it, around one of the app's receivers."""

    def respond(request: Request) -> Response:
        traceparent = _header(request, "traceparent")
        along = {TRACEPARENT: traceparent} if traceparent else {}
        with bound(**trace_fields(project, traceparent)), carrying(along):
            if request.method != "POST" and not _is_cron_of_app_engine(request):
                return _text(405, "use POST", Allow="POST")
            body = _body(request)
            if body is None:
                event("request.too_long", logging.WARNING, "Refused a body that is too long")
                return _text(413, f"a body may have {LONGEST_BODY} bytes")
            return _answer(receive(_delivery(request, body)))

    return respond


def _answer(outcome: Outcome) -> Response:
    status = STATUS[outcome]
    return Response(status=status) if status == 204 else _text(status, outcome.name.lower())  # noqa: PLR2004


def _text(status: int, text: str, **headers: str) -> Response:
    return Response(f"{text}\n", status=status, headers=headers, mimetype="text/plain")


def _body(request: Request) -> bytes | None:
    """Read a body to its end, which lets the caller read the answer; None if it is too long."""
    body = b""
    while piece := request.stream.read(LONGEST_BODY):
        if len(body) <= LONGEST_BODY:
            body += piece
    return body if len(body) <= LONGEST_BODY else None


def _delivery(request: Request, body: bytes) -> Delivery:
    header = partial(_header, request)
    return Delivery(
        # With both, Cloud Run checks the second alone, and anything may stand in the first.
        authorization=[
            header(name)
            for name in ("Authorization", "X-Serverless-Authorization")
            if _wsgi_name(name) in request.environ
        ],
        body=body,
        path=request.path,
        queue=header("X-CloudTasks-QueueName"),
        task_name=header("X-CloudTasks-TaskName"),
        attempt=_attempt(request, "X-CloudTasks"),
        scheduled=_time(header("X-CloudScheduler-ScheduleTime")),
        app_engine=AppEngine(
            # App Engine hands requests on through a proxy of its own.
            address=header("X-AppEngine-User-IP") or request.remote_addr or "",
            is_cron=header("X-AppEngine-Cron") == "true",
            queue=header("X-AppEngine-QueueName"),
            task_name=header("X-AppEngine-TaskName"),
            attempt=_attempt(request, "X-AppEngine"),
        ),
    )


def _header(request: Request, name: str) -> str:
    """Return a header, several of one name joined by commas; "" if there is none.

    Read where WSGI keeps it (PEP 3333): the framework's own mapping takes ten times as long.
    """
    value: str = request.environ.get(_wsgi_name(name), "")
    return value


@cache
def _wsgi_name(name: str) -> str:
    return f"HTTP_{name.upper().replace('-', '_')}"


def _is_cron_of_app_engine(request: Request) -> bool:
    """Whether it says so; App Engine's cron can do nothing but GET."""
    return request.method == "GET" and _header(request, "X-AppEngine-Cron") == "true"


def _attempt(request: Request, family: str) -> Attempt:
    return Attempt(
        retry_count=_number(_header(request, f"{family}-TaskRetryCount")),
        execution_count=_number(_header(request, f"{family}-TaskExecutionCount")),
    )


def _number(text: str) -> int:
    # No count has ten digits, and Python refuses to read thousands of them.
    return int(text) if _COUNT.fullmatch(text) else 0


def _time(text: str) -> dt.datetime | None:
    if not text:
        return None
    try:
        time = dt.datetime.fromisoformat(text)
        return time.astimezone(dt.UTC) if time.utcoffset() is not None else None
    except (ValueError, OverflowError):
        return None

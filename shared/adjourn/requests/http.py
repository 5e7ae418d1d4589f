"""Flask requests to deliveries, and outcomes to HTTP status; no other module uses Flask."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Callable

from flask import Request, Response, abort

from adjourn.clock import in_utc
from adjourn.execution.attempt import Attempt
from adjourn.execution.delivery import AppEngine, Delivery, Outcome, UserRequest, UserResponse
from adjourn.log import bound, event, execution_fields, trace_fields
from adjourn.serialization.context import TRACEPARENT, propagating

# Cloud Tasks itself accepts at most a megabyte (https://cloud.google.com/tasks/docs/quotas).
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

_LONGEST_COUNT = 9
_YEARS = (1970, 9000)  # times outside of these could not be computed with

# The paths for people; tasks are never delivered there (see `adjourn.gcp.cloudtasks`).
_LIST = "/list"
_EXECUTE = "/execute/"


def function(
    receive: Callable[[Delivery], Outcome],
    project: str,
    people: Callable[[UserRequest], UserResponse] | None = None,
) -> Callable[[Request], Response]:
    """Return an HTTP function for functions-framework that hands deliveries to a receiver.

    Args:
        receive: Receives the deliveries of services.
        project: The Google Cloud project of the traces.
        people: Answers requests of people; None if this function has no paths for them.
    """

    def respond(request: Request) -> Response:
        if people and (request.path == _LIST or request.path.startswith(_EXECUTE)):
            return _reply(people(_asked(request)))
        if request.method != "POST" and not _is_cron_of_app_engine(request):
            return _text(405, "use POST", Allow="POST")
        body = _body(request)
        if body is None:
            event("request.too_long", logging.WARNING, "Refused a body that is too long")
            return _text(413, f"a body may have {LONGEST_BODY} bytes")
        return _answer(receive(_delivery(request, body)))

    return _traced(respond, project)


def person(
    people: Callable[[UserRequest], UserResponse], project: str, key: str | None
) -> Callable[[Request], Response]:
    """Return an HTTP function that answers a person about one callable task, at any URL.

    Args:
        people: Answers requests of people.
        project: The Google Cloud project of the traces.
        key: The task to start; None to list the tasks.
    """

    def respond(request: Request) -> Response:
        return _reply(people(_asked(request)._replace(key=key)))

    return _traced(respond, project)


def _traced(respond: Callable[[Request], Response], project: str) -> Callable[[Request], Response]:
    """Attach what is logged and enqueued during a request to its trace and its execution."""

    def traced(request: Request) -> Response:
        traceparent = request.environ.get("HTTP_TRACEPARENT", "")
        context = {TRACEPARENT: traceparent} if traceparent else {}
        execution = execution_fields(request.environ.get("HTTP_FUNCTION_EXECUTION_ID"))
        with bound(**trace_fields(project, traceparent), **execution), propagating(context):
            return respond(request)

    return traced


def _answer(outcome: Outcome) -> Response:
    status = STATUS[outcome]
    return Response(status=status) if status == 204 else _text(status, outcome.name.lower())  # noqa: PLR2004


def _text(status: int, text: str, **headers: str) -> Response:
    return Response(f"{text}\n", status=status, headers=headers, mimetype="text/plain")


def _reply(reply: UserResponse) -> Response:
    headers = {**reply.headers, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    body = f"{json.dumps(reply.content)}\n"
    return Response(body, status=reply.status, headers=headers, mimetype="application/json")


def _body(request: Request) -> bytes | None:
    """Return a body; None if it is too long. It is read to its end for the answer to arrive."""
    body = b""
    try:
        while piece := request.stream.read(LONGEST_BODY):
            if len(body) <= LONGEST_BODY:
                body += piece
        # gunicorn ends a body that breaks off as if it were whole.
        is_broken = len(body) < min(request.content_length or 0, LONGEST_BODY)
    except Exception:  # noqa: BLE001 - each server raises its own errors for broken requests
        is_broken = True
    if is_broken:
        event("request.broken", logging.WARNING, "Refused a body that cannot be read")
        abort(_text(400, "the body cannot be read"))
    return body if len(body) <= LONGEST_BODY else None


def _asked(request: Request) -> UserRequest:
    is_list = request.path == _LIST
    return UserRequest(
        authorization=_authorization(request),
        method=request.method,
        key=None if is_list else request.path.removeprefix(_EXECUTE),
        content_type=request.mimetype,
        body=_body(request),
    )


def _authorization(request: Request) -> list[str]:
    # If both are sent, Cloud Run checks only the second, and the first may hold anything.
    return [
        request.environ[name]
        for name in ("HTTP_AUTHORIZATION", "HTTP_X_SERVERLESS_AUTHORIZATION")
        if name in request.environ
    ]


def _delivery(request: Request, body: bytes) -> Delivery:
    """Return the delivery in a request.

    Headers are read from the WSGI environment (PEP 3333), which joins repeated ones with commas:
    the framework's own mapping takes ten times as long.
    """
    header = request.environ.get
    return Delivery(
        authorization=_authorization(request),
        body=body,
        path=request.path,
        queue=header("HTTP_X_CLOUDTASKS_QUEUENAME", ""),
        task_name=header("HTTP_X_CLOUDTASKS_TASKNAME", ""),
        attempt=Attempt(
            retry_count=_number(header("HTTP_X_CLOUDTASKS_TASKRETRYCOUNT", "")),
            execution_count=_number(header("HTTP_X_CLOUDTASKS_TASKEXECUTIONCOUNT", "")),
        ),
        scheduled=_time(header("HTTP_X_CLOUDSCHEDULER_SCHEDULETIME", "")),
        app_engine=AppEngine(
            # App Engine forwards requests through a proxy.
            address=header("HTTP_X_APPENGINE_USER_IP") or header("REMOTE_ADDR", ""),
            is_cron=header("HTTP_X_APPENGINE_CRON") == "true",
            queue=header("HTTP_X_APPENGINE_QUEUENAME", ""),
            task_name=header("HTTP_X_APPENGINE_TASKNAME", ""),
            attempt=Attempt(
                retry_count=_number(header("HTTP_X_APPENGINE_TASKRETRYCOUNT", "")),
                execution_count=_number(header("HTTP_X_APPENGINE_TASKEXECUTIONCOUNT", "")),
            ),
        ),
    )


def _is_cron_of_app_engine(request: Request) -> bool:
    """Whether a request claims to come from App Engine's cron, which can only send GET."""
    return request.method == "GET" and request.environ.get("HTTP_X_APPENGINE_CRON") == "true"


def _number(text: str) -> int:
    # No count has ten digits, and Python refuses to parse thousands of them.
    is_one = len(text) <= _LONGEST_COUNT and text.isascii() and text.isdigit()
    return int(text) if is_one else 0


def _time(text: str) -> dt.datetime | None:
    if not text:
        return None
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    is_computable = time.utcoffset() is not None and _YEARS[0] <= time.year <= _YEARS[1]
    return in_utc(time) if is_computable else None

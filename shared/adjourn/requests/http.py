"""The only module that knows Flask: from headers to a delivery, from an outcome to a status."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Callable

from flask import Request, Response, abort

from adjourn.execution.attempt import Attempt
from adjourn.execution.delivery import AppEngine, Asked, Delivery, Outcome, Reply
from adjourn.log import bound, event, trace_fields
from adjourn.serialization.context import TRACEPARENT, propagating

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

_LONGEST_COUNT = 9

# Where people ask; tasks are never delivered there (see `adjourn.gcp.cloudtasks`).
_LIST = "/list"
_EXECUTE = "/execute/"


def function(
    receive: Callable[[Delivery], Outcome],
    project: str,
    people: Callable[[Asked], Reply] | None = None,
) -> Callable[[Request], Response]:
    """Return a function as functions-framework wants it, around one of the app's receivers.

    Args:
        receive: Takes what services deliver.
        project: The project of the traces.
        people: Answers what people ask, where they may.
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
    people: Callable[[Asked], Reply], project: str, key: str | None
) -> Callable[[Request], Response]:
    """Return a function that answers a person about one callable task, whatever its URL.

    Args:
        people: Answers what people ask.
        project: The project of the traces.
        key: The task to start; None to list those that there are.
    """

    def respond(request: Request) -> Response:
        return _reply(people(_asked(request)._replace(key=key)))

    return _traced(respond, project)


def _traced(respond: Callable[[Request], Response], project: str) -> Callable[[Request], Response]:
    """Let what is logged and enqueued while a request is answered belong to its trace."""

    def traced(request: Request) -> Response:
        traceparent = request.environ.get("HTTP_TRACEPARENT", "")
        context = {TRACEPARENT: traceparent} if traceparent else {}
        with bound(**trace_fields(project, traceparent)), propagating(context):
            return respond(request)

    return traced


def _answer(outcome: Outcome) -> Response:
    status = STATUS[outcome]
    return Response(status=status) if status == 204 else _text(status, outcome.name.lower())  # noqa: PLR2004


def _text(status: int, text: str, **headers: str) -> Response:
    return Response(f"{text}\n", status=status, headers=headers, mimetype="text/plain")


def _reply(reply: Reply) -> Response:
    headers = {**reply.headers, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    body = f"{json.dumps(reply.content)}\n"
    return Response(body, status=reply.status, headers=headers, mimetype="application/json")


def _body(request: Request) -> bytes | None:
    """Read a body to its end, which lets the caller read the answer; None if it is too long."""
    body = b""
    try:
        while piece := request.stream.read(LONGEST_BODY):
            if len(body) <= LONGEST_BODY:
                body += piece
    except Exception:  # noqa: BLE001 - each server has its own for what is no HTTP or breaks off
        event("request.broken", logging.WARNING, "Refused a body that cannot be read")
        abort(_text(400, "the body cannot be read"))
    return body if len(body) <= LONGEST_BODY else None


def _asked(request: Request) -> Asked:
    is_list = request.path == _LIST
    return Asked(
        authorization=_authorization(request),
        method=request.method,
        key=None if is_list else request.path.removeprefix(_EXECUTE),
        content_type=request.mimetype,
        body=_body(request),
    )


def _authorization(request: Request) -> list[str]:
    # With both, Cloud Run checks the second alone, and anything may stand in the first.
    return [
        request.environ[name]
        for name in ("HTTP_AUTHORIZATION", "HTTP_X_SERVERLESS_AUTHORIZATION")
        if name in request.environ
    ]


def _delivery(request: Request, body: bytes) -> Delivery:
    """Read the headers, several of one name joined by commas.

    They are read where WSGI keeps them (PEP 3333): the framework's own mapping takes ten times as
    long.
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
            # App Engine hands requests on through a proxy of its own.
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
    """Whether it says so; App Engine's cron can do nothing but GET."""
    return request.method == "GET" and request.environ.get("HTTP_X_APPENGINE_CRON") == "true"


def _number(text: str) -> int:
    # No count has ten digits, and Python refuses to read thousands of them.
    is_one = len(text) <= _LONGEST_COUNT and text.isascii() and text.isdigit()
    return int(text) if is_one else 0


def _time(text: str) -> dt.datetime | None:
    if not text:
        return None
    try:
        time = dt.datetime.fromisoformat(text)
        return time.astimezone(dt.UTC) if time.utcoffset() is not None else None
    except (ValueError, OverflowError):
        return None

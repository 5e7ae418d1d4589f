"""Flask requests to deliveries, and outcomes to HTTP status; no other module uses Flask."""

from __future__ import annotations

import datetime as dt
import json
import socket
from collections.abc import Callable, Iterable
from typing import Any

from flask import Request, Response, current_app, has_app_context, has_request_context

from adjourn.clock import in_utc
from adjourn.execution.attempt import Attempt
from adjourn.execution.delivery import AppEngine, Delivery, Outcome, UserRequest, UserResponse
from adjourn.log import bound, execution_fields, trace_fields
from adjourn.requests.gate import RequestBody
from adjourn.requests.slow_reads import shut
from adjourn.serialization.context import TRACEPARENT, propagating

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
    Outcome.TOO_LONG: 413,
    Outcome.BROKEN: 400,
    Outcome.SLOW: 408,
}

_LONGEST_COUNT = 9
_LONGEST_NAME = 500  # of a task; that of a queue, which dead letters keep, has 100 characters
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
        return _answer(receive(_delivery(request)))

    _close_until_read()
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


def _close_until_read() -> None:
    """Close the bodies of all requests to the server that this function is made for.

    functions-framework loads functions within the context of its application, which answers some
    paths without them.
    """
    if has_app_context() and not has_request_context():
        application = current_app.wsgi_app
        if not isinstance(application, ClosedUntilRead):
            current_app.wsgi_app = ClosedUntilRead(application)  # type: ignore[method-assign]


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


def _read(request: Request) -> Callable[[], bytes]:
    """Return what reads the body."""
    body = request.environ["wsgi.input"]
    return (body if isinstance(body, RequestBody) else RequestBody(request.environ)).read_whole


def _asked(request: Request) -> UserRequest:
    is_list = request.path == _LIST
    return UserRequest(
        authorization=_authorization(request),
        method=request.method,
        key=None if is_list else request.path.removeprefix(_EXECUTE),
        content_type=request.mimetype,
        has_body=request.environ.get("CONTENT_LENGTH") not in {None, "", "0"}
        or "HTTP_TRANSFER_ENCODING" in request.environ,
        read_body=_read(request),
    )


def _authorization(request: Request) -> list[str]:
    # If both are sent, Cloud Run checks only the second, and the first may hold anything.
    return [
        request.environ[name]
        for name in ("HTTP_AUTHORIZATION", "HTTP_X_SERVERLESS_AUTHORIZATION")
        if name in request.environ
    ]


def _delivery(request: Request) -> Delivery:
    """Return the delivery in a request.

    Headers are read from the WSGI environment (PEP 3333), which joins repeated ones with commas:
    the framework's own mapping takes ten times as long.
    """
    header = request.environ.get
    return Delivery(
        authorization=_authorization(request),
        body=b"",
        read_body=_read(request),
        path=request.path,
        queue=header("HTTP_X_CLOUDTASKS_QUEUENAME", "")[:_LONGEST_NAME],
        task_name=header("HTTP_X_CLOUDTASKS_TASKNAME", "")[:_LONGEST_NAME],
        attempt=Attempt(
            retry_count=_number(header("HTTP_X_CLOUDTASKS_TASKRETRYCOUNT", "")),
            execution_count=_number(header("HTTP_X_CLOUDTASKS_TASKEXECUTIONCOUNT", "")),
        ),
        scheduled=_time(header("HTTP_X_CLOUDSCHEDULER_SCHEDULETIME", "")),
        app_engine=AppEngine(
            # App Engine forwards requests through a proxy.
            address=header("HTTP_X_APPENGINE_USER_IP") or header("REMOTE_ADDR", ""),
            is_cron=header("HTTP_X_APPENGINE_CRON") == "true",
            queue=header("HTTP_X_APPENGINE_QUEUENAME", "")[:_LONGEST_NAME],
            task_name=header("HTTP_X_APPENGINE_TASKNAME", "")[:_LONGEST_NAME],
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


class ClosedUntilRead:
    """A WSGI application whose requests' bodies are closed until it reads them as a whole.

    If it does not, the connection ends with the answer, so that nobody has to read the body in
    order to find the next request.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request."""
        body = environ["wsgi.input"] = RequestBody(environ)
        environ["wsgi.input_terminated"] = True
        answer = self._application(environ, start_response)
        if body.is_read:
            return answer
        # gunicorn ignores the header Connection of applications, and has this for its own use.
        force_close = getattr(getattr(start_response, "__self__", None), "force_close", None)
        if force_close is not None:
            force_close()
        return _Last(answer, environ.get("gunicorn.socket"))


class _Last:
    """The last answer on a connection; once it is sent, nothing more is waited for.

    gunicorn waits two seconds for a connection to be closed by the other side, in the thread that
    accepts connections, unless it knows that nothing will come.
    """

    def __init__(self, answer: Iterable[bytes], connection: socket.socket | None) -> None:
        self._answer = answer
        self._connection = connection

    def __iter__(self) -> Any:
        return iter(self._answer)

    def close(self) -> None:
        """Close the application's answer, as PEP 3333 wants it."""
        close = getattr(self._answer, "close", None)
        if close is not None:
            close()
        if self._connection is not None:
            shut(self._connection)

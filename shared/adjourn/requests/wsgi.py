"""Answer deliveries without a web framework, which would take longer for it than all else.

A function is an application of functions-framework, and so of Flask. What is delivered to it needs
neither routes nor contexts, so `DeliveriesFirst` answers that before the framework sees it. It goes
by the WSGI environment alone (PEP 3333), in which repeated headers are joined with commas.
"""

from __future__ import annotations

import datetime as dt
import random
import socket
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, NamedTuple, TypeAlias, TypeVar

from adjourn.clock import in_utc
from adjourn.execution.attempt import Attempt
from adjourn.execution.delivery import AppEngine, Delivery, Outcome
from adjourn.log import bound, execution_fields, trace_fields
from adjourn.requests.gate import RequestBody
from adjourn.requests.slow_reads import shut
from adjourn.serialization.context import TRACEPARENT, propagating

T = TypeVar("T")
Environ: TypeAlias = dict[str, Any]
Application: TypeAlias = Callable[[Environ, Any], Iterable[bytes]]

# A 4xx other than 429 counts as an execution and does not slow the queue down; 503 does.
STATUS = {
    Outcome.DONE: 204,
    Outcome.DROPPED: 204,
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

_EXECUTION_ID = "HTTP_FUNCTION_EXECUTION_ID"
_LONGEST_COUNT = 9
_LONGEST_NAME = 500  # of a task; that of a queue, which dead letters keep, has 100 characters
_YEARS = (1970, 9000)  # times outside of these could not be computed with


class Answer(NamedTuple):
    """What a delivery is answered: a status, and a text unless the status says all."""

    status: int
    text: str

    @classmethod
    def to(cls, outcome: Outcome) -> Answer:
        """Return the answer that tells an outcome."""
        return _ANSWERS[outcome]


_ANSWERS = {
    outcome: Answer(status, "" if status == HTTPStatus.NO_CONTENT else f"{outcome.name.lower()}\n")
    for outcome, status in STATUS.items()
}
_STATUS_LINES = {s: f"{s} {HTTPStatus(s).phrase}" for s in STATUS.values()}
_TEXT = ("Content-Type", "text/plain; charset=utf-8")

Deliver: TypeAlias = Callable[[Environ], Answer]


def delivering(receive: Callable[[Delivery], Outcome], project: str) -> Deliver:
    """Return what answers a delivery, given its environment.

    Args:
        receive: Receives the deliveries of services.
        project: The Google Cloud project of the traces.
    """
    return traced(lambda environ: Answer.to(receive(delivery_in(environ))), project)


def traced(respond: Callable[[Environ], T], project: str) -> Callable[[Environ], T]:
    """Attach what is logged and enqueued during a request to its trace and its execution."""

    def within(environ: Environ) -> T:
        traceparent = environ.get("HTTP_TRACEPARENT", "")
        context = {TRACEPARENT: traceparent} if traceparent else {}
        execution = execution_fields(environ.get(_EXECUTION_ID))
        with bound(**trace_fields(project, traceparent), **execution), propagating(context):
            return respond(environ)

    return within


def is_delivery(environ: Environ) -> bool:
    """Whether a request has the method of a delivery; App Engine's cron can only send GET."""
    method = environ["REQUEST_METHOD"]
    return method == "POST" or (method == "GET" and environ.get("HTTP_X_APPENGINE_CRON") == "true")


def delivery_in(environ: Environ) -> Delivery:
    """Return the delivery in a request; its body is still to be read."""
    header = environ.get
    return Delivery(
        authorization=authorization(environ),
        body=b"",
        read_body=body_of(environ).read_whole,
        path=path_of(environ),
        queue=header("HTTP_X_CLOUDTASKS_QUEUENAME", "")[:_LONGEST_NAME],
        task_name=header("HTTP_X_CLOUDTASKS_TASKNAME", "")[:_LONGEST_NAME],
        attempt=Attempt(
            _number(header("HTTP_X_CLOUDTASKS_TASKRETRYCOUNT", "")),
            _number(header("HTTP_X_CLOUDTASKS_TASKEXECUTIONCOUNT", "")),
        ),
        scheduled=_time(header("HTTP_X_CLOUDSCHEDULER_SCHEDULETIME", "")),
        app_engine=_app_engine(environ),
    )


def _app_engine(environ: Environ) -> AppEngine:
    header = environ.get
    # App Engine forwards requests through a proxy.
    address = header("HTTP_X_APPENGINE_USER_IP") or header("REMOTE_ADDR", "")
    is_cron = header("HTTP_X_APPENGINE_CRON") == "true"
    queue = header("HTTP_X_APPENGINE_QUEUENAME", "")[:_LONGEST_NAME]
    if not queue:
        return AppEngine(address, is_cron)
    attempt = Attempt(
        _number(header("HTTP_X_APPENGINE_TASKRETRYCOUNT", "")),
        _number(header("HTTP_X_APPENGINE_TASKEXECUTIONCOUNT", "")),
    )
    task_name = header("HTTP_X_APPENGINE_TASKNAME", "")[:_LONGEST_NAME]
    return AppEngine(address, is_cron, queue, task_name, attempt)


def path_of(environ: Environ) -> str:
    """Return the path of a request, with a single slash before it."""
    path: str = environ.get("PATH_INFO", "")
    if not path.isascii():  # by PEP 3333, its bytes are passed as characters of Latin 1
        path = path.encode("latin-1").decode(errors="replace")
    return f"/{path.lstrip('/')}"


def body_of(environ: Environ) -> RequestBody:
    """Return the body of a request, which is closed already if `DeliveriesFirst` has closed it."""
    body = environ["wsgi.input"]
    return body if isinstance(body, RequestBody) else RequestBody(environ)


def authorization(environ: Environ) -> list[str]:
    """Return the Authorization headers of a request.

    If both are sent, Cloud Run checks only the second, and the first may hold anything.
    """
    names = ("HTTP_AUTHORIZATION", "HTTP_X_SERVERLESS_AUTHORIZATION")
    return [environ[name] for name in names if name in environ]


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


def identify(environ: Environ) -> None:
    """Give a request an execution id if it has none, as functions-framework does."""
    if not environ.get(_EXECUTION_ID):
        environ[_EXECUTION_ID] = f"{random.getrandbits(48):012x}"


def with_closed_body(
    application: Application, environ: Environ, start_response: Any
) -> Iterable[bytes]:
    """Return an application's answer to a request whose body is closed until it is read as a whole.

    If it is not, the connection ends with the answer, so that nobody has to read the body in order
    to find the next request.
    """
    body = environ["wsgi.input"] = RequestBody(environ)
    environ["wsgi.input_terminated"] = True
    answer = application(environ, start_response)
    if body.is_read:
        return answer
    # gunicorn ignores the header Connection of applications, and has this for its own use.
    force_close = getattr(getattr(start_response, "__self__", None), "force_close", None)
    if force_close is not None:
        force_close()
    return _Last(answer, environ.get("gunicorn.socket"))


class DeliveriesFirst:
    """A WSGI application that answers deliveries, and leaves all other requests to another one.

    Bodies are closed; see `with_closed_body`.

    Attributes:
        known: Of functions that the application may call, what answers deliveries in their place.
    """

    def __init__(self, application: Application, find: Callable[[], object] = lambda: None) -> None:
        """Wrap an application.

        Args:
            application: Answers all other requests.
            find: Returns the function that the application calls. It is asked at the first request,
                when all is in place. The application answers deliveries if it is none of `known`.
        """
        self.known: dict[object, Deliver] = {}
        self._application = application
        self._find = find
        self._deliver: Deliver | None = None
        self._is_found = False

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Answer a request."""
        return with_closed_body(self._answer, environ, start_response)

    def _answer(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        if not self._is_found:
            self._deliver, self._is_found = self.known.get(self._find()), True
        deliver = self._deliver
        if deliver is None or environ["REQUEST_METHOD"] != "POST" or not _is_plain(environ):
            return self._application(environ, start_response)
        identify(environ)
        status, text = deliver(environ)
        content = text.encode()
        headers = [_TEXT, ("Content-Length", str(len(content)))] if content else []
        start_response(_STATUS_LINES[status], headers)
        return [content]


def _is_plain(environ: Environ) -> bool:
    """Whether a path is one of tasks and is the same to each framework."""
    path = environ["PATH_INFO"]
    is_one = path.isascii() and path.startswith("/") and "//" not in path
    return is_one and not is_for_people(path)


# The paths for people; tasks are never delivered there (see `adjourn.gcp.cloudtasks`).
LIST = "/list"
EXECUTE = "/execute/"


def is_for_people(path: str) -> bool:
    """Whether a path is one for people."""
    return path == LIST or path.startswith(EXECUTE)


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

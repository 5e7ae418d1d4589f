"""The functions under Flask: what people ask, and deliveries where Flask has a part in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flask import (
    Flask,
    Request,
    Response,
    current_app,
    has_app_context,
    has_request_context,
    request_finished,
    request_started,
)

from adjourn.execution.delivery import Delivery, Outcome, UserRequest, UserResponse
from adjourn.requests.wsgi import (
    EXECUTE,
    LIST,
    Deliver,
    DeliveriesFirst,
    Environ,
    authorization,
    body_of,
    delivering,
    is_delivery,
    is_for_people,
    path_of,
    traced,
)

_FRAMEWORK = "functions_framework"


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
    deliver = delivering(receive, project)
    ask = traced(lambda environ: people(_asked(environ)), project) if people else None

    def respond(request: Request) -> Response:
        environ = request.environ
        if ask and is_for_people(path_of(environ)):
            return _reply(ask(environ))
        if not is_delivery(environ):
            return _text(405, "use POST\n", Allow="POST")
        return _text(*deliver(environ))

    _answer_first(respond, deliver)
    return respond


def person(
    people: Callable[[UserRequest], UserResponse], project: str, key: str | None
) -> Callable[[Request], Response]:
    """Return an HTTP function that answers a person about one callable task, at any URL.

    Args:
        people: Answers requests of people.
        project: The Google Cloud project of the traces.
        key: The task to start; None to list the tasks.
    """
    ask = traced(lambda environ: people(_asked(environ)._replace(key=key)), project)
    return lambda request: _reply(ask(request.environ))


def _answer_first(respond: Callable[[Request], Response], deliver: Deliver) -> None:
    """Let the server for which a function is made answer deliveries without Flask.

    functions-framework loads functions within the context of its application. Its function may be
    another one of the same file, so it is asked when all of it is loaded.
    """
    if not has_app_context() or has_request_context():
        return
    flask: Flask = current_app._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - Flask's own way
    first = flask.wsgi_app
    if not isinstance(first, DeliveriesFirst):
        first = DeliveriesFirst(first, lambda: _function_of(flask))
        flask.wsgi_app = first  # type: ignore[method-assign]
    first.known[respond] = deliver


def _function_of(flask: Flask) -> object:
    """Return the function that an application of functions-framework calls for all requests.

    None if others take part in its requests, such as extensions of Flask that trace them.
    """
    hooks = (
        flask.before_request_funcs,
        flask.after_request_funcs,
        flask.teardown_request_funcs,
        flask.url_value_preprocessors,
    )
    called = [each for hook in hooks for functions in hook.values() for each in functions]
    is_heard = request_started.receivers or request_finished.receivers
    view: Any = flask.view_functions.get("run")
    while _is_frameworks(view):
        view = getattr(view, "__wrapped__", None)
    return None if is_heard or not all(map(_is_frameworks, called)) else view


def _is_frameworks(function: Any) -> bool:
    # Not its __module__, which what it wraps has given to it.
    module = getattr(function, "__globals__", {}).get("__name__", "")
    return bool(module.partition(".")[0] == _FRAMEWORK)


def _text(status: int, text: str, **headers: str) -> Response:
    return Response(text, status=status, headers=headers, mimetype="text/plain")


def _reply(reply: UserResponse) -> Response:
    headers = {**reply.headers, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    body = f"{json.dumps(reply.content)}\n"
    return Response(body, status=reply.status, headers=headers, mimetype="application/json")


def _asked(environ: Environ) -> UserRequest:
    path = path_of(environ)
    return UserRequest(
        authorization=authorization(environ),
        method=environ["REQUEST_METHOD"],
        key=None if path == LIST else path.removeprefix(EXECUTE),
        content_type=Request(environ).mimetype,
        has_body=environ.get("CONTENT_LENGTH") not in {None, "", "0"}
        or "HTTP_TRANSFER_ENCODING" in environ,
        read_body=body_of(environ).read_whole,
    )

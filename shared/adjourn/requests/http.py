"""The functions under Flask: what people ask, and deliveries where Flask has a part in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
from flask import (
    Flask,
    Request,
    current_app,
    has_app_context,
    has_request_context,
    request_finished,
    request_started,
)

from adjourn.execution.delivery import Delivery, Outcome
from adjourn.requests.responses import People, Response, asking, responding
from adjourn.requests.wsgi import Deliver, DeliveriesFirst, delivering

_FRAMEWORK = "functions_framework"


def function(
    receive: Callable[[Delivery], Outcome], project: str, people: People | None = None
) -> Callable[[Request], flask.Response]:
    """Return an HTTP function for functions-framework that hands deliveries to a receiver.

    Args:
        receive: Receives the deliveries of services.
        project: The Google Cloud project of the traces.
        people: Answers requests of people; None if this function has no paths for them.
    """
    respond_to = responding(receive, project, people)

    def respond(request: Request) -> flask.Response:
        return _flask(respond_to(request.environ))

    _answer_first(respond, delivering(receive, project))
    return respond


def person(people: People, project: str, key: str | None) -> Callable[[Request], flask.Response]:
    """Return an HTTP function that answers a person about one callable task, at any URL.

    Args:
        people: Answers requests of people.
        project: The Google Cloud project of the traces.
        key: The task to start; None to list the tasks.
    """
    ask = asking(people, project, lambda asked: asked._replace(key=key))
    return lambda request: _flask(ask(request.environ))


def _answer_first(respond: Callable[[Request], flask.Response], deliver: Deliver) -> None:
    """Let the server for which a function is made answer deliveries without Flask.

    functions-framework loads functions within the context of its application. Its function may be
    another one of the same file, so it is asked when all of it is loaded.
    """
    if not has_app_context() or has_request_context():
        return
    server: Flask = current_app._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - Flask's own way
    first = server.wsgi_app
    if not isinstance(first, DeliveriesFirst):
        first = DeliveriesFirst(first, lambda: _function_of(server))
        server.wsgi_app = first  # type: ignore[method-assign]
    first.known[respond] = deliver


def _function_of(server: Flask) -> object:
    """Return the function that an application of functions-framework calls for all requests.

    None if others take part in its requests, such as extensions of Flask that trace them.
    """
    hooks = (
        server.before_request_funcs,
        server.after_request_funcs,
        server.teardown_request_funcs,
        server.url_value_preprocessors,
    )
    called = [each for hook in hooks for functions in hook.values() for each in functions]
    is_heard = request_started.receivers or request_finished.receivers
    view: Any = server.view_functions.get("run")
    while _is_frameworks(view):
        view = getattr(view, "__wrapped__", None)
    return None if is_heard or not all(map(_is_frameworks, called)) else view


def _is_frameworks(function: Any) -> bool:
    # Not its __module__, which what it wraps has given to it.
    module = getattr(function, "__globals__", {}).get("__name__", "")
    return bool(module.partition(".")[0] == _FRAMEWORK)


def _flask(response: Response) -> flask.Response:
    return flask.Response(response.body, status=response.status, headers=response.headers)

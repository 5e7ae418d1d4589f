"""What a function responds to any request: a delivery, a question of a person, or neither.

It goes by the WSGI environment alone, so that all servers and frameworks respond the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple, TypeAlias

from adjourn.execution.delivery import Delivery, Outcome, UserRequest, UserResponse
from adjourn.requests.wsgi import (
    EXECUTE,
    LIST,
    Environ,
    authorization,
    body_of,
    delivering,
    is_delivery,
    is_for_people,
    path_of,
    traced,
)

People: TypeAlias = Callable[[UserRequest], UserResponse]


class Response(NamedTuple):
    """The response to a request: status, headers and body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def responding(
    receive: Callable[[Delivery], Outcome], project: str, people: People | None = None
) -> Callable[[Environ], Response]:
    """Return what responds to all requests to a function, given their environment.

    Args:
        receive: Receives the deliveries of services.
        project: The Google Cloud project of the traces.
        people: Answers requests of people; None if this function has no paths for them.
    """
    deliver = delivering(receive, project)
    ask = asking(people, project) if people else None

    def respond(environ: Environ) -> Response:
        if ask and is_for_people(path_of(environ)):
            return ask(environ)
        if not is_delivery(environ):
            return text(405, "use POST\n", Allow="POST")
        return text(*deliver(environ))

    return respond


def asking(
    people: People,
    project: str,
    replace: Callable[[UserRequest], UserRequest] = lambda asked: asked,
) -> Callable[[Environ], Response]:
    """Return what responds to requests of people.

    Args:
        people: Answers them.
        project: The Google Cloud project of the traces.
        replace: Returns the request that is answered in the place of the one that was made.
    """
    return traced(lambda environ: _json(people(replace(_asked(environ)))), project)


def text(status: int, content: str, **headers: str) -> Response:
    """Return a response with a text."""
    kind = [("Content-Type", "text/plain; charset=utf-8")] if content else []
    return _sized(status, [*kind, *headers.items()], content.encode())


def _json(reply: UserResponse) -> Response:
    headers = {
        "Content-Type": "application/json",
        **reply.headers,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return _sized(reply.status, [*headers.items()], f"{json.dumps(reply.content)}\n".encode())


def _sized(status: int, headers: list[tuple[str, str]], body: bytes) -> Response:
    if status != HTTPStatus.NO_CONTENT:
        headers.append(("Content-Length", str(len(body))))
    return Response(status, headers, body)


def _asked(environ: Environ) -> UserRequest:
    path = path_of(environ)
    return UserRequest(
        authorization=authorization(environ),
        method=environ["REQUEST_METHOD"],
        key=None if path == LIST else path.removeprefix(EXECUTE),
        content_type=environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower(),
        has_body=environ.get("CONTENT_LENGTH") not in {None, "", "0"}
        or "HTTP_TRANSFER_ENCODING" in environ,
        read_body=body_of(environ).read_whole,
    )

"""The gate of the stack in front of a function, which verifies its callers itself as well."""

from collections.abc import Callable, Collection, Iterable
from http import HTTPStatus
from typing import Any

import functions_framework

from adjourn_local.http.gate import RequestHead, refusal

Application = Callable[[dict[str, Any], Callable[..., object]], Iterable[bytes]]


def guard(allowed_hosts: Collection[str]) -> None:
    """Put the gate in front of the function that functions-framework creates in this process."""
    create: Any = functions_framework.create_app

    def create_app(*arguments: Any, **options: Any) -> Any:
        application = create(*arguments, **options)
        application.wsgi_app = guarded(application.wsgi_app, allowed_hosts)
        return application

    functions_framework.create_app = create_app


def guarded(application: Application, allowed_hosts: Collection[str]) -> Application:
    """Return a WSGI application that refuses requests as the gate does, whatever their body is."""

    def respond(environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
        head = RequestHead(
            host=environ.get("HTTP_HOST", ""),
            origin=environ.get("HTTP_ORIGIN", ""),
            site=environ.get("HTTP_SEC_FETCH_SITE", ""),
            content_type=None,
        )
        refused = refusal(head, allowed_hosts)
        if refused is None:
            return application(environ, start)
        status = HTTPStatus(refused.status)
        start(f"{status.value} {status.phrase}", [("Content-Type", "text/plain")])
        return [f"{refused.text}\n".encode(errors="replace")]

    return respond

"""App Engine services: the hosts of their targets, and their local addresses."""

from collections.abc import Mapping
from typing import Any

import grpc

from adjourn_local.http.rpc import RpcError

# The base URL of each App Engine service, by its name.
Services = Mapping[str, str]

USER_AGENT = "AppEngine-Google; (+http://code.google.com/appengine)"
# Where App Engine says that its tasks and cron jobs come from; it strips the header from all other
# requests (https://cloud.google.com/appengine/docs/standard/services/access).
ADDRESS = ("X-AppEngine-User-IP", "0.1.0.2")

_DEFAULT_SERVICE = "default"


def set_host(routing: Any, project: str) -> None:
    """Set the output-only field `AppEngineRouting.host`."""
    parts = (routing.instance, routing.version, routing.service, f"{project}.appspot.com")
    routing.host = ".".join(part for part in parts if part)


def address(services: Services, routing: Any) -> str:
    """Return the base URL of the service that a routing names; version and instance are ignored.

    Raises:
        RpcError: FAILED_PRECONDITION, if no URL is configured for the service.
    """
    service = routing.service or _DEFAULT_SERVICE
    if service not in services:
        raise RpcError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f'No URL is configured for the App Engine service "{service}"; start the stack with '
            f"--app-engine {service}=http://127.0.0.1:PORT.",
        )
    return services[service].rstrip("/")

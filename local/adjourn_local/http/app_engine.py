"""App Engine services: how their targets are named, and where they are locally."""

from collections.abc import Mapping
from typing import Any

import grpc

from adjourn_local.http.rpc import RpcError

# Where App Engine services are reached, by the name of the service.
Services = Mapping[str, str]

USER_AGENT = "AppEngine-Google; (+http://code.google.com/appengine)"
# Where App Engine says that its tasks and cron jobs come from; it strips the header from all other
# requests (https://cloud.google.com/appengine/docs/standard/services/access).
ADDRESS = ("X-AppEngine-User-IP", "0.1.0.2")

_DEFAULT_SERVICE = "default"


def set_host(routing: Any, project: str) -> None:
    """Set the host that a routing leads to, which is output only (`AppEngineRouting.host`)."""
    parts = (routing.instance, routing.version, routing.service, f"{project}.appspot.com")
    routing.host = ".".join(part for part in parts if part)


def address(services: Services, routing: Any) -> str:
    """Return the base URL of the service that a routing names, whatever version and instance.

    Raises:
        RpcError: FAILED_PRECONDITION, if none is known.
    """
    service = routing.service or _DEFAULT_SERVICE
    if service not in services:
        raise RpcError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f'It is not known where the App Engine service "{service}" is: start the stack with '
            f"--app-engine {service}=http://127.0.0.1:PORT.",
        )
    return services[service].rstrip("/")

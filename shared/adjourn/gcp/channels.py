"""gRPC channels to Google's services and to local servers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from adjourn.settings import LOOPBACK

if TYPE_CHECKING:
    import grpc

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# What changes the address or needs certificates of the caller, by which Google's clients go.
_UNUSUAL = (
    "GOOGLE_API_CERTIFICATE_CONFIG",
    "GOOGLE_API_USE_CLIENT_CERTIFICATE",
    "GOOGLE_API_USE_MTLS_ENDPOINT",
    "GOOGLE_CLOUD_UNIVERSE_DOMAIN",
)


def local_channel(host: str) -> grpc.Channel:
    """Return a channel to a local server at `host:port`; no proxy leads back to this machine."""
    import grpc

    is_here = host.rpartition(":")[0].strip("[]") in LOOPBACK
    return grpc.insecure_channel(host, options=[("grpc.enable_http_proxy", int(not is_here))])


def google_channel(host: str) -> grpc.Channel | None:
    """Return a channel to a service of Google with the application default credentials.

    None if the environment asks for more than that, which Google's own clients know to do.

    Raises:
        google.auth.exceptions.GoogleAuthError: There are no credentials.
    """
    if any(name in os.environ for name in _UNUSUAL):
        return None
    import google.auth
    from google.auth.transport.grpc import secure_authorized_channel
    from google.auth.transport.requests import Request

    request = Request()
    credentials, _ = google.auth.default(scopes=[_SCOPE], request=request)
    if getattr(credentials, "universe_domain", "googleapis.com") != "googleapis.com":
        return None
    channel: grpc.Channel = secure_authorized_channel(credentials, request, f"{host}:443")
    return channel

"""Queue-level HTTP targets, which override the request of every HTTP task in a queue."""

from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from google.cloud.tasks_v2.types import target as target_types

from adjourn_local.http.resource_names import invalid
from adjourn_local.tasks.limits import (
    MAX_URL,
    POST,
    WITH_BODY,
    check_header_size,
    check_headers,
    check_method,
)

_MAX_PORT = 65535
_HTTP = int(target_types.UriOverride.Scheme.HTTP)
_IF_NOT_EXISTS = int(target_types.UriOverride.UriOverrideEnforceMode.IF_NOT_EXISTS)
_HttpRequest: Any = target_types.HttpRequest.pb()


def check_target(target: Any) -> None:
    """Refuse an invalid HttpTarget of a queue.

    Raises:
        RpcError: INVALID_ARGUMENT.
    """
    oidc, oauth = target.oidc_token, target.oauth_token
    if target.HasField("oidc_token") and not (oidc.service_account_email and oidc.audience):
        raise invalid("HttpTarget.oidcToken needs both serviceAccountEmail and audience.")
    if target.HasField("oauth_token") and not (oauth.service_account_email and oauth.scope):
        raise invalid("HttpTarget.oauthToken needs both serviceAccountEmail and scope.")
    check_method("HttpTarget", target.http_method)
    headers = [(one.header.key, one.header.value) for one in target.header_overrides]
    check_header_size("HttpTarget", check_headers("HttpTarget", headers))
    _check_uri(target.uri_override)


def overridden(request: Any, target: Any) -> Any:
    """Apply a queue's HttpTarget to a task's HttpRequest, and return a new request."""
    result = _HttpRequest()
    result.CopyFrom(request)
    result.url = overridden_url(request.url, target.uri_override)
    if target.http_method:
        result.http_method = target.http_method
    if (result.http_method or POST) not in WITH_BODY:
        result.ClearField("body")
    for one in target.header_overrides:
        for name in [name for name in result.headers if name.lower() == one.header.key.lower()]:
            del result.headers[name]
        result.headers[one.header.key] = one.header.value
    if target.HasField("oidc_token"):
        result.oidc_token.CopyFrom(target.oidc_token)
    elif target.HasField("oauth_token"):
        result.oauth_token.CopyFrom(target.oauth_token)
    return result


def overridden_url(url: str, override: Any) -> str:
    """Apply a UriOverride to a URL, which may be empty.

    Raises:
        ValueError: The URL is malformed.
    """
    parts = urlsplit(url)
    always = override.uri_override_enforce_mode != _IF_NOT_EXISTS
    if override.HasField("scheme") and (always or not parts.scheme):
        parts = parts._replace(scheme="http" if override.scheme == _HTTP else "https")
    parts = parts._replace(scheme=parts.scheme or "https", netloc=_host(parts, override, always))
    if override.HasField("path_override") and (always or not parts.path):
        path = override.path_override.path
        parts = parts._replace(path=path if path.startswith("/") or not path else f"/{path}")
    if override.HasField("query_override") and (always or not parts.query):
        parts = parts._replace(query=override.query_override.query_params)
    return urlunsplit(parts)


def _host(parts: SplitResult, override: Any, always: bool) -> str:  # noqa: FBT001 - a mode
    user, at, address = parts.netloc.rpartition("@")
    host, port = address, ""
    if parts.port is not None:
        host, _, port = address.rpartition(":")
    if override.HasField("host") and (always or not host):
        host = override.host
    if override.HasField("port") and (always or not port):
        port = str(override.port or "")
    return f"{user}{at}{host}:{port}" if port else f"{user}{at}{host}"


def _check_uri(override: Any) -> None:
    if override.HasField("host") and not override.host:
        raise invalid("UriOverride.host cannot be an empty string.")
    if not 0 <= override.port <= _MAX_PORT:
        raise invalid("UriOverride.port must be a positive integer, or 0 for none.")
    if len(override.path_override.path) + len(override.query_override.query_params) > MAX_URL:
        raise invalid(f"UriOverride must be at most {MAX_URL} characters.")

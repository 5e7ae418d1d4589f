"""Targets of jobs: checks and defaults.

Limits are those of `google.cloud.scheduler_v1.types.target` and, for deadlines, `.job`.
"""

import datetime as dt
import re
from typing import Any
from urllib.parse import urlsplit

from google.cloud.scheduler_v1.types import HttpMethod

from adjourn_local.http.app_engine_services import set_host
from adjourn_local.http.resource_names import invalid

_MAX_URI = 2083
_MAX_HEADERS = 80 * 1024
_DEADLINE = dt.timedelta(minutes=3)
_LONGEST_DEADLINE = dt.timedelta(minutes=30)
# For a standard application with automatic scaling; others have more.
_APP_ENGINE_DEADLINE = dt.timedelta(minutes=10)
_LONGEST_APP_ENGINE_DEADLINE = dt.timedelta(hours=24, seconds=15)
_SHORTEST_DEADLINE = dt.timedelta(seconds=15)

_METHODS: Any = HttpMethod
_NAMES = {int(method): method.name for method in _METHODS}
_WITH_BODY = ("PATCH", "POST", "PUT")
_NOT_OF_APP_ENGINE = ("OPTIONS", "PATCH")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")


def complete(job: Any) -> None:
    """Set the defaults and output-only fields of a job's target."""
    is_app_engine = job.HasField("app_engine_http_target")
    if is_app_engine:
        target = job.app_engine_http_target
        target.http_method = target.http_method or HttpMethod.POST
        target.relative_uri = target.relative_uri or "/"
        set_host(target.app_engine_routing, job.name.split("/")[1])
    elif job.HasField("http_target"):
        job.http_target.http_method = job.http_target.http_method or HttpMethod.POST
    is_unset = not job.HasField("attempt_deadline")
    if is_unset or (is_app_engine and not job.attempt_deadline.ToTimedelta()):
        job.attempt_deadline.FromTimedelta(_APP_ENGINE_DEADLINE if is_app_engine else _DEADLINE)


def check(job: Any) -> None:
    """Refuse an invalid target.

    Raises:
        RpcError: INVALID_ARGUMENT.
    """
    kind = job.WhichOneof("target")
    if kind == "http_target":
        _check_http(job.http_target)
        _check_deadline(job, _LONGEST_DEADLINE, "30 minutes")
    elif kind == "app_engine_http_target":
        _check_app_engine(job.app_engine_http_target)
        _check_deadline(job, _LONGEST_APP_ENGINE_DEADLINE, "24 hours and 15 seconds")
    elif kind is None:
        raise invalid("The job must have a target.")
    else:
        raise invalid(
            f"The target {kind} is not supported by the laptop stack; use http_target or "
            "app_engine_http_target."
        )


def _check_http(target: Any) -> None:
    _check_uri(target.uri)
    _check_headers(target.headers)
    _check_method(target)
    for field, called in (("oidc_token", "OIDC"), ("oauth_token", "OAuth")):
        token = getattr(target, field)
        if target.HasField(field) and "@" not in token.service_account_email:
            raise invalid(
                f"The service account email of the {called} token is missing or malformed."
            )


def _check_app_engine(target: Any) -> None:
    uri = target.relative_uri
    if not uri.startswith("/") or " " in uri or len(uri) > _MAX_URI:
        raise invalid(
            'The relative URI must begin with "/" and have no spaces and at most '
            f"{_MAX_URI} characters."
        )
    _check_headers(target.headers)
    _check_method(target, _NOT_OF_APP_ENGINE)


def _check_deadline(job: Any, longest: dt.timedelta, called: str) -> None:
    if not _SHORTEST_DEADLINE <= job.attempt_deadline.ToTimedelta() <= longest:
        raise invalid(f"The attempt deadline must be between 15 seconds and {called}.")


def _check_method(target: Any, refused: tuple[str, ...] = ()) -> None:
    name = _NAMES.get(target.http_method, "")
    if not name or name in refused:
        raise invalid(f"HTTP method {name or target.http_method} is unknown or not permitted here.")
    with_body = [each for each in _WITH_BODY if each not in refused]
    if target.body and name not in with_body:
        raise invalid(f"A body is allowed only if the HTTP method is {' or '.join(with_body)}.")


def _check_uri(uri: str) -> None:
    try:
        parts = urlsplit(uri)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise invalid('The URI must be valid and begin with either "http://" or "https://".')
    if len(uri) > _MAX_URI:
        raise invalid(f"The URI must not exceed {_MAX_URI} characters.")


def _check_headers(headers: Any) -> None:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise invalid(f"The header {name!r} is malformed.")
    if sum(len(n.encode()) + len(v.encode()) for n, v in headers.items()) >= _MAX_HEADERS:
        raise invalid("The headers must be smaller than 80 KB.")

"""Tasks as CreateTask takes them and as responses show them: checks, defaults and views."""

from typing import Any
from urllib.parse import quote

from google.cloud.tasks_v2.types import task as task_types

from adjourn_local.http.resource_names import invalid
from adjourn_local.tasks import app_engine_target
from adjourn_local.tasks.limits import (
    MAX_URL,
    POST,
    WITH_BODY,
    check_header_size,
    check_headers,
    check_method,
)
from adjourn_local.tasks.queue_definition import check_retry
from adjourn_local.tasks.task_names import project_of
from adjourn_local.timing.clocks import pacific
from adjourn_local.timing.timestamps import DAY, SECOND, instant, read, write

# Measured: 1 MiB less 7 bytes, of the serialized task.
MAX_TASK_BYTES = 1_048_569

USER_AGENT = "Google-Cloud-Tasks"

# The characters that a URL may contain; UTF-8 and escaping turn one character into at most twelve.
_AS_IT_IS = "-._~:/?#[]@!$&'()*+,;=%"
_LONGEST_ESCAPE = 12
_MAX_AHEAD = 30 * DAY
_LAST = 253_402_300_799 * SECOND  # the end of the year 9999
_MIN_DEADLINE = 15 * SECOND
_MAX_DEADLINE = 30 * 60 * SECOND
_MAX_APP_ENGINE_DEADLINE = DAY + 15 * SECOND
_DEFAULT_DEADLINE = 10 * 60 * SECOND
_MILLISECOND = 1000

_BASIC = int(task_types.Task.View.BASIC)
_FULL = int(task_types.Task.View.FULL)

_Task: Any = task_types.Task.pb()


def new_task(wanted: Any, name: str, now: int) -> Any:
    """Check the task of a CreateTask request, and return it with a name and defaults.

    Raises:
        RpcError: INVALID_ARGUMENT.
    """
    task = _Task(name=name)
    if wanted.HasField("app_engine_http_request"):
        _take_app_engine(task, wanted)
    else:
        _take_http(task, wanted)
    if wanted.HasField("retry_config"):
        check_retry(wanted.retry_config)
        task.retry_config.CopyFrom(wanted.retry_config)
        task.retry_config.max_retry_duration.nanos = 0
    write(task.create_time, now - now % SECOND)
    write(task.schedule_time, _schedule_time(wanted, now))
    if task.ByteSize() > MAX_TASK_BYTES:
        raise invalid("Task size too large")  # in these words, which clients look for
    return task


def view(task: Any, wanted: int) -> Any:
    """Return a copy of a task for a response; the view BASIC, the default, omits the body."""
    result = _Task()
    result.CopyFrom(task)
    result.view = _FULL if wanted == _FULL else _BASIC
    if result.view == _BASIC:
        getattr(result, result.WhichOneof("message_type")).ClearField("body")
    return result


def deadline(task: Any) -> float:
    """Return the seconds after which an attempt is given up.

    The default of an App Engine task depends on its service's scaling; here automatic scaling is
    assumed.
    """
    set_ = read(task.dispatch_deadline) if task.HasField("dispatch_deadline") else 0
    return (set_ or _DEFAULT_DEADLINE) / SECOND


def _take_http(task: Any, wanted: Any) -> None:
    if not wanted.HasField("http_request"):
        raise invalid("Task.http_request is required.")
    request = wanted.http_request
    for field, shown in (("oidc_token", "oidcToken"), ("oauth_token", "oauthToken")):
        if request.HasField(field) and not getattr(request, field).service_account_email:
            raise invalid(f"HttpRequest.{shown}.serviceAccountEmail is required.")
    _check_url(request.url)
    check_header_size("HttpRequest", check_headers("HttpRequest", request.headers.items()))
    check_method("HttpRequest", request.http_method)
    if request.body and (request.http_method or POST) not in WITH_BODY:
        raise invalid("HttpRequest.body is allowed only for the methods POST, PUT and PATCH.")
    task.http_request.CopyFrom(request)
    task.http_request.http_method = request.http_method or POST
    _set_user_agent(task.http_request.headers)
    write(task.dispatch_deadline, _checked_deadline(wanted, _MAX_DEADLINE, "30m"))


def _set_user_agent(headers: Any) -> None:
    """Set the User-Agent that will be sent; measured, the service shows it from the start."""
    for name in [name for name in headers if name.lower() == "user-agent"]:
        del headers[name]
    headers["User-Agent"] = USER_AGENT


def _take_app_engine(task: Any, wanted: Any) -> None:
    app_engine_target.check(wanted.app_engine_http_request)
    task.app_engine_http_request.CopyFrom(wanted.app_engine_http_request)
    app_engine_target.complete(task.app_engine_http_request, project_of(task.name))
    if wanted.HasField("dispatch_deadline") and read(wanted.dispatch_deadline):
        checked = _checked_deadline(wanted, _MAX_APP_ENGINE_DEADLINE, "24h15s")
        write(task.dispatch_deadline, checked)


def _check_url(url: str) -> None:
    if not url:
        raise invalid("HttpRequest.url is required.")
    if not url.startswith(("http://", "https://")):
        raise invalid("HttpTarget.url must start with 'http://' or 'https://'.")
    if len(url) * _LONGEST_ESCAPE > MAX_URL and len(quote(url, safe=_AS_IT_IS)) > MAX_URL:
        raise invalid(f"HttpRequest.url must be at most {MAX_URL} characters after encoding.")


def _schedule_time(task: Any, now: int) -> int:
    if not task.HasField("schedule_time"):
        return now
    at = read(task.schedule_time)
    if at - now > _MAX_AHEAD:
        raise invalid(
            f"The Task.scheduleTime, {pacific(instant(min(at, _LAST)))}, is too far in the future. "
            "Schedule time must be no more than 720h in the future."
        )
    return max(at, now)


def _checked_deadline(task: Any, longest: int, shown: str) -> int:
    if not task.HasField("dispatch_deadline"):
        return _DEFAULT_DEADLINE
    wanted = read(task.dispatch_deadline)
    if not _MIN_DEADLINE <= wanted <= longest:
        raise invalid(f"Task.dispatchDeadline must be between [15s, {shown}].")
    return wanted - wanted % _MILLISECOND

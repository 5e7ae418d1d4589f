"""The HTTP request that an attempt sends."""

import datetime as dt
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from google.cloud.scheduler_v1.types import HttpMethod

from adjourn_local.scheduler import names
from adjourn_local.sender import Outgoing, replace_headers

Mint = Callable[[str, str], str]


def build(job: Any, scheduled: dt.datetime, zone: ZoneInfo, mint: Mint) -> Outgoing:
    """Return the request for a job's HTTP target, with the headers that the service sets.

    Source: `google.cloud.scheduler_v1.types.HttpTarget.headers`.
    """
    target = job.http_target
    forced = [
        ("User-Agent", "Google-Cloud-Scheduler"),
        ("X-CloudScheduler", "true"),
        ("X-CloudScheduler-JobName", names.split(job.name)[1]),
        ("X-CloudScheduler-ScheduleTime", rfc3339(scheduled, zone)),
    ]
    if target.body and not any(name.lower() == "content-type" for name in target.headers):
        forced.append(("Content-Type", "application/octet-stream"))
    if target.HasField("oidc_token"):
        token = target.oidc_token
        audience = token.audience or target.uri
        forced.append(("Authorization", f"Bearer {mint(token.service_account_email, audience)}"))
    return Outgoing(
        method=HttpMethod(target.http_method).name,
        url=target.uri,
        headers=replace_headers(
            dict(target.headers), forced, reserved_prefixes=("X-CloudScheduler",)
        ),
        body=target.body,
    )


def rfc3339(at: dt.datetime, zone: ZoneInfo) -> str:
    """Return an instant by the zone's clock, with its offset, which is `Z` if there is none."""
    text = at.astimezone(zone).isoformat(timespec="seconds")
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text

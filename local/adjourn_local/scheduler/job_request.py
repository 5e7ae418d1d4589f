"""Build the HTTP request of an attempt."""

import datetime as dt
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from google.cloud.scheduler_v1.types import HttpMethod

from adjourn.cron.schedule import load_zone
from adjourn_local.http.app_engine_services import ADDRESS, USER_AGENT, Services, address
from adjourn_local.http.sender import Outgoing, replace_headers
from adjourn_local.scheduler.job_names import split_job
from adjourn_local.tokens.bearer import Mint, authorization

_AGENT = "Google-Cloud-Scheduler"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequestBuilder:
    """Builds the request of each attempt.

    Attributes:
        mint: Makes an identity token for an account and an audience.
        services: The base URL of each App Engine service.
    """

    mint: Mint
    services: Services

    async def build(self, job: Any, scheduled: dt.datetime) -> Outgoing:
        """Return the request for a job's target, with the headers that the service sets.

        Source: `google.cloud.scheduler_v1.types.HttpTarget.headers`, and those of
        `AppEngineHttpTarget`.

        Raises:
            RpcError: FAILED_PRECONDITION, if no URL is configured for an App Engine service.
            Exception: Any error of `mint`.
        """
        if job.HasField("app_engine_http_target"):
            target = job.app_engine_http_target
            url = address(self.services, target.app_engine_routing) + target.relative_uri
            own = _app_engine_headers(target)
        else:
            target = job.http_target
            url = target.uri
            own = [("User-Agent", _AGENT), *await authorization(target, url, self.mint)]
        forced = [
            *own,
            ("X-CloudScheduler", "true"),
            ("X-CloudScheduler-JobName", split_job(job.name)[1]),
            ("X-CloudScheduler-ScheduleTime", rfc3339(scheduled, load_zone(job.time_zone))),
        ]
        if target.body and not any(name.lower() == "content-type" for name in target.headers):
            forced.append(("Content-Type", "application/octet-stream"))
        return Outgoing(
            method=HttpMethod(target.http_method).name,
            url=url,
            headers=replace_headers(
                dict(target.headers), forced, reserved_prefixes=("X-CloudScheduler",)
            ),
            body=target.body,
        )


def _app_engine_headers(target: Any) -> list[tuple[str, str]]:
    given = {name.lower(): value for name, value in target.headers.items()}
    agent = f"{given.get('user-agent', '')} {USER_AGENT}".strip()
    # App Engine applications recognize cron requests by this header.
    return [("User-Agent", agent), ADDRESS, ("X-AppEngine-Cron", "true")]


def rfc3339(at: dt.datetime, zone: ZoneInfo) -> str:
    """Format a time in a time zone in RFC 3339; an offset of zero is `Z`."""
    text = at.astimezone(zone).isoformat(timespec="seconds")
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text

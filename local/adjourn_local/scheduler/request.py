"""The HTTP request that an attempt sends."""

import datetime as dt
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from google.cloud.scheduler_v1.types import HttpMethod

from adjourn.cron.schedule import load_zone
from adjourn_local.http.app_engine import ADDRESS, USER_AGENT, Services, address
from adjourn_local.http.sender import Outgoing, replace_headers
from adjourn_local.scheduler import names
from adjourn_local.tokens.bearer import Mint, authorization

_AGENT = "Google-Cloud-Scheduler"


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Writes the request of each attempt.

    Attributes:
        mint: Makes the token of a job that asks for one, from account and audience.
        services: Where App Engine services are.
    """

    mint: Mint
    services: Services

    def write(self, job: Any, scheduled: dt.datetime) -> Outgoing:
        """Return the request for a job's target, with the headers that the service sets.

        Source: `google.cloud.scheduler_v1.types.HttpTarget.headers`, and those of
        `AppEngineHttpTarget`.

        Raises:
            RpcError: FAILED_PRECONDITION, if it is not known where an App Engine service is.
            Exception: Whatever the making of a token raises.
        """
        if job.HasField("app_engine_http_target"):
            target = job.app_engine_http_target
            url = address(self.services, target.app_engine_routing) + target.relative_uri
            own = _app_engine_headers(target)
        else:
            target = job.http_target
            url = target.uri
            own = [("User-Agent", _AGENT), *authorization(target, url, self.mint)]
        forced = [
            *own,
            ("X-CloudScheduler", "true"),
            ("X-CloudScheduler-JobName", names.split(job.name)[1]),
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
    # App Engine's own mark of what its cron service sends, by which applications know it.
    return [("User-Agent", agent), ADDRESS, ("X-AppEngine-Cron", "true")]


def rfc3339(at: dt.datetime, zone: ZoneInfo) -> str:
    """Return an instant by the zone's clock, with its offset, which is `Z` if there is none."""
    text = at.astimezone(zone).isoformat(timespec="seconds")
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text

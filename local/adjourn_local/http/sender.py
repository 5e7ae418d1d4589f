"""HTTP out of the laptop stack: requests go as their task says, with no client's habits added.

A reused connection never fails by itself: the functions' server closes idle ones after two
seconds, so the pool gives them up sooner.
"""

import asyncio
import datetime as dt
import email.utils
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from adjourn_local.timing.clock import Clock

_KEEP_ALIVE_SECONDS = 1.0
_CLIENT_HABITS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_LEGAL_URL = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")

# "Host", "Content-Length" and "User-Agent" are the services' (tasks_v2.types.HttpRequest.headers);
# the others belong to the connection, not to the request (RFC 9110, 7.6.1).
_RESERVED = frozenset(
    {
        "host",
        "content-length",
        "user-agent",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_RESERVED_PREFIXES = ("x-google-", "x-appengine-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One request as it shall arrive, except `Host` and `Content-Length`, which follow from it."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: a status, or the name of the reason why none did."""

    status: int | None
    error: str
    retry_after: float | None


class Sender:
    """Sends requests to handlers; one for the whole stack, so that all share a pool."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._limits: dict[asyncio.Timeout, dt.datetime] = {}
        self._watch: asyncio.Task[None] | None = None
        self._watched_until = dt.datetime.max.replace(tzinfo=dt.UTC)

    async def send(self, request: Outgoing, deadline: float) -> Answer:
        """Send a request and give up after `deadline` seconds; trouble is an answer, not an error.

        Redirects are not followed: Cloud Tasks was measured to count a 302 as a failure.
        """
        limit = asyncio.timeout(None)
        try:
            async with limit:
                self._watch_for(limit, deadline)
                return await self._exchange(request)
        except (aiohttp.ClientError, OSError, ValueError):
            error = "DEADLINE_EXCEEDED" if limit.expired() else "UNAVAILABLE"
            return Answer(status=None, error=error, retry_after=None)
        finally:
            self._limits.pop(limit, None)

    async def close(self) -> None:
        """Close the pool; requests under way end as unavailable."""
        if self._watch is not None:
            self._watch.cancel()
        if self._session is not None:
            await self._session.close()

    async def _exchange(self, request: Outgoing) -> Answer:
        if self._session is None:
            self._session = _session()
        async with self._session.request(
            request.method,
            _url(request.url),
            headers=request.headers,
            data=request.body or None,
            allow_redirects=False,
        ) as response:
            # Unread bytes would cost the connection; their content means nothing to the services.
            async for _ in response.content.iter_any():
                pass
            after = response.headers.get("Retry-After")
            return Answer(
                status=response.status,
                error="",
                retry_after=None if after is None else retry_after(after, self._clock.now()),
            )

    def _watch_for(self, limit: asyncio.Timeout, deadline: float) -> None:
        due = self._clock.now() + dt.timedelta(seconds=deadline)
        self._limits[limit] = due
        if self._watch is None or self._watch.done() or due < self._watched_until:
            if self._watch is not None:
                self._watch.cancel()
            self._watched_until = due
            self._watch = asyncio.create_task(self._expire())

    async def _expire(self) -> None:
        """End what is overdue; one sleeper for all requests costs each of them next to nothing."""
        while self._limits:
            self._watched_until = min(self._limits.values())
            await self._clock.sleep((self._watched_until - self._clock.now()).total_seconds())
            now = self._clock.now()
            for limit in [limit for limit, due in self._limits.items() if due <= now]:
                del self._limits[limit]
                limit.reschedule(asyncio.get_running_loop().time())


def replace_headers(
    headers: Mapping[str, str],
    forced: Iterable[tuple[str, str]],
    *,
    reserved_prefixes: tuple[str, ...] = (),
) -> tuple[tuple[str, str], ...]:
    """Return the headers a service sends: the user's, less what it replaces, and its own.

    Args:
        headers: As the user gave them; the spelling of their names is kept.
        forced: The service's own; a user's header of the same name gives way.
        reserved_prefixes: Further names that users cannot set, such as `X-CloudTasks-`.
    """
    own = tuple(forced)
    taken = {name.lower() for name, _ in own} | _RESERVED
    prefixes = (*_RESERVED_PREFIXES, *(prefix.lower() for prefix in reserved_prefixes))
    kept = (
        (name, value)
        for name, value in headers.items()
        if (low := name.lower()) not in taken and not low.startswith(prefixes)
    )
    return (*kept, *own)


def retry_after(value: str, now: dt.datetime) -> float | None:
    """Return the seconds that a Retry-After header asks for, or None if it cannot be read."""
    if value.strip().isdecimal():
        return float(value)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=dt.UTC)
    return max(0.0, (at - now).total_seconds())


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=_CLIENT_HABITS,
        auto_decompress=False,
    )


@functools.lru_cache(maxsize=256)
def _url(url: str) -> URL:
    """Leave a URL that is already well-formed exactly as its author escaped it."""
    return URL(url, encoded=_LEGAL_URL.fullmatch(url) is not None)

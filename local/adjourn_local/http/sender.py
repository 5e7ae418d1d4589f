"""Send HTTP requests to handlers exactly as given, without headers that HTTP clients add.

The functions' server closes idle connections after two seconds. The pool drops them earlier, so a
reused connection is never one that the server is closing.
"""

import asyncio
import datetime as dt
import email.utils
import functools
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass

import aiohttp
from yarl import URL

from adjourn_local.timing.clocks import StackClock

_AT_ONCE: AbstractAsyncContextManager[None] = nullcontext()
_KEEP_ALIVE_SECONDS = 1.0
_CLIENT_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_LEGAL_URL = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")

# The services set "Host", "Content-Length" and "User-Agent" (tasks_v2.types.HttpRequest.headers);
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
    """An HTTP request to send; `Host` and `Content-Length` are computed from it."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerResponse:
    """A handler's response: its status, or the error code if there was none.

    Attributes:
        status: The HTTP status; None without a response.
        error: UNAVAILABLE or DEADLINE_EXCEEDED without a response, else empty.
        retry_after: Seconds that the header Retry-After asks for, if it is there and readable.
    """

    status: int | None
    error: str
    retry_after: float | None


class Sender:
    """Sends requests to handlers; the whole stack shares one, and with it one connection pool.

    Args:
        clock: The stack's clock, by which deadlines are watched.

    Attributes:
        is_patient: Whether one request is sent after the other, each without a deadline, because
            somebody debugs what they start.
    """

    def __init__(self, clock: StackClock) -> None:
        self.is_patient = False
        self._clock = clock
        self._turn = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._users: Counter[aiohttp.ClientSession] = Counter()
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._deadlines: dict[asyncio.Timeout, dt.datetime] = {}
        self._watch: asyncio.Task[None] | None = None
        self._watched_until = dt.datetime.max.replace(tzinfo=dt.UTC)

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Return what to hold while a request is made and sent: the turn, if somebody debugs."""
        return self._turn if self.is_patient else _AT_ONCE

    async def send(self, request: Outgoing, deadline: float) -> HandlerResponse:
        """Send a request and return the response; network errors and timeouts are returned, too.

        Redirects are not followed: measured, Cloud Tasks counts a 302 as a failure.

        Args:
            request: The request.
            deadline: Seconds after which to give up.
        """
        limit = asyncio.timeout(None)
        try:
            async with limit:
                if not self.is_patient:
                    self._watch_for(limit, deadline)
                return await self._exchange(request)
        except (aiohttp.ClientError, OSError, ValueError):
            error = "DEADLINE_EXCEEDED" if limit.expired() else "UNAVAILABLE"
            return HandlerResponse(status=None, error=error, retry_after=None)
        finally:
            self._deadlines.pop(limit, None)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Send nothing in this block, and afterwards only over new connections.

        So a request goes to the functions that run when it is sent, not to those that have run
        before. Requests that were sent before go on.
        """
        self._is_open.clear()
        try:
            yield
        finally:
            former, self._session = self._session, None
            if former is not None and not self._users[former]:
                del self._users[former]
                await former.close()
            self._is_open.set()

    async def close(self) -> None:
        """Close the pool; requests in flight end as UNAVAILABLE."""
        if self._watch is not None:
            self._watch.cancel()
        for session in {*self._users, *filter(None, [self._session])}:
            await session.close()

    async def _exchange(self, request: Outgoing) -> HandlerResponse:
        await self._is_open.wait()
        session = self._session = self._session or _session()
        self._users[session] += 1
        try:
            return await self._exchange_over(session, request)
        finally:
            self._users[session] -= 1
            if session is not self._session and not self._users[session]:
                del self._users[session]
                await session.close()

    async def _exchange_over(
        self, session: aiohttp.ClientSession, request: Outgoing
    ) -> HandlerResponse:
        async with session.request(
            request.method,
            _url(request.url),
            headers=request.headers,
            data=request.body or None,
            allow_redirects=False,
        ) as response:
            # Reading the body lets the connection be reused; the services ignore the content.
            async for _ in response.content.iter_any():
                pass
            after = response.headers.get("Retry-After")
            return HandlerResponse(
                status=response.status,
                error="",
                retry_after=None if after is None else retry_after(after, self._clock.now()),
            )

    def _watch_for(self, limit: asyncio.Timeout, deadline: float) -> None:
        due = self._clock.now() + dt.timedelta(seconds=deadline)
        self._deadlines[limit] = due
        if self._watch is None or self._watch.done() or due < self._watched_until:
            if self._watch is not None:
                self._watch.cancel()
            self._watched_until = due
            self._watch = asyncio.create_task(self._expire())

    async def _expire(self) -> None:
        """End requests past their deadline; one task for all is far cheaper than one for each."""
        while self._deadlines:
            self._watched_until = min(self._deadlines.values())
            await self._clock.sleep((self._watched_until - self._clock.now()).total_seconds())
            now = self._clock.now()
            for limit in [limit for limit, due in self._deadlines.items() if due <= now]:
                del self._deadlines[limit]
                limit.reschedule(asyncio.get_running_loop().time())


def replace_headers(
    headers: Mapping[str, str],
    forced: Iterable[tuple[str, str]],
    *,
    reserved_prefixes: tuple[str, ...] = (),
) -> tuple[tuple[str, str], ...]:
    """Return the headers that a service sends: its own, and the user's that are allowed.

    Args:
        headers: The user's headers; the case of their names is kept.
        forced: The service's own headers, which replace the user's of the same name.
        reserved_prefixes: Prefixes of further names that users cannot set, such as `X-CloudTasks-`.
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
    """Return the seconds that a Retry-After header asks for, or None if it is malformed."""
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
        skip_auto_headers=_CLIENT_HEADERS,
        auto_decompress=False,
    )


@functools.lru_cache(maxsize=256)
def _url(url: str) -> URL:
    """Parse a URL; one that is already escaped correctly is sent unchanged."""
    return URL(url, encoded=_LEGAL_URL.fullmatch(url) is not None)

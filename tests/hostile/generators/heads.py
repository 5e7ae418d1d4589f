"""Heads of requests: methods, paths and headers."""

from random import Random

from tests.hostile.generators import values

METHODS = (
    *("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW", "PROPFIND"),
    *("post", "POST ", "P", "PO\x00ST", "POST" * 10, "", "\xff", "POST#", "GET/", "M-SEARCH"),
)
PATHS = (
    *("/", "//", "/.", "/..", "/../../etc/passwd", "/%2e%2e/", "/%00", "/%", "/%zz", "/%ff%fe"),
    *("/list", "/list/", "/execute/", "/execute/restock", "/execute/%72estock", "/execute/../list"),
    *("/execute/" + "a" * 3000, "/" + "a" * 20_000, "/robots.txt", "/favicon.ico", "/hourly"),
    *("/hourly/../x", "/adjourn", "?", "*", "", "/?" + "a=b&" * 500, "/;x=y", "/a b", "/\xe9"),
    *("http://127.0.0.1/", "http://[::1", "https://elsewhere.example/list", "//elsewhere/list"),
    *("/list?x=/execute/restock", "/#", "/\\..\\", "/a\x00b", "127.0.0.1:80", "/%0d%0aX:%20y"),
)
NAMES = (
    *("X-CloudTasks-TaskName", "X-CloudTasks-QueueName", "X-CloudTasks-TaskRetryCount"),
    *("X-CloudTasks-TaskExecutionCount", "X-CloudTasks-TaskETA", "X-CloudScheduler"),
    *("X-CloudScheduler-ScheduleTime", "X-CloudScheduler-JobName", "X-AppEngine-Cron"),
    *("X-AppEngine-QueueName", "X-AppEngine-TaskName", "X-AppEngine-User-IP", "X-Forwarded-For"),
    *("X-AppEngine-TaskRetryCount", "X-AppEngine-TaskExecutionCount", "X-Forwarded-Proto"),
    *("Traceparent", "X-Cloud-Trace-Context", "Function-Execution-Id", "Host", "Content-Type"),
    *("Content-Encoding", "Accept", "Cookie", "Range", "If-Match", "Upgrade", "Connection", "TE"),
    *("SCRIPT_NAME", "PATH_INFO", "REMOTE_USER", "Script-Name", "HTTP_HOST", "Proxy", "Forwarded"),
    *("X-HTTP-Method-Override", "Expect", "Trailer", "Keep-Alive", "User-Agent", "Origin", "Via"),
    *("", "a b", "\xff", "X\x00Y", "X" * 9000, "X:Y"),
)
VALUES = (
    *("", "0", "1", "-1", "9" * 20, "9" * 5000, "1.5", "true", "close", "keep-alive", "upgrade"),
    *("127.0.0.1", "0.1.0.2", "0.1.0.1", "__cron", "default", "h2c", "websocket", "chunked"),
    *("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-" + "f" * 3000, "1/2;o=1"),
    *("2026-11-23T12:00:00Z", "0001-01-01T00:00:00+23:59", "application/json", "text/plain"),
    *("multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "gzip", "deflate"),
    *("100-continue", "200-ok", "bytes=0-", "\t", "\x00", "\x7f", "\xe9", "a\rb", "a\nb: c"),
    *("x" * 8000, "x" * 8190, "x" * 9000, '"', "[::1]:99999", "xn--", "a..b", "localhost"),
)


def method(random: Random) -> str:
    return random.choice(METHODS)


def path(random: Random) -> str:
    if random.random() < 0.7:
        return random.choice(PATHS)
    return "/" + values.text(random).encode("utf-8", "replace").decode("latin-1")


def headers(random: Random) -> list[tuple[str, str]]:
    """Return some headers; sometimes there are too many of them."""
    count = random.choice((1, 1, 2, 3, 5, 5, 99, 101, 300))
    return [(_name(random), _value(random)) for _ in range(count)]


def _name(random: Random) -> str:
    return random.choice(NAMES[:-6] if random.random() < 0.9 else NAMES)


def _value(random: Random) -> str:
    if random.random() < 0.85:
        return random.choice(VALUES)
    return values.text(random).encode("utf-8", "replace").decode("latin-1")

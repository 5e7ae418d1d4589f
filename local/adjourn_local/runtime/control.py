"""HTTP endpoints that read and change a running stack's faults and clock, and read its indexes.

GET reads them, PUT sets them and DELETE resets them. A PUT may have any content type: a browser
asks permission (CORS) before it sends PUT or DELETE to another origin, whatever the body is.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any

from aiohttp import web

from adjourn_local.clients.stack_control import CLOCK_PATH, FAULTS_PATH, INDEXES_PATH
from adjourn_local.datastore import NeededIndexes
from adjourn_local.errors import StorageError
from adjourn_local.http.bodies import BODY
from adjourn_local.http.faults import NO_FAULTS, FaultInjectingSender, parse
from adjourn_local.http.gate import accepting
from adjourn_local.timing.clocks import AdjustableClock
from adjourn_local.timing.durations import parse_duration


def control_routes(
    sender: FaultInjectingSender,
    clock: AdjustableClock,
    recover: Callable[[], None],
    indexes: NeededIndexes,
) -> list[web.RouteDef]:
    """Return the endpoints; each response is the state after the request.

    Args:
        sender: The sender that injects the faults.
        clock: The stack's clock.
        recover: Called after each change of the clock.
        indexes: What queries have needed of composite indexes.
    """

    def set_faults(text: str) -> None:
        sender.faults = parse(text) if text else NO_FAULTS

    def set_clock(text: str) -> None:
        change_clock(clock, text or "reset")
        recover()

    def faults() -> dict[str, Any]:
        return {"faults": str(sender.faults) or "none", "injected": sender.injected}

    def time() -> dict[str, Any]:
        return {"now": clock.now().isoformat(), "frozen": clock.is_frozen}

    def needed() -> dict[str, Any]:
        declared = indexes.declared
        return {
            "needed": [index.written() for index in indexes.all()],
            "needs": [need.written() for need in indexes.needs()],
            "declared": None if declared is None else [one.written() for one in declared],
        }

    async def show_indexes(_: web.Request) -> web.Response:
        return web.json_response(needed())

    return [
        web.get(INDEXES_PATH, show_indexes),
        *_routes(FAULTS_PATH, set_faults, faults),
        *_routes(CLOCK_PATH, set_clock, time),
    ]


def change_clock(clock: AdjustableClock, text: str) -> None:
    """Change a clock: freeze, go, advance=4h, jump=2026-12-24T18:00:00Z or reset.

    Raises:
        ValueError: The text is not one of these.
    """
    verb, _, value = text.partition("=")
    match verb, value:
        case "freeze", "":
            clock.freeze()
        case "go", "":
            clock.go()
        case "reset", "":
            clock.reset()
        case "advance", _:
            clock.jump(clock.now() + _parse_duration(value))
        case "jump", _:
            clock.jump(_parse_time(value))
        case _:
            raise ValueError(
                f"{text!r} is not freeze, go, reset, advance=4h or jump=2026-12-24T18:00:00Z"
            )


def _parse_duration(text: str) -> dt.timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ValueError(f"advance={text}: {error}") from None


def _parse_time(text: str) -> dt.datetime:
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ValueError(
            f"jump={text} is not a time with a time zone, such as 2026-12-24T18:00:00Z"
        )
    return at.astimezone(dt.UTC)


def _routes(
    path: str, change: Callable[[str], None], state: Callable[[], dict[str, Any]]
) -> list[web.RouteDef]:
    @accepting()
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            if request.method != "GET":
                change(request[BODY].decode().strip() if request.method == "PUT" else "")
        except (ValueError, OverflowError) as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
        except StorageError as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n") from None
        return web.json_response(state())

    return [web.route(method, path, handle) for method in ("GET", "PUT", "DELETE")]

"""What tests change while the stack runs: its faults and its clock.

Both are read with GET, set with PUT and set back with DELETE. No page of the web can do that: a
browser asks before it sends these to another site, which nobody here allows, and a name that was
made to lead to this machine is not one of its own.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any

from aiohttp import web

from adjourn.settings import LOOPBACK
from adjourn_local.http.faults import NONE, parse
from adjourn_local.http.faulty_sender import FaultySender
from adjourn_local.timing.clock import SteeredClock
from adjourn_local.timing.durations import parse_duration

FAULTS_PATH = "/control/faults"
CLOCK_PATH = "/control/clock"


def control_routes(
    sender: FaultySender, clock: SteeredClock, recover: Callable[[], None]
) -> list[web.RouteDef]:
    """Return the endpoints; whatever they are asked, they answer with what is then the case.

    Args:
        sender: What the faults are for.
        clock: The stack's.
        recover: What has to be done after the clock was steered.
    """

    def set_faults(text: str) -> None:
        sender.faults = parse(text) if text else NONE

    def set_clock(text: str) -> None:
        steer(clock, text or "reset")
        recover()

    def faults() -> dict[str, Any]:
        return {"faults": str(sender.faults) or "none", "injected": sender.injected}

    def time() -> dict[str, Any]:
        return {"now": clock.now().isoformat(), "frozen": clock.is_frozen}

    return [
        *_routes(FAULTS_PATH, set_faults, faults),
        *_routes(CLOCK_PATH, set_clock, time),
    ]


def steer(clock: SteeredClock, text: str) -> None:
    """Do what a text says: freeze, go, advance=4h, jump=2026-12-24T18:00:00Z or reset.

    Raises:
        ValueError: It says something else.
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
            clock.jump(clock.now() + _duration(value))
        case "jump", _:
            clock.jump(_instant(value))
        case _:
            raise ValueError(
                f"{text!r} is not freeze, go, reset, advance=4h or jump=2026-12-24T18:00:00Z"
            )


def _duration(text: str) -> dt.timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ValueError(f"advance={text}: {error}") from None


def _instant(text: str) -> dt.datetime:
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ValueError(f"jump={text} is not a time with its zone, such as 2026-12-24T18:00:00Z")
    return at.astimezone(dt.UTC)


def _routes(
    path: str, change: Callable[[str], None], state: Callable[[], dict[str, Any]]
) -> list[web.RouteDef]:
    async def answer(request: web.Request) -> web.StreamResponse:
        if not {request.remote, request.url.host} <= LOOPBACK:
            raise web.HTTPForbidden(text="this is for this machine\n")
        try:
            if request.method != "GET":
                change((await request.text()).strip() if request.method == "PUT" else "")
        except (ValueError, OverflowError) as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
        return web.json_response(state())

    return [web.route(method, path, answer) for method in ("GET", "PUT", "DELETE")]

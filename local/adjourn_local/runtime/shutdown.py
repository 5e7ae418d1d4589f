"""Stop a stack in order: nothing new, then what is under way, within a time."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable

from adjourn_local.runtime.functions import Functions
from adjourn_local.runtime.own_server import OwnServer
from adjourn_local.runtime.servers import Servers

# Cloud Run kills an instance 10 s after SIGTERM
# (https://cloud.google.com/run/docs/container-contract).
GRACE = 10.0
_LOOK_EVERY = 0.02
_SAY_EVERY = 2.0
_MOST_NAMES = 5

_log = logging.getLogger(__name__)


async def finish(
    servers: Servers, functions: Functions | OwnServer, seconds: float, hurried: asyncio.Event
) -> None:
    """Dispatch nothing more, and wait for what is under way to end and to be acknowledged.

    Args:
        servers: The servers, which go on answering.
        functions: The functions, which are told to end: iterations then store their progress.
        seconds: How long to wait.
        hurried: Ends the wait when it is set.
    """
    tasks, scheduler, loop = servers.tasks, servers.scheduler, asyncio.get_running_loop()
    tasks.pause()
    scheduler.pause()
    functions.terminate()
    until, say_at = loop.time() + seconds, loop.time()
    while tasks.under_way() or scheduler.in_flight:
        now, names = loop.time(), tasks.under_way()
        if hurried.is_set() or now >= until:
            break
        if now >= say_at and names:
            _log.info("Waiting %.0f s for %s; Ctrl-C ends at once.", until - now, _listed(names))
            say_at = now + _SAY_EVERY
        await asyncio.sleep(_LOOK_EVERY)
    if names := tasks.under_way():
        _log.warning("Cut off, to run again at the next start: %s.", _listed(names))


def _listed(names: Iterable[str]) -> str:
    counted = Counter(names).most_common()
    shown = [name if n == 1 else f"{name} ({n})" for name, n in counted[:_MOST_NAMES]]
    more = sum(n for _, n in counted[_MOST_NAMES:])
    return ", ".join([*shown, f"{more} more"] if more else shown)

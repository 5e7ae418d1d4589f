"""Replace the functions of a running stack whenever the application's code has changed."""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from adjourn_local.errors import StackError
from adjourn_local.runtime.declarations import Declared
from adjourn_local.runtime.source_watch import SourceWatch, forget_compiled
from adjourn_local.runtime.stack import Stack

_log = logging.getLogger(__name__)


async def reload_on_changes(stack: Stack, watch: SourceWatch) -> None:
    """Reload whenever files change, until this is cancelled; code that fails changes nothing."""
    while True:
        changed = await watch.changes()
        forget_compiled(changed)
        await _reload(stack, changed)


async def _reload(stack: Stack, changed: Iterable[Path]) -> None:
    loop = asyncio.get_running_loop()
    began, before = loop.time(), stack.functions.generation
    if before is None:
        return
    try:
        generation = await stack.reload()
    except (StackError, OSError) as error:
        since = before.loaded_at.strftime("%H:%M")
        stack.functions.outdated = f"newer code cannot be loaded. {error}"
        _log.error("%s. The code from %s keeps running.", error, since)
        return
    new = "".join(_new(before.declared, generation.declared))
    seconds = loop.time() - began
    _log.info("Reloaded after a change of %s in %.1f s.%s", _named(changed), seconds, new)


def _named(changed: Iterable[Path]) -> str:
    first, *others = sorted(map(_short, changed))
    return f"{first} and {len(others)} more" if others else first


def _short(path: Path) -> str:
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _new(before: Declared, after: Declared) -> Iterator[str]:
    for name in sorted({*after.queues} - {*before.queues}):
        yield f" New queue: {name}."
    for name in sorted({*after.cron_names} - {*before.cron_names}):
        yield f" New cron name: {name}."

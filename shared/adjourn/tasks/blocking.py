"""Tell that a call holds up an event loop, with the line to write."""

from __future__ import annotations

import logging

from adjourn.log import event


def tell_blocking(name: str, done: str, told: set[str], line: str) -> None:
    """Tell once for each name what is done on an event loop, which waits meanwhile.

    Args:
        name: The name of the task or of the iteration.
        done: What is done with it, such as enqueued.
        told: The names of which it was told.
        line: What to write instead.
    """
    if name not in told:
        told.add(name)
        text = f"{name} is {done} on an event loop, which waits for it; write: {line}"
        event("call.blocking", logging.WARNING, text)

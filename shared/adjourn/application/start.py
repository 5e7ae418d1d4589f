"""Start the process of a function, or exit with the reasons why it cannot start."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from adjourn.errors import AdjournError
from adjourn.log import configure, keep

if TYPE_CHECKING:
    from adjourn.application.wiring import Wiring
    from adjourn.execution.delivery import Delivery, Outcome
    from adjourn.requests.gate import Receiver


def start() -> Wiring:
    """Set up logging and return the services of the application that `ADJOURN_APP` names.

    Raises:
        SystemExit: The application or a setting is wrong; the message says what to change.
    """
    # As functions-framework reads it.
    links = os.environ.get("LOG_EXECUTION_ID") in {"y", "yes", "t", "true", "on", "1"}
    handler = configure(links=links)
    try:
        with _kept():
            from adjourn.application.loading import load_app  # noqa: PLC0415 - to be kept, too

            app = load_app(os.environ)
            keep(handler)  # importing ViUR, for one, replaces all
            wiring = app.wiring()
            wiring.check()
    except AdjournError as error:
        raise SystemExit(str(error)) from None
    return wiring


@contextmanager
def _kept() -> Iterator[None]:
    """Look for no garbage in the context, and never again among what is there at its end.

    gunicorn forks its workers from this process, and they share the memory that the garbage
    collector leaves alone (https://docs.python.org/3/library/gc.html#gc.freeze).
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()


def with_startup_tasks(wiring: Wiring, receive: Receiver) -> Receiver:
    """Return a receiver of the deferred function that also enqueues the startup tasks.

    functions-framework loads the function in a process from which gunicorn then forks the workers.
    Threads do not survive a fork, and gRPC channels must not be forked. So the startup tasks are
    enqueued in each worker as soon as it is forked or, on a server that does not fork, at the first
    delivery.
    """
    startup = wiring.startup
    if startup is None:
        return receive
    loader = os.getpid()

    def forked() -> None:
        if os.getppid() == loader:  # not in the children of a worker
            startup.begin()

    def first(delivery: Delivery) -> Outcome:
        startup.begin()
        return receive(delivery)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forked)
    return first

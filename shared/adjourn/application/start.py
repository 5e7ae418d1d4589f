"""Start a function's process, or say on one screen why it cannot start."""

from __future__ import annotations

import os

from adjourn.application.loading import load_app
from adjourn.application.wiring import Wiring
from adjourn.errors import AdjournError
from adjourn.execution.delivery import Delivery, Outcome
from adjourn.log import configure, keep
from adjourn.requests.gate import Receiver


def start() -> Wiring:
    """Set up logging and return the working parts of the application that `ADJOURN_APP` names.

    Raises:
        SystemExit: The application or a setting is wrong; the message says what to mend.
    """
    handler = configure()
    try:
        app = load_app(os.environ)
        if handler is not None:
            keep(handler)  # importing ViUR, for one, replaces all
        wiring = app.wiring()
        wiring.check()
    except AdjournError as error:
        raise SystemExit(str(error)) from None
    return wiring


def with_startup_tasks(wiring: Wiring, receive: Receiver) -> Receiver:
    """Let the startup tasks begin when this function runs; return what receives for it.

    functions-framework loads a function in the process from which gunicorn then forks the workers.
    A thread would not get there, and a gRPC channel must not: so they begin in each worker as soon
    as it is there or, on a server that forks none, with the first delivery.
    """
    startup = wiring.startup
    if startup is None:
        return receive
    loader = os.getpid()

    def forked() -> None:
        if os.getppid() == loader:  # and not in what a worker forks
            startup.begin()

    def first(delivery: Delivery) -> Outcome:
        startup.begin()
        return receive(delivery)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forked)
    return first

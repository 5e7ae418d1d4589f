"""In a function's process: take over a listening socket, and serve once the stack says so.

The stack opens the sockets, and gunicorn takes them over as it does from systemd. So a function
that is replaced or started again refuses no connection: it waits in the socket.

Each worker reports what the application declares and then waits, so that nothing runs before the
queues are there, or if another function of the same code could not be loaded.

Packaged functions run this file with their own Python: it imports the standard library alone.
"""

import fcntl
import importlib
import json
import math
import os
import runpy
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress

# The first socket that systemd hands on, see sd_listen_fds(3).
_FIRST_SOCKET = 3
# By default gunicorn cuts off after 30 s what a worker runs when it is replaced.
_LONGEST_REQUEST = 24 * 3600
# Seconds. A worker that is forked so soon after another one replaces one that has failed.
_SOON = 1.0
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 30.0


def run(listener: int, channel: int, describe: Callable[[BaseException], str]) -> None:
    """Run functions-framework with the remaining arguments of this process.

    Args:
        listener: File descriptor of the listening socket.
        channel: File descriptor of a socket for the report and for the word to begin. Once it is
            closed, workers begin at once.
        describe: Returns a line about an error of the application.
    """
    report = socket.socket(fileno=fcntl.fcntl(channel, fcntl.F_DUPFD_CLOEXEC, _FIRST_SOCKET + 1))
    os.close(channel)
    _take_over(listener)
    loader, pauses = os.getpid(), Pauses(time.monotonic)

    def send(fields: dict[str, object]) -> None:
        report.sendall(json.dumps(fields).encode() + b"\n")

    def forked() -> None:
        # The application may fork processes of its own, also before it is loaded.
        if os.getppid() == loader and "functions_framework._http.gunicorn" in sys.modules:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until gunicorn handles it
            with suppress(OSError):
                send(declarations())
                report.recv(1)
            report.close()
            time.sleep(pauses.next)

    os.register_at_fork(before=pauses.note, after_in_child=forked)
    try:
        runpy.run_module("functions_framework", run_name="__main__")
    except BaseException as error:
        if os.getpid() == loader:
            with suppress(OSError):
                send({"error": describe(error)})
                sys.exit(1)  # the stack says it
        raise


class Pauses:
    """The pause before a worker begins, which grows while workers keep ending soon.

    gunicorn replaces a worker at once, also one that always ends.

    Args:
        clock: Returns the time in seconds.

    Attributes:
        next: The pause of the worker that was forked last, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = -math.inf
        self.next = 0.0

    def note(self) -> None:
        """Note that a worker is forked now."""
        now = self._clock()
        is_soon = now - self._last < self.next + _SOON
        self.next = min(2 * self.next + _FIRST_PAUSE, _LONGEST_PAUSE) if is_soon else 0.0
        self._last = now


def finish_requests() -> None:
    """Let a worker that is replaced finish what it runs, however long that takes."""
    config = importlib.import_module("gunicorn.config")  # not for packaged functions
    config.GracefulTimeout.default = _LONGEST_REQUEST


def _take_over(listener: int) -> None:
    os.dup2(listener, _FIRST_SOCKET)
    if listener != _FIRST_SOCKET:
        os.close(listener)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")


def declarations() -> dict[str, object]:
    """Return what the application declares, which is loaded already, as `Declared` reads it."""
    module, _, attribute = os.environ["ADJOURN_APP"].partition(":")
    app = getattr(sys.modules[module], attribute)
    return {
        "queues": sorted(app.queues(os.environ["ADJOURN_QUEUE"])),
        "cron_names": sorted(app.cron_names()),
    }


if __name__ == "__main__":
    run(int(sys.argv.pop(1)), int(sys.argv.pop(1)), repr)

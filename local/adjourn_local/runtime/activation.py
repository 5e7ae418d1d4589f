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
import os
import runpy
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

# The first socket that systemd hands on, see sd_listen_fds(3).
_FIRST_SOCKET = 3
# By default gunicorn cuts off after 30 s what a worker runs when it is replaced.
_LONGEST_REQUEST = 24 * 3600


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
    loader = os.getpid()

    def send(fields: dict[str, object]) -> None:
        report.sendall(json.dumps(fields).encode() + b"\n")

    def forked() -> None:
        # The application may fork processes of its own, also before it is loaded.
        if os.getppid() == loader and "functions_framework._http.gunicorn" in sys.modules:
            with suppress(OSError):
                send(_declarations())
                report.recv(1)
            report.close()

    os.register_at_fork(after_in_child=forked)
    try:
        runpy.run_module("functions_framework", run_name="__main__")
    except BaseException as error:
        if os.getpid() == loader:
            with suppress(OSError):
                send({"error": describe(error)})
        raise


def finish_requests() -> None:
    """Let a worker that is replaced finish what it runs, however long that takes."""
    config = importlib.import_module("gunicorn.config")  # not for packaged functions
    config.GracefulTimeout.default = _LONGEST_REQUEST


def _take_over(listener: int) -> None:
    os.dup2(listener, _FIRST_SOCKET)
    if listener != _FIRST_SOCKET:
        os.close(listener)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")


def _declarations() -> dict[str, object]:
    module, _, attribute = os.environ["ADJOURN_APP"].partition(":")
    app = getattr(sys.modules[module], attribute)
    return {
        "queues": sorted(app.queues(os.environ["ADJOURN_QUEUE"])),
        "cron_names": sorted(app.cron_names()),
    }


if __name__ == "__main__":
    run(int(sys.argv.pop(1)), int(sys.argv.pop(1)), repr)

"""Choose the ports that a stack listens on: given ones, those of its last run, or free ones."""

import json
import logging
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import SystemRandom

from adjourn_local.errors import StackError
from adjourn_local.private import make_private

HOST = "127.0.0.1"

_COUNT = 5
# Below the ephemeral ports of the systems (Linux from 32768, macOS from 49152), so that these ports
# are still free when the servers start, and when a state is used again.
_CANDIDATES = range(20_000, 32_768)
_TRIES = 20
_BACKLOG = 2048  # as gunicorn's
_SERVERS = 2  # the first ports are those of the servers, the others of the functions
# After a stack was killed, its functions have so many seconds to end (`keeper`), and a moment more.
_DYING = 12.0
_POLL = 0.05
_log = logging.getLogger(__name__)


def choose(base: int, state: Path | None) -> Sequence[int]:
    """Return five ports from `base` on, or free ones if it is 0.

    The URLs of queued tasks contain the functions' ports, so a state keeps its ports unless
    others are given. If a stack on these ports was killed, wait for its functions to end.

    Args:
        base: The first port; 0 for any.
        state: Folder of the state; None if no state is kept.

    Raises:
        StackError: A given port is in use.
    """
    if base:
        return _free_soon(range(base, base + _COUNT))
    if last := last_used(state):
        try:
            return _free_soon(last)
        except StackError as error:
            _log.warning("%s Others are taken; queued tasks are sent there.", error)
    return _any()


def save(state: Path, chosen: Sequence[int]) -> None:
    """Note the ports that a state is used with.

    Raises:
        StackError: The folder cannot be written.
    """
    try:
        make_private(_file(state))
        _file(state).write_text(json.dumps(list(chosen)), encoding="utf-8")
    except OSError as error:
        raise StackError(f"The state cannot be kept in {state}: {error.strerror}.") from None


def last_used(state: Path | None) -> Sequence[int]:
    """Return the ports that a state was last used with; an empty list if that is not known."""
    if state is None or not _file(state).exists():
        return []
    try:
        ports = [int(port) for port in json.loads(_file(state).read_text(encoding="utf-8"))]
    except (ValueError, TypeError, OSError):
        return []
    return ports if len(ports) == _COUNT and all(0 < each < 1 << 16 for each in ports) else []


def _file(state: Path) -> Path:
    return state / "ports.json"


def listen(port: int) -> socket.socket:
    """Return a socket that listens on a port.

    Raises:
        StackError: The port is in use.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        _bind(listener, port)
    except StackError:
        listener.close()
        raise
    listener.listen(_BACKLOG)
    return listener


def find_free(count: int) -> Sequence[int]:
    """Return some ports that nothing listens on."""
    return _any(count)


def _any(count: int = _COUNT) -> Sequence[int]:
    for _ in range(_TRIES):
        with suppress(StackError):
            return _free(SystemRandom().sample(_CANDIDATES, count))
    return _free([0] * count)


def _free_soon(ports: Sequence[int]) -> Sequence[int]:
    """Return ports as soon as they are free.

    A killed stack leaves the ports of its servers at once, those of its functions a little later.

    Raises:
        StackError: One is in use, and not by the functions of a killed stack.
    """
    _free(ports[:_SERVERS])
    until, is_first = time.monotonic() + _DYING, True
    while True:
        try:
            return _free(ports)
        except StackError as error:
            if time.monotonic() >= until:
                raise
            if is_first:
                in_use = str(error).partition(";")[0]
                _log.warning(
                    "%s, perhaps by functions of a stack that was killed; waiting for %.0f s at"
                    " most.",
                    *(in_use, _DYING),
                )
            is_first = False
        time.sleep(_POLL)


def _free(ports: Sequence[int]) -> Sequence[int]:
    sockets = [socket.socket() for _ in ports]
    try:
        for listener, port in zip(sockets, ports, strict=True):
            # As the servers do: allow a port whose last connections are in TIME_WAIT.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind(listener, port)
        return [listener.getsockname()[1] for listener in sockets]
    finally:
        for listener in sockets:
            listener.close()


def _bind(listener: socket.socket, port: int) -> None:
    try:
        listener.bind((HOST, port))
    except (OSError, OverflowError):
        raise StackError(
            f"Port {port} is in use; stop the program that listens there, or choose other ports"
            " with --port."
        ) from None

"""Choose the ports that a stack listens on: given ones, those of its last run, or free ones."""

import json
import logging
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import SystemRandom

from adjourn_local.errors import StackError

HOST = "127.0.0.1"

_COUNT = 5
# Below the ephemeral ports of the systems (Linux from 32768, macOS from 49152), so that these ports
# are still free when the servers start, and when a state is used again.
_CANDIDATES = range(20_000, 32_768)
_TRIES = 20
_log = logging.getLogger(__name__)


def choose(base: int, state: Path | None) -> Sequence[int]:
    """Return five ports from `base` on, or free ones if it is 0.

    The URLs of queued tasks contain the functions' ports, so a state keeps its ports unless
    others are given.

    Args:
        base: The first port; 0 for any.
        state: Folder of the state; None if no state is kept.

    Raises:
        StackError: A given port is in use, or the folder cannot be written.
    """
    chosen = _free(range(base, base + _COUNT)) if base else _last_used(state) or _any()
    if state is not None:
        _save(state, chosen)
    return chosen


def _save(state: Path, chosen: Sequence[int]) -> None:
    try:
        state.mkdir(parents=True, exist_ok=True)
        _file(state).write_text(json.dumps(chosen), encoding="utf-8")
    except OSError as error:
        raise StackError(f"The state cannot be kept in {state}: {error}.") from None


def _last_used(state: Path | None) -> Sequence[int]:
    """Return the ports that a state was last used with; an empty list if they cannot be used."""
    if state is None or not _file(state).exists():
        return []
    try:
        ports = [int(port) for port in json.loads(_file(state).read_text(encoding="utf-8"))]
        return _free(ports) if len(ports) == _COUNT else []
    except (ValueError, TypeError, OSError):
        return []
    except StackError as error:
        _log.warning("%s Queued tasks with URLs of the earlier ports will not be delivered.", error)
        return []


def _file(state: Path) -> Path:
    return state / "ports.json"


def find_free(count: int) -> Sequence[int]:
    """Return some ports that nothing listens on."""
    return _any(count)


def _any(count: int = _COUNT) -> Sequence[int]:
    for _ in range(_TRIES):
        with suppress(StackError):
            return _free(SystemRandom().sample(_CANDIDATES, count))
    return _free([0] * count)


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

"""The ports that a stack listens on: chosen, free, or those that its state was last used with."""

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
# Systems give clients, and whoever asks for any port, higher ones (Linux from 32768 on, macOS from
# 49152): these are still free when the servers come to listen, and when a state is used again.
_QUIET = range(20_000, 32_768)
_TRIES = 20
_log = logging.getLogger(__name__)


def choose(base: int, state: Path | None) -> Sequence[int]:
    """Return five ports from `base` on, or free ones if it is 0.

    Tasks have the ports of the functions in their URLs, so a state is used with the same ports
    again, unless others are asked for.

    Args:
        base: The first port.
        state: Folder of the state, if it is kept.

    Raises:
        StackError: One that was asked for is in use, or the folder cannot be written.
    """
    chosen = _free(range(base, base + _COUNT)) if base else _former(state) or _any()
    if state is not None:
        _note(state, chosen)
    return chosen


def _note(state: Path, chosen: Sequence[int]) -> None:
    try:
        state.mkdir(parents=True, exist_ok=True)
        _file(state).write_text(json.dumps(chosen), encoding="utf-8")
    except OSError as error:
        raise StackError(f"No state can be kept in {state}: {error}.") from None


def _former(state: Path | None) -> Sequence[int]:
    """Return the ports that a state was last used with, none if that cannot be."""
    if state is None or not _file(state).exists():
        return []
    try:
        ports = [int(port) for port in json.loads(_file(state).read_text(encoding="utf-8"))]
        return _free(ports) if len(ports) == _COUNT else []
    except (ValueError, TypeError, OSError):
        return []
    except StackError as error:
        _log.warning("%s Tasks that wait for the former ports are not delivered.", error)
        return []


def _file(state: Path) -> Path:
    return state / "ports.json"


def _any() -> Sequence[int]:
    for _ in range(_TRIES):
        with suppress(StackError):
            return _free(SystemRandom().sample(_QUIET, _COUNT))
    return _free([0] * _COUNT)


def _free(ports: Sequence[int]) -> Sequence[int]:
    sockets = [socket.socket() for _ in ports]
    try:
        for listener, port in zip(sockets, ports, strict=True):
            # As the servers will do: a port whose last connections linger can be taken again.
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
            f"Port {port} is in use; stop what listens there or choose others with --port."
        ) from None

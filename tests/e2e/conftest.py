import os
import pty
import queue
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from adjourn_local.runtime.stack import Stack, running


class Ear:
    """Hears what the application under test tells; waits for it, but not for ever.

    What is told is taken in at once: whoever tells waits while ten words have not been taken, and
    the bell also rings by itself every minute.
    """

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.path = str(path)
        self._words: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._rings: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def hear(self) -> str:
        """Return what was told next, but for the bell."""
        return self._words.get(timeout=30)

    def hear_the_bell(self) -> None:
        """Wait until it rings."""
        self._rings.get(timeout=30)

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.path)
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while word := self._socket.recv(4096).decode():
            (self._rings if word == "ring" else self._words).put(word)


@pytest.fixture(scope="session")
def ear(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ear]:
    path = tmp_path_factory.mktemp("ear") / "ear"
    ear = Ear(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("E2E_EAR", str(path))
        yield ear
    ear.close()


class Log:
    """What the functions have printed."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._grown = threading.Condition()

    def write(self, name: str, line: str) -> None:
        with self._grown:
            self._lines.append(f"{name} {line}")
            self._grown.notify_all()

    def all(self) -> list[str]:
        """Return all lines so far."""
        with self._grown:
            return list(self._lines)

    def find(self, *texts: str, count: int = 1) -> str:
        """Return the line, or so many-th of them, that has all texts, waiting for it if need be."""

        def found() -> str | None:
            lines = [line for line in self._lines if all(text in line for text in texts)]
            return lines[count - 1] if len(lines) >= count else None

        with self._grown:
            line = self._grown.wait_for(found, timeout=30)
        assert line, f"not {count} lines with {texts} in\n" + "\n".join(self._lines)
        return line


@pytest.fixture(scope="session")
def log() -> Log:
    return Log()


@pytest.fixture(scope="session")
def stack(ear: Ear, log: Log) -> Iterator[Stack]:  # noqa: ARG001 - the functions inherit the ear
    stack = Stack("tests.e2e.application:app", write=log.write, enforces_iam=True)
    with running(stack):
        yield stack


@pytest.fixture
def environment(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process's clients talk to the stack."""
    for name, value in stack.ports.environment().items():
        monkeypatch.setenv(name, value)
    assert os.environ["GOOGLE_CLOUD_PROJECT"]


@pytest.fixture
def terminal() -> tuple[int, int]:
    """Return both ends of a pseudo-terminal: what is typed on the first is read from the second."""
    try:
        return pty.openpty()
    except OSError as error:  # such as in a container without /dev/pts
        pytest.skip(f"there is no pseudo-terminal here: {error}")

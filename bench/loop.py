"""The developer's loop: how long `adjourn up` takes to start, to follow an edit, and to stop.

    python -m bench.loop [rounds]

Ready is when the addresses are printed: then the functions listen. After an edit, the clock stops
when the stack says that it has reloaded, and when a task that is enqueued then has been run by the
new code. A busy stack is stopped while a task is under way that takes half a second more.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import adjourn
from adjourn.settings import Settings
from adjourn_local.runtime.running_stack import find

APP = """
import time

import adjourn

app = adjourn.App()


@app.deferred
def note(seconds: float) -> None:
    print("began", flush=True)
    time.sleep(seconds)
    print("version {version}", flush=True)
"""
_BUSY = 0.5


class Up:
    """A stack that was just started in a folder."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "adjourn_local", "up", "shop:app", "--port", "0", "--reload"],
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.read("adjourn is up for ")
        (stack,) = find(folder)
        self.variables: Mapping[str, str] = stack.environment

    def read(self, text: str) -> None:
        """Read up to a line with a text.

        Raises:
            SystemExit: The stack has ended before.
        """
        lines = []
        for line in self._process.stdout or ():
            lines.append(line)
            if text in line:
                return
        raise SystemExit(f"no {text!r} in\n{''.join(lines)}")

    def note(self, seconds: float = 0) -> None:
        """Enqueue the application's task."""
        app = adjourn.App(Settings.from_env(self.variables))
        app.deferred(name="shop.note")(_anything)(seconds)

    def stop(self) -> None:
        """Press Ctrl-C, and wait until the stack has ended."""
        self._process.send_signal(signal.SIGINT)
        self._process.communicate(timeout=60)


def _anything(_seconds: float) -> None:
    """Stand in for the application's task."""


def main(rounds: int) -> None:
    """Print the times."""
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for what, seconds in _measure().items():
            found.setdefault(what, []).append(seconds)
    print(f"{'':<44}{'best':>8}{'median':>10}")
    for what, each in found.items():
        print(f"{what:<44}{min(each):>6.2f} s{statistics.median(each):>8.2f} s")


def _measure() -> Mapping[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, 1)
        began = time.perf_counter()
        stack = Up(folder)
        ready = time.perf_counter() - began
        stack.note()
        stack.read("version 1")
        began = time.perf_counter()
        _write(folder, 2)
        stack.read("Reloaded")
        reloaded = time.perf_counter() - began
        stack.note()
        stack.read("version 2")
        executed = time.perf_counter() - began
        began = time.perf_counter()
        stack.stop()
        idle = time.perf_counter() - began
        stack = Up(folder)
        stack.note(_BUSY)
        stack.read("began")
        began = time.perf_counter()
        stack.stop()
        busy = time.perf_counter() - began
    return {
        "up to ready": ready,
        "an edit to reloaded": reloaded,
        "an edit to a task run by the new code": executed,
        "stop, idle": idle,
        f"stop, {_BUSY} s of a task left": busy,
    }


def _write(folder: Path, version: int) -> None:
    (folder / "shop.py").write_text(APP.replace("{version}", str(version)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)

"""Time from `adjourn up` to the first executed task.

    python bench/startup.py [rounds]

The clock starts with the process. As soon as the stack has printed its addresses, this program
(which has its clients loaded) enqueues a call; the clock stops when the task, run by the deferred
function, has told so over a socket.
"""

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from google.cloud import tasks_v2  # noqa: F401 - an application that is running has its client loaded

import adjourn
from adjourn.settings import Settings

ROOT = Path(__file__).resolve().parents[1]

APP = """
import os, socket
import adjourn

app = adjourn.App()


@app.deferred
def tell() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.sendto(b"done", os.environ["BENCH_EAR"])
"""


def main(rounds: int) -> None:
    """Print the times."""
    times = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            times.append(_measure(Path(folder)))
    up, first = zip(*times, strict=True)
    print(f"{'':<36}{'best':>8}{'median':>9}")
    for what, values in (("up to addresses printed", up), ("up to first task executed", first)):
        print(f"{what:<36}{min(values):>6.2f} s{statistics.median(values):>7.2f} s")


def _measure(folder: Path) -> tuple[float, float]:
    (folder / "bench_app.py").write_text(APP)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(folder / "ear"))
        ear.settimeout(60)
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "adjourn_local", "up", "bench_app:app", "--port", "0"],
            cwd=folder,
            env={**os.environ, "BENCH_EAR": str(folder / "ear")},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            settings = _settings(process)
            up = time.perf_counter() - began
            app = adjourn.App(settings)
            app.deferred(name="bench_app.tell")(_tell)()
            ear.recv(16)
            return up, time.perf_counter() - began
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)


def _tell() -> None:
    """Stand in for the task of the same name that the function has."""


def _settings(process: subprocess.Popen[str]) -> Settings:
    variables = {}
    for line in process.stdout or ():
        if line.startswith("  export "):
            name, value = line.removeprefix("  export ").strip().split("=", 1)
            variables[name] = value
        if line.startswith("  export GOOGLE_CLOUD_PROJECT"):
            return Settings.from_env(variables)
    raise SystemExit("adjourn up did not start")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)

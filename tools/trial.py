"""Use what was built as a newcomer does: install it, run an application, package it."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tools.commands import beside, run
from tools.errors import ReleaseError

_PATIENCE = 60.0  # seconds
_SHOP = """\
from pathlib import Path

import adjourn

app = adjourn.App()


@app.deferred
def note(text: str) -> None:
    Path("note.txt").write_text(text)
"""
_CALL = "import shop; shop.note('It works.')"


def try_out(built: Sequence[Path], version: str, pins: Path) -> None:
    """Install the wheels into an empty environment, and use them.

    Args:
        built: The distributions; only the wheels are tried.
        version: The version that they must have.
        pins: Requirements that choose the versions of all other packages.

    Raises:
        ReleaseError: Something does not work.
    """
    with tempfile.TemporaryDirectory(prefix="adjourn-") as name:
        folder = Path(name)
        programs = folder / "venv" / "bin"
        run(beside("uv"), "venv", "--quiet", "--python", sys.executable, programs.parent)
        install = ("pip", "install", "--quiet", "--python", programs / "python")
        wheels = [path for path in built if path.suffix == ".whl"]
        run(beside("uv"), *install, "--constraints", pins, *wheels)
        (folder / "shop.py").write_text(_SHOP, encoding="utf-8")
        said = run(programs / "adjourn", "--version", cwd=folder)
        if said != f"adjourn {version}\n":
            raise ReleaseError(f"`adjourn --version` says {said.strip()}, not {version}.")
        run(programs / "adjourn", "package", "shop:app", cwd=folder)
        _run_a_task(programs, folder)


def _run_a_task(programs: Path, folder: Path) -> None:
    """Let the laptop stack run a task, and stop it."""
    log = folder / "up.log"
    with log.open("w", encoding="utf-8") as output:
        up = subprocess.Popen(
            [programs / "adjourn", "up", "shop:app", "--port", "0"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(lambda: "adjourn is up" in log.read_text(encoding="utf-8"), up, log)
        python = programs / "python"
        run(programs / "adjourn", "exec", "--", python, "-c", _CALL, cwd=folder)
        _wait((folder / "note.txt").exists, up, log)
        up.send_signal(signal.SIGINT)
        _wait(lambda: up.poll() == 0, up, log)
    finally:
        up.kill()
        up.wait()


def _wait(is_done: Callable[[], bool], up: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while not is_done():
        if up.poll() is not None or time.monotonic() > until:
            raise ReleaseError(f"The laptop stack does not work:\n{log.read_text()}")
        time.sleep(0.05)

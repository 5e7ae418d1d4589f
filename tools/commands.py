"""Run programs, and say what they have printed if they fail."""

import subprocess
import sys
from pathlib import Path

from tools.errors import ReleaseError


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command, and return what it has printed.

    Raises:
        ReleaseError: It has failed; the message has what it printed.
    """
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = f"{done.stdout}{done.stderr}".strip()
        raise ReleaseError(f"This has failed: {' '.join(map(str, command))}\n{said}")
    return done.stdout


def beside(name: str) -> Path:
    """Return a program that is installed in the environment of this process."""
    return Path(sys.executable).with_name(name)

"""Environments with ViUR itself, one for each generation, made from the pinned requirements.

They are kept below `build` until the requirements change.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Of minor versions of Python: viur-core 3.7 has wheels up to 3.12, 3.9 begins with 3.12.
GENERATIONS = {"3.7": (11, 12), "3.9": (12, 13)}


class UnavailableError(Exception):
    """An environment cannot be made here; the message says why."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment with one generation of ViUR."""

    generation: str

    @property
    def requirements(self) -> Path:
        return ROOT / f"requirements-viur-{self.generation}.txt"

    @property
    def folder(self) -> Path:
        return ROOT / "build" / f"viur-{self.generation}"

    def python(self) -> Path:
        """Return the interpreter, having made the environment if there is none.

        Raises:
            UnavailableError: It cannot be made.
        """
        interpreter, ready = self.folder / "bin" / "python", self.folder / ".ready"
        wanted = hashlib.sha256(self.requirements.read_bytes()).hexdigest()
        if not (ready.exists() and ready.read_text() == wanted):
            shutil.rmtree(self.folder, ignore_errors=True)
            _run(base_python(self.generation), "-m", "venv", str(self.folder))
            pip = ("-m", "pip", "install", "-q", "--disable-pip-version-check", "--retries", "1")
            _run(str(interpreter), *pip, "--require-hashes", "-r", str(self.requirements))
            ready.write_text(wanted)
        return interpreter


def base_python(generation: str) -> str:
    """Return an interpreter that a generation of ViUR runs on.

    Raises:
        UnavailableError: There is none.
    """
    for minor in GENERATIONS[generation]:
        if sys.version_info[:2] == (3, minor):
            return sys.executable
    for minor in GENERATIONS[generation]:
        for candidate in _candidates(f"3.{minor}"):
            if _answers(candidate):
                return candidate
    wanted = " or ".join(f"3.{minor}" for minor in GENERATIONS[generation])
    raise UnavailableError(f"viur-core {generation} needs Python {wanted}, which is not here")


def _candidates(version: str) -> Iterator[str]:
    found = shutil.which(f"python{version}")
    if found:
        yield found
    pyenv = shutil.which("pyenv")
    if pyenv:
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False)
        versions = Path(root.stdout.strip()) / "versions"
        yield from map(str, sorted(versions.glob(f"{version}.*/bin/python"), reverse=True))


def _answers(python: str) -> bool:
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def _run(*command: str) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(command, capture_output=True, text=True, env=clean, check=False)
    if done.returncode:
        raise UnavailableError(f"{' '.join(command)}: {done.stderr[-2000:]}")


if __name__ == "__main__":
    for each in GENERATIONS:
        sys.stdout.write(f"{each} {Environment(each).python()}\n")

"""adjourn as users have it: installed from its sources into an environment of its own."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 300


def copy_sources(folder: Path) -> Path:
    """Copy what is built of the checkout, without what earlier builds may have left there."""
    made = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    for name in ("shared", "local", "functions"):
        shutil.copytree(ROOT / name, folder / name, ignore=made)
    shutil.copyfile(ROOT / "requirements.txt", folder / "requirements.txt")
    return folder


def make_environment(folder: Path) -> Path:
    """Make an environment with all that adjourn requires, without adjourn; return its Python."""
    run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    site = next((folder / "lib").glob("python*/site-packages"))
    # Packages alone: the file there that leads to the checkout has no effect from here.
    theirs = [str(Path(pytest.__file__).resolve().parents[1]), sysconfig.get_path("purelib")]
    (site / "required.pth").write_text("\n".join(dict.fromkeys(theirs)))
    return folder / "bin" / "python"


def install(python: Path, *sources: str) -> None:
    """Install with pip, with the build backend that is there, so that no index is needed."""
    run(str(python), "-m", "pip", "install", "--no-deps", "--no-build-isolation", *sources)


def run(*command: str, cwd: Path | None = None) -> str:
    """Run a command in a neutral folder, and return what it printed."""
    done = subprocess.run(
        command,
        cwd=cwd or Path(sys.prefix),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

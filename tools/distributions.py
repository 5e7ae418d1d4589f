"""The source distributions and wheels of both packages."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.commands import beside, run

_FOLDERS = ("shared", "local")


def build(checkout: Path, output: Path) -> Sequence[Path]:
    """Build everything into a folder, which is emptied before, and return the files.

    Each wheel is built from its source distribution, as others would build it.

    Raises:
        ReleaseError: Something cannot be built, or is not as package indexes want it.
    """
    shutil.rmtree(output, ignore_errors=True)
    # With the build backend that is pinned, so that the same sources give the same bytes.
    options = ("--quiet", "--no-build-isolation", "--python", sys.executable, "--out-dir", output)
    for folder in _FOLDERS:
        run(beside("uv"), "build", *options, checkout / folder)
    built = sorted(path for path in output.iterdir() if path.suffix in {".gz", ".whl"})
    run(sys.executable, "-m", "twine", "check", "--strict", *built)
    return built

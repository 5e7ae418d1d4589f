"""Build the package: with the version of the library, and what lies beside this folder.

A source distribution has it all inside, so that a wheel can be built from it.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

_COPIES = "adjourn_local/deployed"


class Release(MetadataHookInterface):
    """Gives the package the version of the library, and makes it need exactly that version."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the version and the dependencies."""
        version = _version(Path(self.root).parent / "shared" / "adjourn" / "__init__.py")
        metadata["version"] = version
        metadata["dependencies"] = [f"adjourn=={version}", *self.config["dependencies"]]


class Deployed(BuildHookInterface[Any]):
    """Copies the functions and the pinned requirements, so that no checkout is needed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files to what is built, unless they are in the source distribution already."""
        root = Path(self.root)
        if version == "editable" or (root / _COPIES / "requirements.txt").is_file():
            return
        checkout = root.parent
        files = [*checkout.glob("functions/*/main.py"), checkout / "requirements.txt"]
        for file in files:
            target = file.relative_to(checkout).as_posix().removeprefix("functions/")
            build_data["force_include"][str(file)] = f"{_COPIES}/{target}"


def _version(file: Path) -> str:
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no {file}; build adjourn-local from a whole checkout, or from its source"
            " distribution."
        )
    found = re.search(r'^__version__ = "(.+)"$', file.read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise ValueError(f"{file} has no __version__.")
    return found[1]

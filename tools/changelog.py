"""The changelog, and how its unreleased entries become those of a version."""

import datetime as dt
import re

from tools.errors import ReleaseError

_UNRELEASED = "## [Unreleased]"


def released(text: str, version: str, on: dt.date) -> str:
    """Return the text of a changelog in which the unreleased entries are those of a version.

    Raises:
        ReleaseError: There are none, or the version is there already.
    """
    if f"\n## [{version}]" in text:
        raise ReleaseError(f"CHANGELOG.md has the version {version} already.")
    if not entries(text, "Unreleased"):
        raise ReleaseError(
            "CHANGELOG.md has no unreleased entries, so there is nothing to release."
        )
    return text.replace(_UNRELEASED, f"{_UNRELEASED}\n\n## [{version}] - {on.isoformat()}", 1)


def entries(text: str, heading: str) -> str:
    """Return what stands below a heading such as `Unreleased` or a version; "" if nothing does."""
    found = re.search(
        rf"^## \[{re.escape(heading)}\][^\n]*\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE
    )
    return found[1].strip() if found and re.search(r"^- ", found[1], re.MULTILINE) else ""

"""Make a release: set the version, close the changelog, build, check and try both packages.

    python -m tools.release VERSION
    python -m tools.release            # build, check and try the version that is there

Nothing is committed, tagged or uploaded; what is left to do is printed. Needs a package index.
"""

import argparse
import datetime as dt
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from packaging.version import InvalidVersion, Version

from tools.changelog import released
from tools.commands import run
from tools.distributions import build
from tools.errors import ReleaseError
from tools.trial import try_out

CHECKOUT = Path(__file__).resolve().parents[1]

_VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
_LEFT = """\
{count} files are in {output}, built, checked and tried.
Left to do, when .ci/run has passed:
  git commit -a -m "Release {version}"
  git tag -a v{version} -m "adjourn {version}"
  git push --follow-tags
docs/releasing.md tells how they are published."""


def main(arguments: Sequence[str]) -> int:
    """Make a release, or try the present version, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    parser.add_argument("version", nargs="?", help="such as 1.4.0")
    version = parser.parse_args(arguments).version
    try:
        if version:
            release(CHECKOUT, version, dt.datetime.now(dt.UTC).date(), distribute)
        else:
            distribute(CHECKOUT)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


def release(
    checkout: Path, version: str, on: dt.date, make: Callable[[Path], Sequence[Path]]
) -> None:
    """Set the version, close the changelog, and make the distributions.

    Args:
        checkout: The repository.
        version: The version to release.
        on: The day of the release.
        make: Makes the distributions of a checkout and returns them.

    Raises:
        ReleaseError: Something is not ready or does not work; then no file is changed.
    """
    if run("git", "status", "--porcelain", cwd=checkout):
        raise ReleaseError("The checkout has changes; commit or stash them first.")
    _check(version, current(checkout))
    module, changelog = _module(checkout), checkout / "CHANGELOG.md"
    with _restored_on_failure(module, changelog):
        changelog.write_text(released(changelog.read_text("utf-8"), version, on), "utf-8")
        module.write_text(_VERSION.sub(f'__version__ = "{version}"', module.read_text("utf-8")))
        built = make(checkout)
    print(_LEFT.format(count=len(built), output=built[0].parent, version=version))


def distribute(checkout: Path) -> Sequence[Path]:
    """Build, check and try the distributions of the present version, and return them.

    Raises:
        ReleaseError: Something does not work.
    """
    built = build(checkout, checkout / "dist")
    try_out(built, current(checkout), checkout / "requirements-dev.txt")
    return built


def current(checkout: Path) -> str:
    """Return the version of a checkout."""
    found = _VERSION.search(_module(checkout).read_text(encoding="utf-8"))
    if not found:
        raise ReleaseError(f"{_module(checkout)} has no __version__.")
    return found[1]


def _module(checkout: Path) -> Path:
    return checkout / "shared" / "adjourn" / "__init__.py"


def _check(version: str, before: str) -> None:
    try:
        is_normal = str(Version(version)) == version
    except InvalidVersion:
        is_normal = False
    if not is_normal:
        raise ReleaseError(f"{version} is not a version such as 1.4.0 or 2.0.0rc1.")
    if Version(version) < Version(before):
        raise ReleaseError(f"{version} is older than {before}, which is there.")


@contextmanager
def _restored_on_failure(*paths: Path) -> Iterator[None]:
    before = {path: path.read_bytes() for path in paths}
    try:
        yield
    except BaseException:
        for path, content in before.items():
            path.write_bytes(content)
        raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A release: what it changes, what it makes, and when it is refused."""

import datetime as dt
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.installed import ROOT, copy_sources
from tools.changelog import entries, released
from tools.commands import run
from tools.distributions import build
from tools.errors import ReleaseError
from tools.release import current, main, release

TODAY = dt.date(2027, 3, 1)
CHANGELOG = """\
# Changelog

## [Unreleased]

### Added

- A thing.

## [0.0.1] - 2026-01-01

### Fixed

- Another.
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a repository with what a release needs of the checkout."""
    if not shutil.which("git"):
        pytest.skip("needs git")
    checkout = copy_sources(tmp_path / "adjourn")
    shutil.copyfile(ROOT / "requirements-dev.txt", checkout / "requirements-dev.txt")
    (checkout / ".gitignore").write_text("dist/\n__pycache__/\n")
    (checkout / "CHANGELOG.md").write_text(CHANGELOG)
    git(checkout, "init", "-q")
    commit(checkout)
    return checkout


def git(checkout: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    return run("git", *who, "-C", checkout, *words)


def commit(checkout: Path) -> None:
    git(checkout, "add", "-A")
    git(checkout, "commit", "-q", "-m", "All")


def make(checkout: Path) -> Sequence[Path]:
    """Build and check, but do not try: CI does that, with `make dist`."""
    return build(checkout, checkout / "dist")


def test_the_unreleased_entries_become_those_of_the_version() -> None:
    text = released(CHANGELOG, "1.2.0", TODAY)

    assert "## [Unreleased]\n\n## [1.2.0] - 2027-03-01\n\n### Added\n\n- A thing.\n" in text
    assert entries(text, "Unreleased") == ""
    assert entries(text, "1.2.0") == "### Added\n\n- A thing."
    assert entries(text, "0.0.1") == "### Fixed\n\n- Another."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CHANGELOG.replace("- A thing.", ""), "no unreleased entries"),
        (CHANGELOG.replace("[Unreleased]", "[9.9.9]"), "no unreleased entries"),
        (CHANGELOG.replace("0.0.1", "1.2.0"), "has the version 1.2.0 already"),
    ],
)
def test_a_changelog_that_does_not_fit_is_refused(text: str, said: str) -> None:
    with pytest.raises(ReleaseError, match=said):
        released(text, "1.2.0", TODAY)


def test_the_changelog_of_the_checkout_is_of_that_form() -> None:
    assert entries((ROOT / "CHANGELOG.md").read_text(), "Unreleased") or entries(
        (ROOT / "CHANGELOG.md").read_text(), current(ROOT)
    )


def test_a_release_sets_version_and_changelog_and_builds_both_packages(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commits = git(checkout, "rev-parse", "HEAD")

    release(checkout, "9.8.7", TODAY, make)

    assert current(checkout) == "9.8.7"
    assert "## [9.8.7] - 2027-03-01" in (checkout / "CHANGELOG.md").read_text()
    assert sorted(path.name for path in (checkout / "dist").glob("a*")) == [
        "adjourn-9.8.7-py3-none-any.whl",
        "adjourn-9.8.7.tar.gz",
        "adjourn_local-9.8.7-py3-none-any.whl",
        "adjourn_local-9.8.7.tar.gz",
    ]
    changed = git(checkout, "status", "--porcelain").split()
    assert changed == ["M", "CHANGELOG.md", "M", "shared/adjourn/__init__.py"]
    assert git(checkout, "rev-parse", "HEAD") == commits
    assert git(checkout, "tag") == ""
    assert 'git tag -a v9.8.7 -m "adjourn 9.8.7"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("0.0.1", "0.0.1 is older than"),
        ("v1.2.0", "v1.2.0 is not a version"),
        ("1.2.0-rc1", "1.2.0-rc1 is not a version"),
        ("next", "next is not a version"),
    ],
)
def test_a_version_that_cannot_be_is_refused(checkout: Path, version: str, said: str) -> None:
    with pytest.raises(ReleaseError, match=said):
        release(checkout, version, TODAY, make)
    assert git(checkout, "status", "--porcelain") == ""


def test_changes_that_are_not_committed_are_not_released(checkout: Path) -> None:
    (checkout / "shared" / "adjourn" / "new.py").touch()

    with pytest.raises(ReleaseError, match="commit or stash them first"):
        release(checkout, "1.2.0", TODAY, make)


def test_a_release_that_fails_changes_nothing(checkout: Path) -> None:
    (checkout / "requirements.txt").unlink()  # which adjourn-local has to have
    commit(checkout)

    with pytest.raises(ReleaseError, match=r"This has failed: .*uv build"):
        release(checkout, "1.2.0", TODAY, make)

    assert git(checkout, "status", "--porcelain") == ""


def test_what_a_package_index_would_refuse_is_refused(checkout: Path) -> None:
    (checkout / "local" / "README.md").write_text("")

    with pytest.raises(ReleaseError, match=r"twine check"):
        build(checkout, checkout / "dist")


def test_a_refusal_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["0.0.0.dev0"]) == 1

    said = capsys.readouterr().err
    assert said.startswith("release: ")
    assert said.count("\n") == 1


def test_make_prints_the_version_for_the_workflow_that_publishes() -> None:
    assert run("make", "-s", "version", cwd=ROOT) == f"{current(ROOT)}\n"
    assert "make version" in (ROOT / "docs" / "releasing.md").read_text()

"""Who can see the state of a stack, and what a repository takes of it."""

import os
import stat
from pathlib import Path

import pytest

from adjourn_local.errors import StackError
from adjourn_local.runtime.folder import StateFolder
from adjourn_local.runtime.stack import Stack, running


def modes(folder: Path) -> dict[str, str]:
    """Return the permissions of a folder and of all in it."""
    found = {".": folder, **{path.name: path for path in folder.iterdir()}}
    return {name: f"{stat.S_IMODE(path.stat().st_mode):o}" for name, path in found.items()}


@pytest.fixture(autouse=True)
def _everybody_may_read():
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_running_stack_keeps_its_state_to_its_owner(tmp_path):
    folder = tmp_path / "new" / "state"
    with running(Stack(None, state=folder)):
        seen = modes(folder)

    assert seen.pop(".") == "700"
    assert seen == dict.fromkeys(seen, "600")
    assert {"adjourn.sqlite3", "adjourn.sqlite3-wal", "adjourn.sqlite3-shm", "lock"} < seen.keys()


def test_a_looser_folder_of_an_earlier_version_is_tightened(tmp_path):
    tmp_path.chmod(0o755)
    for name in ("adjourn.sqlite3", "adjourn.sqlite3-wal", "adjourn.sqlite3.damaged-1", "lock"):
        (tmp_path / name).touch(0o644)

    with StateFolder(tmp_path):
        seen = modes(tmp_path)

    assert seen.pop(".") == "700"
    assert seen == dict.fromkeys(seen, "600")
    assert ".gitignore" in seen


def test_a_repository_takes_nothing_of_it(tmp_path):
    with StateFolder(tmp_path):
        pass

    assert (tmp_path / ".gitignore").read_text().endswith("\n*\n")


def test_a_folder_stays_ours_whatever_is_added_to_it(tmp_path):
    with StateFolder(tmp_path):
        (tmp_path / "of-a-later-version").touch(0o644)
    tmp_path.chmod(0o755)

    with StateFolder(tmp_path):
        assert modes(tmp_path)["."] == "700"
        assert modes(tmp_path)["of-a-later-version"] == "600"


@pytest.mark.parametrize("others", ["shop.py", ".gitignore"])
def test_the_folder_of_a_project_is_left_as_it_is(tmp_path, caplog, others):
    tmp_path.chmod(0o755)
    (tmp_path / others).write_text("build/\n")
    (tmp_path / "adjourn.sqlite3").touch(0o644)

    with StateFolder(tmp_path):
        seen = modes(tmp_path)

    assert (seen["."], seen[others]) == ("755", "666")
    assert (seen["adjourn.sqlite3"], seen["lock"]) == ("600", "600")
    assert (tmp_path / others).read_text() == "build/\n"
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path} has other files in it; only those of the state are made private."
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may change every folder")
def test_a_folder_of_somebody_else_is_refused():
    with pytest.raises(StackError, match="The state cannot be kept in /tmp/"):
        StateFolder(Path("/tmp"))

"""Stacks that run are found, and those that were killed are not."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from adjourn_local.runtime.running_stack import RunningStack, announced, find

KILLED = """
import os, signal, sys
from adjourn_local.runtime.running_stack import RunningStack, announced
from pathlib import Path
os.chdir(sys.argv[1])
with announced(RunningStack.here("shop:app", Path(), [1, 2, 3, 4, 5], {})):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def stack(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = tmp_path / "state"
    return RunningStack.here("shop:app", tmp_path, [1, 2, 3, 4, 5], {"A": "é"}, state)


def test_a_stack_is_found_where_it_was_started_and_below(stack, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)

    with announced(stack):
        assert find(tmp_path) == find(tmp_path / "deep" / "er") == [stack]
        assert find(tmp_path.parent) == []
    assert find(tmp_path) == []
    assert not (tmp_path / ".adjourn").exists()


def test_the_file_is_its_owners_alone(stack, tmp_path):
    with announced(stack):
        (file,) = (tmp_path / ".adjourn" / "stacks").iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700


def test_a_stack_that_was_killed_is_not_found(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    (left,) = (tmp_path / ".adjourn" / "stacks").iterdir()

    assert done.returncode == -9
    assert find(tmp_path) == []
    assert not left.exists()


def test_the_state_of_a_stack_stays_where_it_is(stack, tmp_path):
    (tmp_path / ".adjourn").mkdir()
    (tmp_path / ".adjourn" / "adjourn.sqlite3").touch()
    with announced(stack):
        pass
    assert [path.name for path in (tmp_path / ".adjourn").iterdir()] == ["adjourn.sqlite3"]


def test_the_nearest_folder_counts_and_all_stacks_in_it(stack, tmp_path):
    inner = replace(stack, folder=str(tmp_path / "inner"))
    (tmp_path / "inner").mkdir()
    with announced(stack), announced(inner):
        assert find(tmp_path / "inner") == [inner]
        assert find(tmp_path) == [stack]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"app": 1}', "no json"])
def test_what_cannot_be_read_is_no_stack(stack, tmp_path, content):
    with announced(stack):
        (file,) = (tmp_path / ".adjourn" / "stacks").iterdir()
        text = file.read_text()
        file.write_text(content)
        assert find(tmp_path) == []
        file.write_text(text)
        assert json.loads(text)["environment"] == {"A": "é"}
        assert find(tmp_path) == [stack]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("given_away", [".", "{pid}.json"])
def test_a_stack_of_somebody_else_is_not_trusted(stack, tmp_path, given_away):
    """In a folder that all may write, such as /tmp, it could lead to code of his."""
    with announced(stack):
        os.chown(
            tmp_path / ".adjourn" / "stacks" / given_away.format(pid=os.getpid()), 12345, 12345
        )
        assert find(tmp_path) == []

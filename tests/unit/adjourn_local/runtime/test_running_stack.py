"""Which stack a command trusts."""

import os

import pytest

from adjourn_local.runtime.folder import StateFolder
from adjourn_local.runtime.running_stack import RunningStack, announced, find

STACK = RunningStack(app="shop:app", source="/shop", environment={"ADJOURN_PROJECT": "p"})


def test_the_stack_of_a_folder_above_is_found_while_it_runs(tmp_path):
    state, below = tmp_path / ".adjourn", tmp_path / "a" / "b"
    below.mkdir(parents=True)
    with StateFolder(state), announced(state, STACK):
        assert find(below) == (state, STACK)
        assert (state / "running.json").stat().st_mode & 0o777 == 0o600
    assert find(below) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("given_away", [".", "running.json"])
def test_a_folder_of_somebody_else_is_not_trusted(tmp_path, given_away):
    """In a folder that all may write, such as /tmp, it could lead to code of his."""
    state = tmp_path / ".adjourn"
    with StateFolder(state), announced(state, STACK):
        os.chown(state / given_away, 12345, 12345)
        assert find(tmp_path) is None

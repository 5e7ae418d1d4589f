"""A delivery takes a short way through the library, which `bench.journeys` follows."""

import json
import subprocess
import sys

import pytest

from tests.checkout import ROOT

STEP_FILES = 18
CALL_FILES = 15

# In a process of its own: a profile function would see what other tests have left running.
FOLLOW = """
import json
from bench import journeys
print(json.dumps([journeys.step().entered, journeys.call().entered]))
"""


@pytest.fixture(scope="module")
def followed():
    """Return the files that a step and a plain call enter."""
    environment = {"PYTHONPATH": f"{ROOT / 'shared'}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", FOLLOW],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_step_of_an_iteration_enters_few_files(followed):
    step, _ = followed

    assert {"requests/http.py", "iteration/shard_step.py", "iteration/walk.py"} <= set(step)
    assert len(step) <= STEP_FILES, step


def test_a_plain_call_enters_few_files(followed):
    _, call = followed

    assert {"requests/http.py", "execution/runner.py"} <= set(call)
    assert len(call) <= CALL_FILES, call

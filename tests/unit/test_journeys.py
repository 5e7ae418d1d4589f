"""A delivery takes a short way through the library, which `bench.journeys` follows."""

from bench import journeys

STEP_FILES = 18
CALL_FILES = 15


def test_a_step_of_an_iteration_enters_few_files():
    step = journeys.step()

    assert {"requests/wsgi.py", "iteration/shard_step.py", "iteration/walk.py"} <= set(step.entered)
    assert len(step.entered) <= STEP_FILES, step.entered


def test_a_plain_call_enters_few_files():
    call = journeys.call()

    assert {"requests/wsgi.py", "execution/runner.py"} <= set(call.entered)
    assert len(call.entered) <= CALL_FILES, call.entered

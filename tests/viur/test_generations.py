"""The tests in `real`, each in an environment with ViUR itself, of either generation."""

import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest

from tests.viur.environments import GENERATIONS, ROOT, Environment, UnavailableError

REAL = Path(__file__).parent / "real"
_WITHOUT = ("-p", "no:cacheprovider", "-p", "no:logging")


def run(generation: str) -> subprocess.CompletedProcess[str]:
    """Run the tests with a generation of ViUR.

    Raises:
        UnavailableError: Its environment cannot be made.
    """
    python = Environment(generation).python()
    return subprocess.run(
        [python, "-m", "pytest", str(REAL), "-q", "-W", "ignore", *_WITHOUT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@cache
def runs() -> dict[str, Future[subprocess.CompletedProcess[str]]]:
    """Begin to run them with all generations at the same time."""
    pool = ThreadPoolExecutor(len(GENERATIONS))
    return {each: pool.submit(run, each) for each in GENERATIONS}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_what_adjourn_promises_holds_beside_viur_itself(generation):
    try:
        done = runs()[generation].result()
    except UnavailableError as error:
        pytest.skip(f"NOT TESTED against viur-core {generation}: {error}")
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]

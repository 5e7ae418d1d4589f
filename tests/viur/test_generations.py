"""The tests in `real`, each in an environment with ViUR itself, of either generation."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.viur.environments import GENERATIONS, ROOT, UnavailableError, python_of

_WITHOUT = ("-p", "no:cacheprovider", "-p", "no:logging")
REAL = Path(__file__).parent / "real"


@pytest.mark.parametrize("generation", GENERATIONS)
def test_what_adjourn_promises_holds_beside_viur_itself(generation):
    try:
        python = python_of(generation)
    except UnavailableError as error:
        pytest.skip(f"NOT TESTED against viur-core {generation}: {error}")
    done = subprocess.run(
        [python, "-m", "pytest", str(REAL), "-q", "-W", "ignore", *_WITHOUT],
        cwd=ROOT,
        env={**os.environ, "VIUR_GENERATION": generation},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]

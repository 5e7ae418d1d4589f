"""Mypy, as strict as for adjourn itself, over what users write."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_what_users_write_is_judged_as_it_should_be():
    folder = Path(__file__).parent
    command = [sys.executable, "-m", "mypy", folder / "declarations.py", folder / "ports.py"]

    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout

"""Type checkers accept what users write rightly, and complain in each line that is wrong.

Those lines have the comment `# type: ignore` with mypy's code for the error. Mypy sees to it that
none is missing and that none is needless; pyright has to complain in the same lines.
"""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [Path(__file__).with_name(name) for name in ("data.py", "declarations.py", "ports.py")]


def test_what_users_write_is_judged_as_it_should_be():
    command = [sys.executable, "-m", "mypy", *FILES]

    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout


@pytest.mark.skipif(find_spec("basedpyright") is None, reason="basedpyright is not installed")
def test_pyright_complains_in_the_same_lines(tmp_path):
    configuration = {
        "include": [str(each) for each in FILES],
        "extraPaths": [str(ROOT / each) for each in ("shared", "local", ".")],
        "typeCheckingMode": "standard",  # as pyright itself has it
        "enableTypeIgnoreComments": False,
        "pythonVersion": "3.11",
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(configuration), encoding="utf-8")
    program = ["-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
    command = [sys.executable, *program, "--project", tmp_path]

    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    report = json.loads(checked.stdout)
    errors = {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1): each["message"]
        for each in report["generalDiagnostics"]
        if each["severity"] == "error"
    }
    wrong = {
        (path.name, number)
        for path in FILES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "# type: ignore" in line
    }
    assert report["summary"]["filesAnalyzed"] == len(FILES)
    assert len(wrong) > 50
    assert {place: text for place, text in errors.items() if place not in wrong} == {}
    assert wrong - set(errors) == set()

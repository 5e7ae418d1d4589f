"""What docs/testing.md shows, run as it stands, in a project of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs" / "testing.md"
CONFTEST = """
import pytest
import shop

@pytest.fixture(autouse=True)
def emptied():
    shop.mails.clear()
"""
FAILING = """
from shop import place_order, send_receipt

def test_it(adjourn_app):
    place_order("A-1")
    adjourn_app.assert_enqueued(send_receipt, "A-2")
"""


def blocks(language: str) -> list[str]:
    text = DOCS.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def pytest_of_a_user(folder: Path, *options: str) -> str:
    paths = os.pathsep.join(path for path in sys.path if path and path != str(folder))
    plugins = ("-p", "adjourn.testing.plugin", "-p", "adjourn_local.plugin")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *plugins, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    ).stdout


def test_the_examples_of_the_test_kit_pass(tmp_path: Path) -> None:
    shop, *tests = blocks("python")
    (tmp_path / "shop.py").write_text(shop)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("".join(blocks("ini")))
    for number, test in enumerate(tests):
        (tmp_path / f"test_{number}.py").write_text(test)

    told = pytest_of_a_user(tmp_path)

    names = re.findall(r"^def (test_\w+)", "\n".join(tests), re.MULTILINE)
    assert len(names) >= 10
    assert told.count(" PASSED") == len(names), told
    assert f"{len(names)} passed in" in told


def test_a_failing_assertion_reads_as_shown(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(blocks("python")[0])
    (tmp_path / "pytest.ini").write_text("".join(blocks("ini")))
    (tmp_path / "test_it.py").write_text(FAILING)

    told = pytest_of_a_user(tmp_path)

    (shown,) = blocks("text")
    unmarked = re.sub(r"^E +(AssertionError: )?", "", told, flags=re.MULTILINE)
    for line in shown.splitlines():
        assert line.strip() in unmarked, told

"""Each sentence of the guide is held by a test: every block names those that would fail."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "moving-from-viur.md").read_text(encoding="utf-8")
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
}


def blocks():
    """Yield what says something: paragraphs, items of lists and rows of tables."""
    prose = re.sub(r"```.*?```", "", GUIDE, flags=re.DOTALL)
    for part in re.split(r"\n{2,}", prose):
        if part.startswith("|"):
            yield from part.splitlines()[2:]
        elif part.startswith("* "):
            yield from re.split(r"\n(?=\* )", part)
        elif part.strip() and not part.lstrip().startswith("#"):
            yield part


def named(block):
    return [name for marker in re.findall(r"<!--(.*?)-->", block) for name in marker.split()]


def test_there_are_blocks():
    assert len(list(blocks())) > 60


def test_each_block_names_the_tests_that_hold_it():
    assert [block for block in blocks() if not named(block)] == []


def test_the_tests_that_are_named_are_there():
    assert {name for block in blocks() for name in named(block)} - TESTS == set()

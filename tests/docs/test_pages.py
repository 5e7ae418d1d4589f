"""What the pages show is Python that runs, and what they name is there."""

import re
from importlib import import_module
from pathlib import Path

import flask
import pytest

import adjourn
import adjourn_local.cli

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
COMMAND = re.compile(r"(?:^|\$ |\$\()adjourn ([a-z]+)\b", re.MULTILINE)


def blocks(page: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```python[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_python(page: Path) -> None:
    for block in blocks(page.name):
        compile(block, page.name, "exec")


def test_the_web_applications_run() -> None:
    names: dict[str, object] = {"__name__": "frameworks"}
    for block in blocks("frameworks.md"):
        exec(compile(block, "frameworks.md", "exec"), names)

    assert isinstance(names["app"], adjourn.App)
    assert isinstance(names["web"], flask.Flask)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_are_named_exist(page: Path) -> None:
    code = re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))
    code += re.findall(
        r"^```(?:sh|console)?\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE
    )
    named = {word for text in code for word in COMMAND.findall(text)}

    assert named <= set(adjourn_local.cli._COMMANDS)
    for name in named:
        import_module(f"adjourn_local.commands.{name}")

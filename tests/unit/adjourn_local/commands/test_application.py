"""What is said of an application that a command cannot import."""

import sys
from pathlib import Path

import pytest

from adjourn_local.cli import main
from adjourn_local.commands.application import import_app


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Be in a folder for modules, which are forgotten in the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def (:", "SyntaxError: invalid syntax (broken_shop.py, line 1)"),
        (
            "\nimport no_such_thing",
            "ModuleNotFoundError: No module named 'no_such_thing' ({path}, line 2)",
        ),
        ("raise KeyError('x')", "KeyError: 'x' ({path}, line 1)"),
        ("raise ValueError('a\\nb')", "ValueError: a b ({path}, line 1)"),
        ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded"),
        ("import json\n\njson.loads('{')", "JSONDecodeError: Expecting property name"),
        ("raise SystemExit(3)", "SystemExit: 3 ({path}, line 1)"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [("export", "tfvars", "broken_shop:app"), ("cron", "list", "--app", "broken_shop:app")],
)
def test_where_and_how_its_code_fails_is_said_in_one_line(folder, capsys, code, told, command):
    path = folder / "broken_shop.py"
    path.write_text(code)

    assert main(command) == 2

    said = capsys.readouterr().err
    assert said.startswith(f"adjourn: broken_shop:app cannot be imported: {told.format(path=path)}")
    assert said.count("\n") == 1


@pytest.mark.parametrize("command", [("cron", "list"), ("doctor",)])
def test_that_no_application_is_named_is_said(capsys, monkeypatch, command):
    monkeypatch.delenv("ADJOURN_APP", raising=False)

    assert main(command) in {1, 2}

    told = capsys.readouterr()
    assert "No application is named: give package.module:app" in told.out + told.err


def test_the_line_that_is_told_is_one_of_the_applications(folder, capsys):
    (folder / "broken_shop.py").write_text("import json\n\njson.loads('{')")

    main(("cron", "list", "--app", "broken_shop:app"))

    assert capsys.readouterr().err.endswith("broken_shop.py, line 3)\n")


def test_ctrl_c_while_it_is_imported_ends_without_a_word(folder, capsys):
    (folder / "slow_shop.py").write_text("raise KeyboardInterrupt")

    assert main(("cron", "list", "--app", "slow_shop:app")) == 130
    assert capsys.readouterr() == ("", "")


def test_an_application_is_imported_from_its_folder(folder):
    (folder / "sound_shop.py").write_text("import adjourn\napp = adjourn.App()")

    app = import_app("sound_shop:app", Path(folder))

    assert app is sys.modules["sound_shop"].app

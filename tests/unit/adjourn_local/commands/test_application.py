"""What is said of an application that a command cannot import."""

import sys
from pathlib import Path

import pytest

from adjourn_local.cli import main
from adjourn_local.commands.application import import_app, locate
from adjourn_local.errors import UsageError


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


@pytest.fixture
def shop(tmp_path):
    """Return a folder with a package, a package in it, and a module beside them."""
    (tmp_path / "shop" / "inner").mkdir(parents=True)
    for name in (
        "shop/__init__.py",
        "shop/tasks.py",
        "shop/inner/__init__.py",
        "alone.py",
        "a-b.py",
    ):
        (tmp_path / name).touch()
    (tmp_path / "shop" / "inner" / "deep.py").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("named", "spec"),
    [
        ("alone.py:thing", "alone:thing"),
        ("alone.py", "alone:app"),
        ("shop/tasks.py:app", "shop.tasks:app"),
        ("./shop/inner/deep.py", "shop.inner.deep:app"),
        ("shop/../shop/__init__.py:app", "shop:app"),
        ("{folder}/shop/tasks.py:app", "shop.tasks:app"),
    ],
)
def test_a_file_is_imported_from_the_folder_of_its_outermost_package(shop, named, spec):
    assert locate(named.format(folder=shop), shop) == (spec, shop)


def test_a_file_in_the_home_folder_is_found(shop, monkeypatch):
    monkeypatch.setenv("HOME", str(shop))

    assert locate("~/shop/tasks.py:app", Path("/")) == ("shop.tasks:app", shop)


@pytest.mark.parametrize("named", ["shop.tasks:app", "shop", "", "py:app"])
def test_what_is_no_path_is_a_module_of_the_folder(shop, named):
    assert locate(named, shop) == (named, shop)


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("shop/gone.py:app", "There is no file {folder}/shop/gone.py;"),
        ("shop/tasks:app", "There is no file {folder}/shop/tasks;"),
        ("a-b.py:app", "{folder}/a-b.py cannot be imported: 'a-b' is not a module's name."),
    ],
)
def test_a_file_that_cannot_be_an_application_is_refused(shop, named, told):
    with pytest.raises(UsageError) as refused:
        locate(named, shop)
    assert told.format(folder=shop) in str(refused.value)


def test_a_file_is_packaged_by_its_module(shop):
    (shop / "shop" / "tasks.py").write_text("import adjourn\napp = adjourn.App()\n")
    output = shop / "build"

    assert main(["package", str(shop / "shop" / "tasks.py"), "--output", str(output)]) == 0

    assert '"app": "shop.tasks:app"' in (output / "manifest.json").read_text()
    assert (output / "deferred" / "shop" / "inner" / "deep.py").is_file()

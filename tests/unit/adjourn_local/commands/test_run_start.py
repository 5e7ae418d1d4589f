"""How `adjourn runs start` reads what it is given; tests/e2e/test_runs.py has the rest."""

import io
import sys
import types

import pytest

import adjourn
from adjourn_local.cli import main
from tests.support import SHOP

SETTINGS = {**SHOP, "DATASTORE_EMULATOR_HOST": "127.0.0.1:1"}


@pytest.fixture
def started(monkeypatch):
    """Give the command an application, and return what its class is started with."""
    seen = []

    class Walk(adjourn.DeleteEntitiesIter):
        @classmethod
        def start(cls, query, custom_data=None, **options):
            listed = list(query.items()) if hasattr(query, "items") else query
            seen.append((cls.registered_name, listed, custom_data, options))
            return types.SimpleNamespace(id="r", is_new=options["name"] is None)

    app = adjourn.App()
    for name in ("shop.Walk", "shop.stock.Walk", "shop.Forget"):
        app.query_iter(name=name)(type("Walk", (Walk,), {}))
    module = types.ModuleType("shop_app")
    module.app = app
    monkeypatch.setitem(sys.modules, "shop_app", module)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("adjourn_local.commands.run_start.check_emulators", lambda *_names: None)
    return seen


def start(*arguments):
    try:
        return main(["runs", "start", "--app", "shop_app:app", *arguments])
    except SystemExit as end:
        return end.code


def test_all_options_are_handed_over(started, capsys):
    told = start(
        *("shop.Forget", "--kind", "Visit", "--namespace", "eu", "--data", '{"a": 1}'),
        *("--shards", "8", "--queue", "slow", "--limit", "5"),
        *("--entities-per-second", "0.5", "--dry-run"),
    )

    assert (told, capsys.readouterr().out) == (0, "r\n")
    ((name, query, data, options),) = started
    assert (name, data) == ("shop.Forget", {"a": 1})
    assert (query.kind, query.namespace, query.project) == ("Visit", "eu", "shop")
    assert options == {
        "shards": 8,
        "name": None,
        "queue": "slow",
        "limit": 5,
        "entities_per_second": 0.5,
        "dry_run": True,
    }


def test_a_class_is_found_by_the_end_of_its_name(started):
    assert start("Forget", "--kind", "Visit") == 0
    assert start("stock.Walk", "--kind", "Visit") == 0
    assert start("shop.Walk", "--kind", "Visit") == 0

    assert [each[0] for each in started] == ["shop.Forget", "shop.stock.Walk", "shop.Walk"]


def test_a_name_that_is_taken_is_told(started, capsys):
    assert start("Forget", "--kind", "Visit", "--name", "spring") == 0

    assert started
    assert capsys.readouterr().err == "adjourn: It had been started under that name.\n"


def test_keys_are_read_from_a_file(started, tmp_path):
    path = tmp_path / "keys"
    path.write_text('Product/17\n\n["Product", "17"]\nShop/a/Product/b c\n')

    assert start("Forget", "--keys-file", str(path), "--namespace", "eu") == 0

    keys = started[0][1]
    assert [each.flat_path for each in keys] == [
        ("Product", 17),
        ("Product", "17"),
        ("Shop", "a", "Product", "b c"),
    ]
    assert {(each.project, each.namespace) for each in keys} == {("shop", "eu")}


def test_lines_come_from_the_standard_input(started, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("A-1\n\n A-2 \n"))

    assert start("Forget", "--ids-file", "-") == 0

    assert started[0][1] == ["A-1", "A-2"]


def test_a_csv_file_is_read(started, tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("id;name\n7;A\n")

    assert start("Forget", "--csv", str(path), "--delimiter", ";") == 0

    assert started[0][1] == [{"id": "7", "name": "A"}]


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize(
    "line", ["Product", "Product/", "/1", '["Product", 1.5]', "[1, 2]", "[", "[]"]
)
def test_what_is_no_key_is_told_with_its_line(tmp_path, capsys, line):
    path = tmp_path / "keys"
    path.write_text(f"Product/1\n{line}\n")

    assert start("Forget", "--keys-file", str(path)) == 2

    told = capsys.readouterr().err
    assert f"line 2 of {path} is no key: {line!r}" in told
    assert 'write Product/17 or ["Product", "17"]' in told


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Forget"], "one of the arguments --kind --keys-file --ids-file --csv is required"),
        (["Forget", "--kind", "A", "--csv", "a"], "not allowed with argument --kind"),
        (["Reprice", "--kind", "A"], "No iteration is named 'Reprice'; there are: shop.Forget, "),
        (["Walk", "--kind", "A"], "Several iterations are named 'Walk'; there are: shop.Walk, "),
        (["Forget", "--kind", "A", "--data", "{"], "'{' is not JSON"),
        (["Forget", "--kind", "A", "--shards", "0"], "'0' is not a number from 1"),
        (["Forget", "--kind", "A", "--entities-per-second", "x"], "is not a number such as 50"),
        (["Forget", "--ids-file", "/nowhere"], "/nowhere cannot be read"),
        (["Forget", "--csv", "/nowhere"], "/nowhere cannot be read as CSV"),
    ],
)
def test_wrong_usage_is_said(capsys, arguments, said):
    assert start(*arguments) == 2
    assert said in capsys.readouterr().err

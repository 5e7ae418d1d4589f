"""docs/architecture.md names what is there, and all that is stored."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text()
LIBRARY = ROOT / "shared" / "adjourn"
CONSOLE = ROOT / "local" / "adjourn_local" / "console"
PATHS = sorted(
    set(re.findall(r"`((?:shared|local|functions|tests|terraform|bench)/[\w./-]+)`", TEXT))
)
NAMES = sorted(set(re.findall(r"`(\w+\.py)`", TEXT)))
MOST_FLAT_MODULES = 13


def kinds():
    """Return the entity kinds that library and console define, with their paths."""
    found = {}
    for path in (*LIBRARY.rglob("*.py"), *CONSOLE.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            match node:
                case ast.Assign(targets=[ast.Name("KIND")], value=ast.Constant(str() as kind)):
                    found[kind] = str(path.relative_to(ROOT))
    return found


def documented_kinds():
    """Return the rows of the table of kinds: kind, owner and TTL."""
    return re.findall(
        r"^\| `(Adjourn\w+)` \| `([\w/.]+)` \|[^|]*\| ([^|]+) \|$", TEXT, re.MULTILINE
    )


def test_paths_are_named():
    assert len(PATHS) > 40


@pytest.mark.parametrize("path", PATHS)
def test_each_path_exists(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("name", NAMES)
def test_each_file_that_is_named_without_its_folder_exists(name):
    assert any(list((ROOT / part).rglob(name)) for part in ("shared", "local", "functions"))


def test_each_kind_is_documented_with_its_owner():
    assert {kind: owner for kind, owner, _ in documented_kinds()} == kinds()


def test_each_kind_with_an_end_has_a_ttl_policy():
    policies = set(re.findall(r'"(Adjourn\w+)"', (ROOT / "terraform" / "datastore.tf").read_text()))

    assert {kind for kind, _, ttl in documented_kinds() if not ttl.startswith("none")} == policies


def test_every_room_of_both_packages_is_on_the_map():
    rooms = [
        path.relative_to(ROOT)
        for package in (LIBRARY, ROOT / "local" / "adjourn_local")
        for path in package.iterdir()
        if path.is_dir() and path.name != "__pycache__"
    ]

    assert [str(room) for room in rooms if f"`{room}`" not in TEXT] == []


def test_the_library_has_few_flat_modules():
    flat = [path.name for path in LIBRARY.glob("*.py") if path.name != "__init__.py"]

    assert len(flat) <= MOST_FLAT_MODULES
    assert [name for name in flat if name not in TEXT] == []

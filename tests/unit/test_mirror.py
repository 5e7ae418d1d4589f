"""The unit tests lie where the modules lie that they test."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "adjourn": ROOT / "shared" / "adjourn",
    "adjourn_local": ROOT / "local" / "adjourn_local",
}
# Of what a package offers as a whole, not of one of its modules.
WHOLE = {Path("adjourn/test_exports.py"), Path("adjourn/viur/test_names.py")}


def unit_tests():
    for package in PACKAGES:
        folder = ROOT / "tests" / "unit" / package
        yield from (path.relative_to(folder.parent) for path in folder.rglob("test_*.py"))


def modules(test):
    """Return the names of the modules and rooms beside which a test of this path would lie."""
    package, *rooms = test.parent.parts
    found = PACKAGES[package].joinpath(*rooms).glob("*")
    return {path.stem for path in found if path.suffix == ".py" or path.is_dir()}


def test_there_are_tests_of_both_packages():
    assert {test.parts[0] for test in unit_tests()} == set(PACKAGES)


@pytest.mark.parametrize("test", sorted(set(unit_tests()) - WHOLE), ids=str)
def test_each_test_is_named_after_a_module_in_the_same_place(test):
    name = test.stem.removeprefix("test_")
    assert any(name == module or name.startswith(f"{module}_") for module in modules(test))

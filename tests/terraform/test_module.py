"""The real `terraform` reads the module, its examples and its own tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.terraform.conftest import SHOP
from tests.terraform.workspace import Workspace


def test_everything_is_formatted(workspace: Workspace) -> None:
    (workspace.folder / "test.auto.tfvars.json").unlink(missing_ok=True)

    assert workspace.run("fmt", "-check", "-recursive", "-diff") == ""

    workspace.configure(**SHOP)


def test_the_module_is_valid(workspace: Workspace) -> None:
    assert "The configuration is valid" in workspace.run("validate")


@pytest.mark.parametrize("name", ["minimal", "complete"])
def test_an_example_can_be_planned(workspace: Workspace, name: str) -> None:
    example = Workspace(workspace.folder / "examples" / name, workspace.environment)
    example.init()
    (example.folder / "backend_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
    example.run("init", "-reconfigure", "-input=false")
    example.configure(project="shop-production", chat="a@example.com", on_call="b@example.com")

    assert "module.adjourn.google_cloudfunctions2_function.main" in str(example.plan().resources())


def test_a_misspelt_argument_is_noticed(new_workspace: Callable[[], Workspace]) -> None:
    workspace = new_workspace()
    path = workspace.folder / "queues.tf"
    path.write_text(path.read_text().replace("max_attempts       =", "max_attempt        ="))

    assert 'Did you mean "max_attempts"?' in workspace.refusal("validate")


def test_the_tests_that_come_with_the_module_pass(workspace: Workspace) -> None:
    said = workspace.run("test")

    runs = (Path(workspace.folder) / "tests" / "plan.tftest.hcl").read_text().count('\nrun "')
    assert f"Success! {runs} passed, 0 failed." in said

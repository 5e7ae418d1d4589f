"""Runs the real `terraform` on a copy of the module, with the stub as its provider."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.checkout import copy_checkout, deploy

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "terraform"

_TIMEOUT = 120


@dataclass
class Workspace:
    """A folder in which Terraform runs.

    Attributes:
        folder: The configuration.
        environment: What leads Terraform to the stub.
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def try_to(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command and return how it went."""
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("TF_")}
        return subprocess.run(
            ["terraform", *arguments, "-no-color"],
            cwd=self.folder,
            env=inherited | self.environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )

    def run(self, *arguments: str) -> str:
        """Run a command that must succeed and return what it printed."""
        done = self.try_to(*arguments)
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def refusal(self, *arguments: str) -> str:
        """Run a command that must fail and return what it said, on one line."""
        done = self.try_to(*arguments)
        assert done.returncode == 1, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return " ".join(done.stderr.split())

    def init(self) -> None:
        self.run("init", "-backend=false", "-input=false")

    def configure(self, **variables: Any) -> None:
        """Say what the variables are from now on."""
        path = self.folder / "test.auto.tfvars.json"
        path.write_text(json.dumps(variables))

    def plan(self, *options: str) -> "Plan":
        self.run("plan", "-input=false", "-out=plan", *options)
        return Plan(json.loads(self.run("show", "-json", "plan")))

    def has_changes(self) -> bool:
        """Whether the next apply would change something."""
        done = self.try_to("plan", "-input=false", "-detailed-exitcode")
        assert done.returncode in {0, 2}, done.stderr
        return done.returncode == 2

    def apply(self) -> None:
        self.run("apply", "-input=false", "-auto-approve")

    def apply_plan(self) -> None:
        """Apply what `plan` returned last."""
        self.run("apply", "-input=false", "plan")

    def destroy(self) -> None:
        self.run("destroy", "-input=false", "-auto-approve")

    def output(self, name: str) -> Any:
        return json.loads(self.run("output", "-json", name))


def brought_up(
    folder: Path, provider: dict[str, str], *arguments: str, **variables: Any
) -> Workspace:
    """Run `deploy.sh deploy` with some arguments in a copy of the checkout, and return it."""
    checkout = copy_checkout(folder)
    workspace = Workspace(copy_module(checkout), provider)
    workspace.configure(**variables)
    done = deploy(
        checkout,
        *("deploy", *arguments, "--yes"),
        cwd=ROOT,
        environment=workspace.environment,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return workspace


@dataclass
class Plan:
    """What `terraform show -json` says of a plan."""

    raw: dict[str, Any]

    def resources(self) -> dict[str, dict[str, Any]]:
        """Return the planned values of all managed resources by their address."""
        return dict(_resources(self.raw["planned_values"]["root_module"]))

    def of_type(self, type_name: str) -> dict[str, dict[str, Any]]:
        """Return the planned values of one type's resources by their address."""
        return {
            address: values
            for address, values in self.resources().items()
            if address.startswith(f"{type_name}.")
        }

    def actions(self) -> dict[str, list[str]]:
        """Return what happens to each resource to which something happens."""
        return {
            change["address"]: change["change"]["actions"]
            for change in self.raw.get("resource_changes", [])
            if change["change"]["actions"] not in (["no-op"], ["read"])
        }


def _resources(module: dict[str, Any]) -> Any:
    for each in module.get("resources", []):
        if each["mode"] == "managed":
            yield each["address"], each["values"]
    for child in module.get("child_modules", []):
        yield from _resources(child)


def copy_module(folder: Path) -> Path:
    """Copy the module into a folder, so that nothing is left in the checkout."""
    target = folder / "terraform"
    shutil.copytree(MODULE, target, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    return target

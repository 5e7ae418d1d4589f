"""The pipelines in the examples call deploy.sh in a way that it takes."""

import re
import shlex
from pathlib import Path

import pytest

from tests.checkout import copy_checkout, deploy
from tests.terraform.workspace import MODULE

EXAMPLES = sorted((MODULE / "examples" / "ci").glob("*.yaml"))


@pytest.fixture
def checkout(tmp_path: Path, provider: dict[str, str]) -> Path:  # noqa: ARG001 - skips without terraform
    checkout = copy_checkout(tmp_path)
    (checkout / "terraform").mkdir()
    (tmp_path / "production.tfvars").touch()
    return checkout


def calls(example: Path) -> list[list[str]]:
    """Return the arguments of each call of deploy.sh; YAML's `>-` folds the lines of some."""
    folded = re.sub(r">-\n((?:\s+\S.*\n)+?)(?=\s*- |\s*#|\n|\Z)", _joined, example.read_text())
    return [shlex.split(each) for each in re.findall(r"/deploy\.sh (.*)", folded)]


def _joined(match: re.Match[str]) -> str:
    return " ".join(match[1].split()) + "\n"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_a_pipeline_plans_and_applies_in_the_same_environment(
    checkout: Path, example: Path
) -> None:
    plan, apply = calls(example)

    assert (plan[0], apply[0]) == ("plan", "apply")
    for arguments in (plan, apply):
        done = deploy(checkout, *arguments, "--dry-run")

        assert done.returncode == 0, done.stderr
        assert "-lock-timeout=5m" in done.stdout
        assert "-backend-config=prefix=production" in done.stdout
        assert "build/production/adjourn.tfplan" in done.stdout


def test_there_is_an_example_for_each_place() -> None:
    assert [path.stem for path in EXAMPLES] == ["cloudbuild", "github-actions"]

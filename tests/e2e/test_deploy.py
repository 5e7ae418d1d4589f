"""`deploy.sh` as a person runs it: from anywhere, rightly and wrongly, with the real terraform."""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.checkout import APP, TASKS, copy_checkout, deploy

# Needs no provider: this one is built into terraform.
CONFIGURATION = """\
variable "price" {
  type = number
}
resource "terraform_data" "price" {
  input = var.price
}
"""

ENVIRONMENT = "shop-variables"  # what deploy.sh makes of the name of the file of variables

needs_terraform = pytest.mark.skipif(
    not shutil.which("terraform"), reason="TERRAFORM IS NOT ON THE PATH: deploy.sh was not tried"
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    checkout = copy_checkout(tmp_path / "with a space & ünï")
    (checkout / "terraform").mkdir()
    (checkout / "terraform" / "main.tf").write_text(CONFIGURATION)
    return checkout


def tree(folder: Path) -> Mapping[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def prices(checkout: Path) -> list[int]:
    """Return what terraform has applied."""
    state = checkout / "terraform" / "terraform.tfstate.d" / ENVIRONMENT / "terraform.tfstate"
    resources = json.loads(state.read_text())["resources"]
    return [each["attributes"]["input"]["value"] for r in resources for each in r["instances"]]


def kept_plan(checkout: Path) -> Path:
    return checkout / "build" / ENVIRONMENT / "adjourn.tfplan"


def apply(checkout: Path, price: int) -> None:
    """Give terraform something that can be destroyed."""
    folder = checkout / "terraform"
    chosen = {"TF_DATA_DIR": f"{folder}/.terraform-{ENVIRONMENT}", "TF_WORKSPACE": ENVIRONMENT}
    for arguments in (["init"], ["apply", "-auto-approve", f"-var=price={price}"]):
        subprocess.run(
            ["terraform", *arguments],
            cwd=folder,
            env={**os.environ, **chosen},
            capture_output=True,
            timeout=120,
            check=True,
        )
    assert prices(checkout) == [price]


@pytest.fixture
def variables(checkout: Path) -> Path:
    path = checkout.parent / "shop variables.tfvars"
    path.write_text("price = 7\n")
    return path


OUTPUTS = """\
output "total" {
  value = "total=${var.price}\\nin euros"
}
output "prices" {
  value = { tea = var.price }
}
"""


@needs_terraform
def test_an_output_is_that_of_the_environment_and_nothing_else(
    checkout: Path, variables: Path
) -> None:
    (checkout / "terraform" / "outputs.tf").write_text(OUTPUTS)
    apply(checkout, price=7)

    text = deploy(checkout, "output", "total", f"-var-file={variables}")
    mapping = deploy(checkout, "output", "prices", f"-var-file={variables}")
    unknown = deploy(checkout, "output", "nothing", f"-var-file={variables}")
    elsewhere = deploy(checkout, "output", "total", "--environment", "staging")

    assert (text.returncode, text.stdout) == (0, "total=7\nin euros")
    assert '"tea" = 7' in mapping.stdout
    assert unknown.returncode == 1
    assert 'Output "nothing" not found' in unknown.stderr
    assert (elsewhere.returncode, elsewhere.stdout) == (1, "")
    assert "Nothing was applied in the environment staging" in elsewhere.stderr
    assert deploy(checkout, "output").returncode == 2


def test_with_an_own_service_only_what_is_declared_is_written(checkout: Path) -> None:
    assert deploy(checkout, "package", APP).returncode == 0

    done = deploy(checkout, "package", APP, "--service")

    assert done.returncode == 0, done.stderr
    assert not (checkout / "build" / "manifest.json").exists(), "it would be taken for a new one"
    declared = json.loads((checkout / "build" / "adjourn.auto.tfvars.json").read_text())
    assert declared == {"cron_names": ["nightly"], "queue_names": ["default", "mail"]}

    refused = deploy(checkout, "package", APP, "--service", "--include", "shop")
    assert refused.returncode == 2
    assert "--service packages nothing, so --include has no effect" in refused.stderr


def test_another_day_machine_folder_locale_and_umask_make_the_same_names(tmp_path: Path) -> None:
    manifests = []
    for folder, umask, environment in (
        ("one", 0o022, {"TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"}),
        ("another ünï", 0o077, {"TZ": "America/Lima", "LC_ALL": "POSIX", "PYTHONHASHSEED": "2"}),
    ):
        checkout = copy_checkout(tmp_path / folder)
        (tmp_path / folder / "shop" / "ähre.txt").touch()
        for path in checkout.parent.rglob("*"):
            os.utime(path, (umask * 1e7, umask * 1e7))
            path.chmod(0o755 if umask == 0o022 else 0o700)

        done = deploy(checkout, "package", APP, umask=umask, environment=environment)

        assert done.returncode == 0, done.stderr
        build = checkout / "build"
        functions = json.loads((build / "manifest.json").read_text())["functions"]
        assert {f["zip"] for f in functions.values()} == {p.name for p in build.glob("*.zip")}
        manifests.append((build / "manifest.json").read_text())
        names = json.loads((build / "adjourn.auto.tfvars.json").read_text())
        assert names == {"cron_names": ["nightly"], "queue_names": ["default", "mail"]}
    assert manifests[0] == manifests[1]


def test_another_python_makes_the_same_names(checkout: Path) -> None:
    others = [shutil.which(f"python3.{minor}") for minor in (12, 13, 14)]
    script = (
        "import sys, pathlib; from adjourn_local.packaging.bundle import *;"
        "print(sys.version_info[1], *(bundle.zip_name for bundle in"
        f" bundles(Application(spec={APP!r}, source=pathlib.Path(sys.argv[1])))))"
    )
    import packaging  # noqa: PLC0415 - only its place is of interest

    paths = [checkout / "shared", checkout / "local", Path(packaging.__file__).parents[1]]
    said = {}
    for python in filter(None, [sys.executable, *others]):
        done = subprocess.run(
            [python, "-B", "-c", script, str(checkout.parent)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode == 0:  # else it is a launcher of a Python that is not there
            version, names = done.stdout.split(" ", 1)
            said[version] = names

    assert len(set(said.values())) == 1
    if len(said) == 1:
        pytest.skip("there is no other Python here")


def test_a_module_that_was_left_out_is_missed(checkout: Path) -> None:
    (checkout.parent / "shop" / "tasks.py").write_text("import beside\n" + TASKS)
    (checkout.parent / "beside.py").touch()

    done = deploy(checkout, "package", APP)
    assert done.returncode != 0
    assert "No module named 'beside'" in done.stderr
    assert not (checkout / "build" / "manifest.json").exists(), "Terraform must not take it"

    done = deploy(checkout, "package", APP, "--include", "shop", "--include=beside.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert (checkout / "build" / "cron" / "beside.py").exists()


def test_a_conflict_is_told_with_both_versions(checkout: Path) -> None:
    pinned = checkout.parent / "shop pins.txt"
    pinned.write_text("flask==2.3.3\n")

    done = deploy(checkout, "package", APP, "--requirements", pinned.name)

    assert done.returncode == 2
    assert "- flask: adjourn has " in done.stderr
    assert ", the application has 2.3.3\n" in done.stderr
    assert not (checkout / "build").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["deplyo"], "There is no command deplyo; see deploy.sh --help."),
        (["--app"], "There is no command --app"),
        (["package"], "Say which application to package: deploy.sh package package.module:app"),
        (["package", ""], "Say which application to package"),
        (["package", APP, "b:c"], "package takes no argument b:c"),
        (["package", "shop"], "The application 'shop' must be package.module:app."),
        (["package", "gone:app"], "There is no gone.py in what is packaged of"),
        (["package", APP, "--source", "nowhere"], "There is no folder "),
        (["package", APP, "--source"], "--source needs a value."),
        (["package", APP, "--source="], "--source needs a value."),
        (["package", APP, "--include", "nothing"], "There is no 'nothing' in "),
        (["package", APP, "--requirements", "no.txt"], "The requirements no.txt cannot be read"),
        (["package", APP, "--queue", "a b"], "--queue 'a b' must be"),
        (["package", APP, "--yes"], "package takes no option --yes"),
        (["package", APP, "-chdir=terraform"], "package takes no option -chdir"),
        (["package", APP, "-"], "package takes no option -;"),
        (["plan", APP, "--yes"], "plan takes no option --yes"),
        (["plan", APP, "--dry-run=no"], "plan takes no option --dry-run"),
        (["plan", APP, "-var-file=no.tfvars"], "There is no file of variables no.tfvars."),
        (["plan", APP, "-var-file", "shop"], "There is no file of variables shop."),
        (["plan", APP, "-chdir", "nowhere"], "nowhere for -chdir."),
        (["deploy", APP], "There is no terminal to ask for confirmation; give --yes."),
        (["deploy", APP, "--yes=1"], "--yes takes no value."),
        (["destroy"], "There is no terminal to ask for confirmation; give --yes."),
        (["destroy", APP, "--yes"], f"destroy takes no argument {APP}"),
        (["destroy", "--source", "x"], "destroy takes no option --source"),
        (["apply"], "There is no terminal to ask for confirmation; give --yes."),
        (["apply", APP, "--yes"], f"apply takes no argument {APP}"),
        (["apply", "--yes"], "There is no plan "),
        (["plan", APP, "-lock-timeout"], "-lock-timeout needs a value."),
        (["plan", APP, "--environment", "a b"], "The environment a b must have letters"),
        (["plan", APP, "--environment=cron"], "The environment cron has the name of a function"),
        (["package", APP, "--without-hashes=1"], "--without-hashes takes no value."),
        (["package", APP, "--allow", "shop/tls.key"], "no such file would be refused"),
    ],
)
@needs_terraform
def test_a_wrong_call_is_said_in_a_line_and_changes_nothing(
    checkout: Path, arguments: list[str], said: str
) -> None:
    before = tree(checkout / "terraform")

    done = deploy(checkout, *arguments)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1
    assert tree(checkout / "terraform") == before


def test_help_is_given_and_nothing_else_done(checkout: Path) -> None:
    texts = {deploy(checkout, *each).stdout for each in (["--help"], ["-h"], ["deploy", "--help"])}
    without = deploy(checkout)

    assert (without.returncode, without.stderr) == (2, texts.pop())
    assert not texts
    assert "deploy.sh destroy" in without.stderr


def test_a_python_that_cannot_do_it_is_said(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "old").chmod(0o755)
    venv.create(tmp_path / "bare")

    for python, said in (
        ("no", "deploy.sh: There is no Python no; run `make venv` in "),
        (str(tmp_path / "old"), "old is not Python 3.11 or newer."),
        (str(tmp_path / "bare" / "bin" / "python"), "adjourn: No module named '[a-z]+'; `make"),
    ):
        done = deploy(checkout, "package", APP, environment={"PYTHON": python})
        assert done.returncode == 2
        assert re.search(said, done.stderr)


@pytest.mark.parametrize("arguments", [["plan", APP], ["deploy", APP, "--yes"], ["destroy"]])
def test_that_terraform_is_missing_is_said(
    checkout: Path, tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "bin").mkdir()
    for program in ("bash", "dirname"):
        path = shutil.which(program)
        assert path
        (tmp_path / "bin" / program).symlink_to(path)

    done = deploy(checkout, *arguments, environment={"PATH": str(tmp_path / "bin")})

    assert done.returncode == 2
    assert done.stderr.startswith("deploy.sh: terraform is not on the PATH; install")


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["package", APP], ["adjourn export tfvars"]),
        (["plan", APP], ["init", "plan", "show -json"]),
        (["deploy", APP], ["init", "plan", "show -json", "apply"]),
        (["apply"], ["init", "apply"]),
        (["destroy"], ["init", "plan", "-destroy", "apply"]),
    ],
)
@needs_terraform
def test_a_dry_run_shows_what_it_would_do_and_touches_nothing(
    checkout: Path, variables: Path, arguments: list[str], shown: list[str]
) -> None:
    before = tree(checkout.parent)
    options = [] if arguments[0] == "package" else ["-var-file", str(variables)]

    done = deploy(checkout, *arguments, *options, "--dry-run")

    assert (done.returncode, done.stderr) == (0, "")
    commands = [line for line in done.stdout.splitlines() if line.startswith("+ ")]
    for word in shown:
        assert any(f" {word}" in line for line in commands), word
    assert tree(checkout.parent) == before
    if arguments[0] not in {"apply", "destroy"}:
        deploy(checkout, "package", APP)
        (name,) = (path.name for path in (checkout / "build").glob("deferred-*.zip"))
        assert name in done.stdout


@needs_terraform
def test_a_plan_that_lacks_a_queue_fails_and_cannot_be_applied(
    checkout: Path, variables: Path
) -> None:
    for arguments in (["plan"], ["deploy", "--yes"]):
        done = deploy(checkout, *arguments, APP, "-var-file", variables.name)

        assert done.returncode == 1
        assert "There is no queue 'mail'; add it to queue_names or queues." in done.stderr
        assert "terraform_data.price will be created" in done.stdout
        assert not kept_plan(checkout).exists()
    assert not (checkout / "terraform" / "terraform.tfstate").exists()


@needs_terraform
def test_a_failing_terraform_fails(checkout: Path, variables: Path) -> None:
    variables.write_text('price = "cheap"\n')

    done = deploy(checkout, "plan", APP, "-var-file", str(variables))

    assert done.returncode == 1
    assert "The given value is not suitable for var.price" in done.stderr


@needs_terraform
def test_destroy_removes_what_is_there_from_wherever_it_is_called(
    checkout: Path, variables: Path, tmp_path: Path
) -> None:
    apply(checkout, 7)

    done = deploy(checkout, "destroy", "--yes", "-var-file", str(variables), cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert prices(checkout) == []
    assert not kept_plan(checkout).exists()


@needs_terraform
def test_another_configuration_can_be_chosen(checkout: Path, variables: Path) -> None:
    apply(checkout, 7)
    (checkout / "terraform").rename(checkout.parent / "own configuration")
    options = ["-chdir=own configuration", "-var-file=" + variables.name]

    assert deploy(checkout, "destroy", "--yes", *options).returncode == 0

    (checkout.parent / "own configuration").rename(checkout / "terraform")
    assert prices(checkout) == []


@pytest.mark.parametrize(("answer", "left"), [("y", []), ("n", [7]), ("", [7])])
@needs_terraform
def test_a_terminal_is_asked(
    terminal: tuple[int, int], checkout: Path, variables: Path, answer: str, left: list[int]
) -> None:
    apply(checkout, 7)
    ours, theirs = terminal
    os.write(ours, f"{answer}\n".encode())

    done = deploy(checkout, "destroy", "-var-file", variables.name, stdin=theirs)

    os.close(theirs)
    os.close(ours)
    assert prices(checkout) == left
    assert done.returncode == (1 if left else 0)
    assert ("Nothing was changed." in done.stdout) is bool(left)
    assert not kept_plan(checkout).exists()


@needs_terraform
def test_a_terminal_is_not_asked_when_there_is_nothing_to_change(
    terminal: tuple[int, int], checkout: Path, variables: Path
) -> None:
    _, theirs = terminal  # nobody answers

    done = deploy(checkout, "destroy", "-var-file", variables.name, stdin=theirs)

    assert (done.returncode, "There is nothing to change." in done.stdout) == (0, True)


BACKEND = 'terraform {\n  backend "local" {}\n}\n'


@needs_terraform
def test_a_backend_is_set_up_for_each_environment(checkout: Path, tmp_path: Path) -> None:
    (checkout / "terraform" / "backend.tf").write_text(BACKEND)
    for name in ("staging", "production"):
        options = [f"--environment={name}", "-var=price=7"]
        setting = f"--backend-config=path={tmp_path}/{name}.tfstate"

        done = deploy(checkout, "destroy", "--yes", setting, *options)

        assert done.returncode == 0, done.stderr
        assert "There is nothing to change." in done.stdout
        noted = checkout / "terraform" / f".terraform-{name}" / "terraform.tfstate"
        assert json.loads(noted.read_text())["backend"]["config"]["path"] == (
            f"{tmp_path}/{name}.tfstate"
        )
        assert deploy(checkout, "destroy", "--yes", *options).returncode == 0


@needs_terraform
def test_a_state_of_no_environment_is_not_passed_over(checkout: Path, variables: Path) -> None:
    apply(checkout, 7)
    folder = checkout / "terraform"
    (folder / "terraform.tfstate.d" / ENVIRONMENT / "terraform.tfstate").rename(
        folder / "terraform.tfstate"
    )

    done = deploy(checkout, "destroy", "--yes", "-var-file", str(variables))

    assert done.returncode == 2
    assert f"Is it that of {ENVIRONMENT}? Then move it to " in done.stderr


@needs_terraform
def test_options_of_terraform_reach_it(checkout: Path) -> None:
    options = ["-var=price=7", "-lock-timeout=5m", "-backend-config=bucket=states", "--dry-run"]

    said = deploy(checkout, "destroy", *options).stdout.splitlines()

    init, _, plan, apply, _ = said
    assert init.endswith("init -input=false -reconfigure -backend-config=bucket=states")
    assert "-lock-timeout=5m -var=price=7 -destroy" in plan
    assert "apply -input=false -lock-timeout=5m" in apply


@needs_terraform
def test_opentofu_takes_the_place_of_terraform(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for program, found in (("bash", "bash"), ("dirname", "dirname"), ("tofu", "terraform")):
        path = shutil.which(found)
        assert path
        (tmp_path / "bin" / program).symlink_to(path)
    only = {"PATH": str(tmp_path / "bin")}

    assert "+ tofu " in deploy(checkout, "destroy", "--dry-run", environment=only).stdout
    named = deploy(checkout, "destroy", "--dry-run", environment={"TERRAFORM": "terraform"})
    assert "+ terraform " in named.stdout

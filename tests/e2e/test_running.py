"""Commands find the stack that runs, and lead other programs to it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_up import ROOT, Up, up

ADJOURN = (sys.executable, "-m", "adjourn_local")
SHOP = """\
import adjourn

app = adjourn.App()

@app.deferred
def note(text): ...
"""


def run(*words: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ADJOURN_", "CLOUD", "DATASTORE_", "GOOGLE_"))
    }
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "shared"), str(ROOT / "local")])
    return subprocess.run(
        words,
        cwd=cwd,
        env=environment | more,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(SHOP)
    (folder / "deep" / "er").mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Up]:
    with up("--port", "0", "--env-file", "vars.env", app="shop:app", cwd=folder) as stack:
        yield stack


def adjourn(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return run(*ADJOURN, *words, cwd=folder, **more)


def test_the_variables_of_the_stack_are_printed_for_shells(stack: Up, folder: Path) -> None:
    port = stack.variables["ADJOURN_DEFERRED_URL"]

    assert f"export ADJOURN_DEFERRED_URL={port}\n" in adjourn(folder / "deep", "env").stdout
    fish = adjourn(folder, "env", "--shell", "fish").stdout
    assert f"set -gx ADJOURN_DEFERRED_URL '{port}'\n" in fish
    powershell = adjourn(folder, "env", "--shell", "powershell").stdout
    assert f"$env:ADJOURN_DEFERRED_URL = '{port}'\n" in powershell
    assert f"ADJOURN_DEFERRED_URL={port}\n" in (folder / "vars.env").read_text()


def test_a_program_is_led_to_the_stack_and_its_exit_status_is_its_own(
    stack: Up, folder: Path
) -> None:
    code = "import os, sys; print(os.environ['ADJOURN_CRON_URL']); sys.exit(7)"

    done = adjourn(folder / "deep" / "er", "exec", "--", sys.executable, "-c", code)

    assert (done.stdout.strip(), done.returncode) == (stack.variables["ADJOURN_CRON_URL"], 7)
    assert adjourn(folder, "exec").returncode == 2
    assert "cannot be run" in adjourn(folder, "exec", "--", "no-such-program").stderr


def test_a_deployment_that_the_environment_names_is_not_mixed_with_the_stack(
    stack: Up, folder: Path
) -> None:
    _, port = stack.variables["CLOUDTASKS_EMULATOR_HOST"].split(":")

    done = adjourn(folder, "dead", "list", ADJOURN_LOCATION="us-east1")

    assert done.returncode == 2
    assert "The environment names a deployment (ADJOURN_LOCATION=us-east1)" in done.stderr
    assert f"--stack {port}" in done.stderr
    told = adjourn(folder, "dead", "list", "--stack", port, ADJOURN_LOCATION="us-east1")
    assert told.returncode == 0
    in_project = adjourn(folder, "dead", "list", "--project", "x", ADJOURN_LOCATION="us-east1")
    assert "ADJOURN_DEFERRED_URL is not set" in in_project.stderr
    assert "ADJOURN_PROJECT" not in in_project.stderr


def test_a_stack_without_state_is_found_and_of_two_the_named_one(folder: Path, stack: Up) -> None:
    first = stack.variables["ADJOURN_CRON_URL"].rpartition(":")[2]
    with up("--memory", "--port", "0", app="shop:app", cwd=folder) as second:
        url = second.variables["ADJOURN_CRON_URL"]

        both = adjourn(folder, "queues", "list")
        assert both.returncode == 2
        assert "Several laptop stacks run here; say which with --stack:" in both.stderr
        assert both.stderr.count("shop:app, started in") == 2
        assert adjourn(folder, "clock", "show", "--stack", first).returncode == 0
        port = url.rpartition(":")[2]
        assert url in adjourn(folder, "env", "--stack", port).stdout
        # The environment of one of them says which, too.
        words = ("exec", "--stack", port, "--", *ADJOURN, "env")
        assert url in adjourn(folder, *words).stdout

    assert adjourn(folder, "queues", "list").returncode == 0


@pytest.mark.usefixtures("stack")
def test_the_application_of_the_stack_is_found_too(folder: Path) -> None:
    assert "No periodic functions" in adjourn(folder / "deep", "cron", "list").stdout
    assert "The settings" not in adjourn(folder / "deep", "doctor").stdout


@pytest.mark.usefixtures("stack")
def test_signals_reach_the_program_that_runs_with_the_variables(folder: Path) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"

    done = adjourn(folder, "exec", "--", sys.executable, "-c", code)

    assert done.returncode == -signal.SIGTERM


@pytest.mark.parametrize(
    ("shell", "program", "script"),
    [
        ("bash", "bash", 'eval "$0"; printf %s "$ADJOURN_CRON_URL"'),
        ("fish", "fish", "eval $argv[1]; printf %s $ADJOURN_CRON_URL"),
        ("powershell", "pwsh", "Invoke-Expression $args[0]; $env:ADJOURN_CRON_URL"),
    ],
)
def test_a_shell_reads_what_is_printed_for_it(
    stack: Up, folder: Path, shell: str, program: str, script: str
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")
    printed = adjourn(folder, "env", "--shell", shell).stdout

    done = run(program, "-c", script, printed, cwd=folder)

    assert done.stdout.strip() == stack.variables["ADJOURN_CRON_URL"], done.stderr


def test_a_file_that_somebody_else_wrote_is_not_overwritten(folder: Path) -> None:
    (folder / ".env").write_text("SECRET=1\n")

    words = ("up", "shop:app", "--port", "0", "--state", "other", "--env-file", ".env")
    done = adjourn(folder, *words)

    assert (done.returncode, "is not a file of `adjourn up`" in done.stderr) == (2, True)
    assert (folder / ".env").read_text() == "SECRET=1\n"


def test_a_stack_that_was_stopped_or_killed_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    for number in (signal.SIGINT, signal.SIGKILL):
        with up("--port", "0", app="shop:app", cwd=tmp_path) as stack:
            assert adjourn(tmp_path, "env").returncode == 0
            stack.process.send_signal(number)
            stack.process.wait(30)

            done = adjourn(tmp_path, "env")

            assert (done.returncode, "No laptop stack" in done.stderr) == (2, True)

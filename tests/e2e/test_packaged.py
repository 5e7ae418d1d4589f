"""What is packaged runs as it is deployed: by itself, with what its requirements install."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.cloud import datastore
from google.cloud.scheduler_v1 import CloudSchedulerClient
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
)

from adjourn_local.packaging.bundle import Application, bundles, write
from adjourn_local.runtime.addresses import LOCATION, PROJECT
from adjourn_local.runtime.function_programs import NAMES, Staged
from adjourn_local.runtime.stack import Stack, running
from tests.e2e.conftest import Ear, Log
from tests.e2e.packaged.tasks import Count, app, greet

ROOT = Path(__file__).resolve().parents[2]
SPEC = "tests.e2e.packaged.tasks:app"
INSTALLING = 300


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=INSTALLING, check=False
    )


def is_index_away(folder: Path) -> bool:
    wanted = folder / "probe.in"
    wanted.write_text("iniconfig")
    return uv("pip", "compile", "--no-cache", str(wanted)).returncode != 0


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with everything packaged."""
    folder = tmp_path_factory.mktemp("packaged")
    application = Application(
        spec=SPEC,
        source=ROOT,
        include=["tests/e2e/packaged"],
        pinned=ROOT / "tests/e2e/packaged/requirements.txt",
    )
    write(folder, SPEC, bundles(application))
    return folder


@pytest.fixture(scope="module")
def programs(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs of an environment that has what the functions require, and no more."""
    folder = tmp_path_factory.mktemp("environment")
    required = {(build / name / "requirements.txt").read_text() for name in NAMES}
    assert len(required) == 1, "one environment is for all three"
    assert uv("venv", "--python", sys.executable, str(folder / "venv")).returncode == 0
    python = folder / "venv" / "bin" / "python"
    file = build / NAMES[0] / "requirements.txt"
    done = uv("pip", "install", "--python", str(python), "--require-hashes", "-r", str(file))
    if done.returncode and is_index_away(folder):
        pytest.skip("THE PACKAGE INDEX CANNOT BE REACHED: nothing that is deployed was tested")
    assert done.returncode == 0, done.stderr
    return python.parent


@pytest.fixture(scope="module")
def ear(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ear]:
    """Return an ear of our own: another stack's bell rings too."""
    path = tmp_path_factory.mktemp("ear") / "ear"
    ear = Ear(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("E2E_EAR", str(path))
        yield ear
    ear.close()


@pytest.fixture(scope="module")
def packaged(build: Path, programs: Path, ear: Ear, log: Log) -> Iterator[Stack]:  # noqa: ARG001 - the functions inherit the ear
    stack = Stack(SPEC, write=log.write, staged=Staged(build, programs))
    with running(stack):
        yield stack


@pytest.fixture(autouse=True)
def _environment(packaged: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in packaged.ports.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(app, "_wiring", None)  # others use this application elsewhere


def test_a_call_runs_with_the_packaged_library_and_nothing_else(
    ear: Ear, build: Path, programs: Path
) -> None:
    greet("Ada")

    own = build / "deferred" / "tests" / "e2e" / "packaged" / "tasks.py"
    library = build / "deferred" / "adjourn" / "__init__.py"
    assert ear.hear() == f"Good day Ada {own} {library} {programs.parent}"


def test_a_cron_tick_runs_its_function(packaged: Stack, ear: Ear) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{packaged.ports.grpc}") as channel:
        client = CloudSchedulerClient(transport=CloudSchedulerGrpcTransport(channel=channel))
        client.run_job(name=f"projects/{PROJECT}/locations/{LOCATION}/jobs/noon")

        ear.hear_the_bell()


def test_an_iteration_takes_its_steps(ear: Ear) -> None:
    client = datastore.Client()
    things = [datastore.Entity(client.key("Thing", n + 1)) for n in range(30)]
    for n, thing in enumerate(things):
        thing["n"] = n
    client.put_multi(things)

    Count.start(client.query(kind="Thing"), {"sum": 0})

    assert ear.hear() == f"30 things, sum {sum(range(30))}"

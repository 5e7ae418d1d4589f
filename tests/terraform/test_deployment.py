"""From a checkout to a running system: packaged, applied, at work, and gone again.

Everything that works here was made by deploy.sh and terraform: queues and jobs in the laptop's
services, and the functions, which are started as the applied resources say: out of the zip of the
bucket's object, with the function's environment. The services find them at their real addresses.
"""

import json
import os
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud import datastore, scheduler_v1, tasks_v2
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
)
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from adjourn_local.cli import main
from adjourn_local.runtime.ports import choose
from tests.checkout import ROOT, copy_checkout, deploy
from tests.e2e.conftest import Ear
from tests.e2e.packaged.tasks import Count, app, greet
from tests.terraform.cloud import Cloud, lead
from tests.terraform.conftest import FUNCTIONS
from tests.terraform.workspace import Workspace, copy_module

APP = "tests.e2e.packaged.tasks:app"
PACKAGED = "tests/e2e/packaged"
PROJECT = "shop-deployed"
REGION = "europe-west1"
PARENT = f"projects/{PROJECT}/locations/{REGION}"


@dataclass(frozen=True)
class Deployment:
    """A checkout from which deploy.sh runs."""

    checkout: Path
    workspace: Workspace

    def run(self, *arguments: str) -> str:
        """Run deploy.sh and return what it printed."""
        environment = self.workspace.environment
        done = deploy(self.checkout, *arguments, cwd=ROOT, environment=environment)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def applied(self, address: str) -> dict[str, Any]:
        """Return what Terraform's state says of a resource."""
        state = json.loads(self.workspace.run("show", "-json"))
        resources = state["values"]["root_module"]["resources"]
        return next(each["values"] for each in resources if each["address"] == address)


@pytest.fixture(scope="module")
def ear(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ear]:
    ear = Ear(tmp_path_factory.mktemp("ear") / "ear")
    yield ear
    ear.close()


@pytest.fixture(scope="module")
def deployment(
    provider: dict[str, str],
    cloud: Cloud,  # noqa: ARG001 - where the stub makes things
    ear: Ear,
    tmp_path_factory: pytest.TempPathFactory,
) -> Deployment:
    """Return what `deploy.sh deploy` has brought up, but for the functions' processes."""
    checkout = copy_checkout(tmp_path_factory.mktemp("deployment"))
    workspace = Workspace(copy_module(checkout), provider)
    workspace.configure(
        project=PROJECT,
        region=REGION,
        queue_defaults={"deletion_policy": "DELETE"},
        environment={"E2E_EAR": ear.path},
    )
    deployment = Deployment(checkout, workspace)
    deployment.run(
        *("deploy", APP, "--include", PACKAGED, "--yes"),
        *("--requirements", f"{PACKAGED}/requirements.txt"),
    )
    return deployment


@pytest.fixture(scope="module")
def functions(
    deployment: Deployment, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Run the functions as Cloud Run would: what was applied says of what and with what.

    The folder is the one in which each of them is.
    """
    processes = []
    home = tmp_path_factory.mktemp("functions")
    try:
        for name, port in zip(FUNCTIONS, choose(0, None), strict=False):
            function = deployment.applied(f'google_cloudfunctions2_function.main["{name}"]')
            source = deployment.applied(f'google_storage_bucket_object.source["{name}"]')
            (build,), (service,) = function["build_config"], function["service_config"]
            assert build["source"][0]["storage_source"][0]["object"] == source["name"]
            folder = home / name
            with zipfile.ZipFile(deployment.workspace.folder / source["source"]) as packed:
                packed.extractall(folder)
            cloud.directory.list_function(
                function["name"], function["location"], f"http://127.0.0.1:{port}"
            )
            environment = service["environment_variables"] | cloud.emulators()
            environment |= {"K_SERVICE": function["name"], "PATH": os.environ["PATH"]}
            processes.append(
                subprocess.Popen(
                    [
                        *(sys.executable, "-m", "functions_framework", "--source", "main.py"),
                        *("--target", build["entry_point"], "--port", str(port)),
                    ],
                    cwd=folder,
                    env=environment,
                )
            )
        for address in cloud.directory.homes.values():
            _wait_for(address)
        yield home
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)


def _wait_for(address: str) -> None:
    port = int(address.rpartition(":")[2])
    give_up = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < give_up, f"nothing answers at {address}"
            time.sleep(0.05)
        else:
            return


@pytest.fixture
def _application(deployment: Deployment, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process enqueue with the settings that Terraform hands to applications."""
    lead(app, deployment.workspace, cloud, monkeypatch, PROJECT)


@pytest.fixture
def scheduler(cloud: Cloud) -> Iterator[scheduler_v1.CloudSchedulerClient]:
    with grpc.insecure_channel(cloud.host) as channel:
        yield scheduler_v1.CloudSchedulerClient(
            transport=CloudSchedulerGrpcTransport(channel=channel)
        )


@pytest.fixture
def tasks(cloud: Cloud) -> Iterator[tasks_v2.CloudTasksClient]:
    with grpc.insecure_channel(cloud.host) as channel:
        yield tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))


def _queues(tasks: tasks_v2.CloudTasksClient) -> set[str]:
    return {each.name.rpartition("/")[2] for each in tasks.list_queues(parent=PARENT)}


def _jobs(scheduler: scheduler_v1.CloudSchedulerClient) -> set[str]:
    return {each.name.rpartition("/")[2] for each in scheduler.list_jobs(parent=PARENT)}


def test_queues_and_jobs_are_those_that_the_application_declares(
    deployment: Deployment,
    tasks: tasks_v2.CloudTasksClient,
    scheduler: scheduler_v1.CloudSchedulerClient,
) -> None:
    assert _queues(tasks) == {"default", "greetings"}
    assert _jobs(scheduler) == {"adjourn-adjourn", "adjourn-noon"}
    assert not deployment.workspace.has_changes()


def test_the_outputs_say_what_runs_and_where_to_look(deployment: Deployment) -> None:
    manifest = json.loads((deployment.checkout / "build" / "manifest.json").read_text())

    running = deployment.workspace.output("functions")

    for name in FUNCTIONS:
        assert running[name]["revision"].startswith(f"adjourn-{name}-")
        assert running[name]["zip"] == manifest["functions"][name]["zip"]
    dashboard = deployment.workspace.output("links")["dashboard"]
    assert dashboard.startswith("https://console.cloud.google.com/monitoring/dashboards/builder/")


@pytest.mark.usefixtures("_application")
def test_a_deferred_call_runs_in_what_was_applied(functions: Path, ear: Ear) -> None:
    handle = greet("Ada")

    assert handle.name.startswith(f"{PARENT}/queues/greetings/tasks/")
    said = ear.hear()
    assert said.startswith("Good day Ada ")
    assert str(functions / "deferred" / "adjourn" / "__init__.py") in said
    assert str(functions / "deferred" / PACKAGED / "tasks.py") in said


@pytest.mark.usefixtures("functions")
def test_an_applied_job_rings_the_periodic_function(
    ear: Ear, scheduler: scheduler_v1.CloudSchedulerClient
) -> None:
    scheduler.run_job(name=f"{PARENT}/jobs/adjourn-noon")

    ear.hear_the_bell()


@pytest.mark.usefixtures("functions", "_application")
def test_an_iteration_takes_its_steps_in_what_was_applied(ear: Ear) -> None:
    client = datastore.Client()
    things = [datastore.Entity(client.key("Thing", n + 1)) for n in range(30)]
    for n, thing in enumerate(things):
        thing["n"] = n
    client.put_multi(things)

    Count.start(client.query(kind="Thing"), {"sum": 0})

    assert ear.hear() == f"30 things, sum {sum(range(30))}"


@pytest.mark.usefixtures("_application")
def test_the_command_line_finds_every_cron_name_called(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLOUDSCHEDULER_EMULATOR_HOST", cloud.host)

    status = main(["cron", "diff", "--app", APP])

    assert status == 0, capsys.readouterr()


def test_nothing_is_left_when_it_was_destroyed(
    deployment: Deployment,
    tasks: tasks_v2.CloudTasksClient,
    scheduler: scheduler_v1.CloudSchedulerClient,
) -> None:
    deployment.run("destroy", "--yes")

    assert (_queues(tasks), _jobs(scheduler)) == (set(), set())
    assert "resources" not in json.loads(deployment.workspace.run("show", "-json")).get(
        "values", {}
    ).get("root_module", {})

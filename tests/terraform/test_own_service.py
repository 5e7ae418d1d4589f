"""An own service that has nothing but the variables of Terraform's output does its work.

It is a web application on Cloud Run, whose part is in `cloud_run`: only who has been granted it may
invoke it. Its account may do what the plan grants, and nothing else.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import grpc
import pytest
from google.cloud import datastore, scheduler_v1
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
)

from adjourn_local.runtime.ports import find_free
from tests.e2e import web_application
from tests.e2e.conftest import Ear
from tests.terraform import cloud_run, deployed
from tests.terraform.cloud import Cloud, lead
from tests.terraform.stub import Stub
from tests.terraform.workspace import Plan, Workspace, brought_up

MODULE = web_application.__name__
REGION = "europe-west1"
URL = "https://shop-123456789012.europe-west1.run.app"
PROJECT = "shop-served"
WEB = f"web@{PROJECT}.iam.gserviceaccount.com"
SERVICE = {"url": URL, "account": WEB, "platform": "cloud-run-iam"}


@pytest.fixture(scope="module")
def ear(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ear]:
    ear = Ear(tmp_path_factory.mktemp("ear") / "ear")
    yield ear
    ear.close()


@pytest.fixture(scope="module")
def cloud(stub: Stub) -> Iterator[Cloud]:
    with cloud_run.clouds([WEB]) as cloud, stub.connected(cloud.host):
        yield cloud


@pytest.fixture(scope="module")
def applied(
    provider: dict[str, str],
    cloud: Cloud,  # noqa: ARG001 - where the stub makes queues and jobs
    tmp_path_factory: pytest.TempPathFactory,
) -> Workspace:
    """Return what `deploy.sh deploy --service` has brought up."""
    return brought_up(
        tmp_path_factory.mktemp("own"),
        provider,
        *(f"{MODULE}:app", "--service"),
        project=PROJECT,
        region=REGION,
        service=SERVICE,
        monitoring={"is_enabled": False},
    )


@pytest.fixture(scope="module")
def _served(
    applied: Workspace, cloud: Cloud, ear: Ear, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Run the service."""
    (port,) = find_free(1)
    made = Plan({"planned_values": json.loads(applied.run("show", "-json"))["values"]})
    cloud_run.enforce(cloud, deployed.grants(made), {"shop": URL})
    lines = applied.run("output", "-raw", "service_environment").splitlines()
    environment = {
        "HOME": str(tmp_path_factory.mktemp("home")),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "WEB_EAR": ear.path,
        **dict(each.split("=", 1) for each in lines),
        **cloud_run.added("shop", port),
        # Google's services are these here, and the port says as which account a call comes.
        "ADJOURN_KEYS_URL": cloud.emulators()["ADJOURN_KEYS_URL"],
        **cloud.stack.accounts.environment(WEB),
    }
    command = (sys.executable, "-m", "uvicorn", "--port", str(port), f"{MODULE}:starlette")
    process = subprocess.Popen(command, env=environment)
    try:
        cloud_run.wait_for(port)
        cloud.directory.homes[URL] = f"http://127.0.0.1:{port}"
        yield
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(autouse=True)
def _application(
    applied: Workspace,
    _served: None,
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Let this process enqueue with the settings that Terraform hands to applications."""
    lead(web_application.app, applied, cloud, monkeypatch, PROJECT)


def test_nothing_was_packaged_and_the_outputs_lead_to_the_service(applied: Workspace) -> None:
    build = applied.folder.parent / "build"

    assert [path.name for path in build.iterdir()] == ["adjourn.auto.tfvars.json"]
    assert applied.output("links")["service"].endswith(f"/{REGION}/shop/logs?project={PROJECT}")
    assert applied.output("functions") == {}


def test_a_call_reaches_the_service_through_the_queue(ear: Ear) -> None:
    web_application.say("hello")

    assert {ear.hear(), ear.hear()} == {"hello in attempt 1", "begin"}


def test_a_job_reaches_the_service(cloud: Cloud, ear: Ear) -> None:
    with grpc.insecure_channel(cloud.host) as channel:
        transport = CloudSchedulerGrpcTransport(channel=channel)
        jobs = scheduler_v1.CloudSchedulerClient(transport=transport)
        jobs.run_job(name=f"projects/{PROJECT}/locations/{REGION}/jobs/adjourn-bells")

        ear.hear_the_bell()


def test_an_iteration_walks_to_its_end_and_a_failure_becomes_a_dead_letter(ear: Ear) -> None:
    client = datastore.Client()
    client.put_multi([datastore.Entity(client.key("Thing", i + 1)) for i in range(20)])
    web_application.Count.start(client.query(kind="Thing"), custom_data="things")

    assert ear.hear() == "things: 20"

    web_application.stumble()

    assert ear.hear() == "dead: RuntimeError: "

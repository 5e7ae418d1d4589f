"""`adjourn doctor` on the running stack."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from adjourn_local.runtime.addresses import LOCATION, PROJECT

pytestmark = pytest.mark.usefixtures("environment")

ROOT = Path(__file__).resolve().parents[2]
QUEUE = f"projects/{PROJECT}/locations/{LOCATION}/queues/default"


def doctor(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "adjourn_local", "doctor", *options],
        cwd=ROOT,
        env=os.environ | {"ADJOURN_APP": "tests.e2e.application:app"} | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def tasks() -> Iterator[tasks_v2.CloudTasksClient]:
    with grpc.insecure_channel(os.environ["CLOUDTASKS_EMULATOR_HOST"]) as channel:
        yield tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))


def test_a_fresh_stack_is_well_and_what_a_laptop_has_not_is_said() -> None:
    done = doctor()

    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    found = [
        tuple(part.strip() for part in line.partition(":")[0].rsplit(" ", 1)) for line in lines
    ]
    assert found == [
        *(("ok", each) for each in ("settings", "keys", "clock", "logs", "queues", "jobs")),
        *(("not asked", each) for each in ("datastore", "functions", "permissions")),
    ]


def test_a_fault_is_told_and_the_exit_status_says_so(tasks: tasks_v2.CloudTasksClient) -> None:
    tasks.pause_queue(name=QUEUE)
    try:
        done, report = doctor(), doctor("--json")
    finally:
        tasks.resume_queue(name=QUEUE)

    assert (done.returncode, report.returncode) == (1, 1)
    assert (
        "fault      queues: The queue default in europe-west1 is PAUSED: its tasks wait."
        " Fix: gcloud tasks queues resume default --location=europe-west1 --project=adjourn-local"
    ) in done.stdout.splitlines()
    faults = [each for each in json.loads(report.stdout)["findings"] if each["state"] == "fault"]
    assert [each["subject"] for each in faults] == ["queues"]


def test_servers_that_are_gone_are_a_fault_each() -> None:
    away = "127.0.0.1:1"
    hosts = ("CLOUDTASKS_EMULATOR_HOST", "CLOUDSCHEDULER_EMULATOR_HOST", "DATASTORE_EMULATOR_HOST")

    done = doctor(**dict.fromkeys(hosts, away))

    assert done.returncode == 1
    for service in ("Cloud Tasks", "Cloud Scheduler", "Datastore"):
        assert f"{service} does not answer at {away}: " in done.stdout
    assert done.stdout.count(" Fix: adjourn up\n") == 3


def test_an_application_that_is_not_there_is_a_fault() -> None:
    done = doctor("--app", "tests.e2e.nowhere:app", ADJOURN_LOCATION="")

    assert done.returncode == 1
    settings, application, rest = done.stdout.splitlines()
    assert settings.startswith("fault      settings: ADJOURN_LOCATION is not set")
    assert "there is no module 'tests.e2e.nowhere'" in application
    assert rest.startswith("not asked  everything else: ")

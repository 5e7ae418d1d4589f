"""Periodic functions from Cloud Scheduler to the task, and `adjourn cron` on the running stack."""

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud import scheduler_v1
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
)

from adjourn_local.runtime.addresses import LOCATION, PROJECT, SERVICE_ACCOUNT
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.stack import Stack
from tests.e2e.application import app
from tests.e2e.conftest import Log
from tests.support import serving

pytestmark = pytest.mark.usefixtures("environment")

ROOT = Path(__file__).resolve().parents[2]
PARENT = f"projects/{PROJECT}/locations/{LOCATION}"
NORTH, SOUTH = (f"tests.e2e.application.Garden.water on gardens.{s}" for s in ("north", "south"))
TIDY = "tests.e2e.application.tidy"


def cron(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "adjourn_local", "cron", *arguments],
        cwd=ROOT,
        env=os.environ | {"ADJOURN_APP": "tests.e2e.application:app"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def told(*arguments: str) -> Mapping[str, Any]:
    done = cron(*arguments, "--json")
    assert done.stdout, done.stderr
    value: Mapping[str, Any] = json.loads(done.stdout)
    return value


@pytest.fixture
def scheduler() -> Iterator[scheduler_v1.CloudSchedulerClient]:
    with grpc.insecure_channel(os.environ["CLOUDSCHEDULER_EMULATOR_HOST"]) as channel:
        yield scheduler_v1.CloudSchedulerClient(
            transport=CloudSchedulerGrpcTransport(channel=channel)
        )


def test_a_job_runs_each_object_and_the_list_tells(
    scheduler: scheduler_v1.CloudSchedulerClient, log: Log
) -> None:
    scheduler.run_job(name=f"{PARENT}/jobs/garden")

    log.find("deferred", "watered north")
    log.find("deferred", "watered south")
    rows = {row["name"]: row for row in told("list")["periodic"]}
    for name in (NORTH, SOUTH):
        last, next_ = (dt.datetime.fromisoformat(rows[name][key]) for key in ("last", "next"))
        assert next_ - last == dt.timedelta(hours=1)
        assert rows[name]["timing"] == "every 1:00:00"
        assert rows[name]["state"] in {"ended", "attempt 1"}
    assert rows[TIDY]["timing"] == "every day 03:00 (Europe/Berlin)"
    text = cron("list").stdout.splitlines()
    assert text[0].split() == ["name", "cron", "name", "timing", "last", "state", "next"]
    assert [line for line in text if line.startswith(NORTH)]


def test_one_is_run_now_as_a_task(log: Log) -> None:
    for name in (NORTH, SOUTH):
        handle = told("run", name)

        log.find("deferred", f"watered {name[-5:]} {handle['id']}")

    done = cron("run", "water")
    assert done.returncode == 2
    assert "No periodic function is named 'water'; there are: " in done.stderr
    assert NORTH in done.stderr


def test_what_comes_next_is_told() -> None:
    rows = told("next", TIDY, "--count", "3")["due"]

    times = [dt.datetime.fromisoformat(row["due"]) for row in rows]
    assert [at.hour in {1, 2} for at in times] == [True] * 3
    assert times[0] > dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)
    assert {row["cron_name"] for row in rows} == {"nightly"}
    everything = cron("next").stdout
    assert everything.count("Garden.water on gardens.north") == 5


def test_jobs_and_cron_names_agree_until_one_is_changed(
    stack: Stack, scheduler: scheduler_v1.CloudSchedulerClient
) -> None:
    names = app.cron_names()
    done = cron("diff")
    assert done.stdout == f"{len(names)} cron names, {len(names)} jobs, no difference.\n"
    assert done.returncode == 0
    url, garden = stack.ports.url("cron"), f"{PARENT}/jobs/garden"
    token = scheduler_v1.OidcToken(service_account_email=SERVICE_ACCOUNT, audience=url)
    before = scheduler.get_job(name=garden)
    scheduler.delete_job(name=garden)
    scheduler.pause_job(name=f"{PARENT}/jobs/nightly")
    strangers = {
        "empty": scheduler_v1.HttpTarget(uri=url, oidc_token=token),
        "gardn": scheduler_v1.HttpTarget(uri=f"{url}/gardn"),
        "get": scheduler_v1.HttpTarget(uri=f"{url}/bell", http_method="GET", oidc_token=token),
        "else": scheduler_v1.HttpTarget(uri="https://elsewhere.example/bell"),
        "aud": scheduler_v1.HttpTarget(
            uri=f"{url}/bell",
            oidc_token=scheduler_v1.OidcToken(service_account_email=SERVICE_ACCOUNT),
        ),
        "who": scheduler_v1.HttpTarget(
            uri=f"{url}/bell",
            oidc_token=scheduler_v1.OidcToken(service_account_email="a@b.example", audience=url),
        ),
    }
    for name, target in strangers.items():
        scheduler.create_job(
            parent=PARENT,
            job=scheduler_v1.Job(
                name=f"{PARENT}/jobs/{name}", schedule="0 0 1 1 *", http_target=target
            ),
        )
    try:
        done = cron("diff")
        report = told("diff")
    finally:
        for name in strangers:
            scheduler.delete_job(name=f"{PARENT}/jobs/{name}")
        scheduler.create_job(parent=PARENT, job=before)
        scheduler.resume_job(name=f"{PARENT}/jobs/nightly")

    assert done.returncode == 1
    assert done.stdout.splitlines() == report["differences"]
    assert report["differences"] == [
        f"No job calls the cron name 'garden' ({url}/garden).",
        f"The job aud has the audience '{url}/bell', which is not accepted.",
        "The job empty calls the cron name '', which is not declared.",
        "The job gardn calls the cron name 'gardn', which is not declared.",
        "The job gardn sends no OIDC token; the function refuses it.",
        "The job get sends GET; the function accepts only POST.",
        "The job nightly does not run; its state is PAUSED.",
        "The job who calls as a@b.example, which may not call the function.",
    ]
    assert report["declared"] == sorted(names)
    assert cron("diff").returncode == 0


def test_the_jobs_of_a_cron_name_are_paused_resumed_and_triggered(
    scheduler: scheduler_v1.CloudSchedulerClient,
) -> None:
    name, before = f"{PARENT}/jobs/garden", dt.datetime.now(dt.UTC)
    for _ in range(2):  # to say it again does no harm
        assert told("pause", "garden")["jobs"][0]["state"] == "PAUSED"
    assert scheduler.get_job(name=name).state == scheduler_v1.Job.State.PAUSED
    refused = cron("trigger", "garden")
    assert refused.returncode == 1
    assert "cannot be triggered: garden; first `adjourn cron resume garden`" in refused.stderr

    done = cron("resume", "garden")
    assert done.stdout == "The job garden, * * * * * (Etc/UTC), calls again.\n"
    assert scheduler.get_job(name=name).state == scheduler_v1.Job.State.ENABLED
    (job,) = told("trigger", "garden")["jobs"]
    assert (job["name"], job["cron_name"]) == ("garden", "garden")
    assert dt.datetime.fromisoformat(job["last_attempt"]) > before

    assert told("pause", TIDY) == {"name": TIDY, "paused": True, "changed": True}
    assert told("pause", TIDY)["changed"] is False
    assert {row["name"]: row["state"] for row in told("list")["periodic"]}[TIDY] == "paused"
    assert told("resume", TIDY) == {"name": TIDY, "paused": False, "changed": True}
    done = cron("pause", "gardn")
    assert done.returncode == 2
    assert "No job calls the cron name 'gardn'; called are: adjourn, bell" in done.stderr


def test_a_scheduler_that_does_not_do_it_is_said(
    loop: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(loop) as address:
        monkeypatch.setenv("CLOUDSCHEDULER_EMULATOR_HOST", address)
        done = cron("diff")

    assert done.returncode == 1
    assert done.stderr.startswith("adjourn: Cloud Scheduler has failed: ")


def test_an_application_is_needed() -> None:
    done = cron("list", "--app", "tests.e2e.nowhere:app")

    assert done.returncode == 2
    assert "there is no module 'tests.e2e.nowhere'" in done.stderr

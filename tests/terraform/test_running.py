"""Deployed functions run as Cloud Run runs them: environment, permissions, front end, signals.

What is started, with which variables and as which account is read from a plan; Cloud Run's part is
in `cloud_run`.
"""

import datetime as dt
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud import datastore, scheduler_v1, tasks_v2
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
)
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from adjourn import TaskHandle
from adjourn_local.iam.grants import Deployment
from adjourn_local.iam.policy import Binding
from adjourn_local.iam.roles import ROLES
from adjourn_local.runtime.ports import find_free
from tests.checkout import ROOT
from tests.e2e.conftest import Ear
from tests.terraform import cloud_run, deployed
from tests.terraform.cloud import Cloud, lead
from tests.terraform.cloud_run import TRACE, Instance
from tests.terraform.conftest import FUNCTIONS
from tests.terraform.running.tasks import Count, app, chat, fail, gather, linger, log_events, meet
from tests.terraform.stub import Stub
from tests.terraform.workspace import Plan, Workspace, brought_up

APP = "tests.terraform.running.tasks:app"
PACKAGED = "tests/terraform/running"
PROJECT, REGION = "shop-running", "europe-west1"
PARENT = f"projects/{PROJECT}/locations/{REGION}"
ACCOUNT = f"adjourn-{{}}@{PROJECT}.iam.gserviceaccount.com"
LABELS = "logging.googleapis.com/labels"


@pytest.fixture(scope="module")
def ear(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ear]:
    ear = Ear(tmp_path_factory.mktemp("ear") / "ear")
    yield ear
    ear.close()


@pytest.fixture(scope="module")
def cloud(stub: Stub) -> Iterator[Cloud]:
    accounts = [ACCOUNT.format(name) for name in FUNCTIONS]
    with cloud_run.clouds(accounts) as cloud, stub.connected(cloud.host):
        yield cloud


@pytest.fixture(scope="module")
def applied(
    provider: dict[str, str],
    cloud: Cloud,  # noqa: ARG001 - where the stub makes queues and jobs
    ear: Ear,
    tmp_path_factory: pytest.TempPathFactory,
) -> Workspace:
    """Return what `deploy.sh deploy` has brought up."""
    return brought_up(
        tmp_path_factory.mktemp("running"),
        provider,
        *(APP, "--include", PACKAGED),
        project=PROJECT,
        region=REGION,
        environment={"E2E_EAR": ear.path},
    )


@pytest.fixture(scope="module")
def planned(applied: Workspace) -> Plan:
    """Return the plan after the apply: that of what is there."""
    return applied.plan()


@pytest.fixture(scope="module")
def start(
    applied: Workspace, planned: Plan, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """Return what runs an instance of a function for a while, which then gets all its requests."""
    home = tmp_path_factory.mktemp("functions")
    functions, urls = deployed.functions(planned), applied.output("urls")
    addresses = {function.service: urls[name] for name, function in functions.items()}
    cloud_run.enforce(cloud, deployed.grants(planned), addresses)

    @contextmanager
    def start(name: str) -> Iterator[Instance]:
        function, code, url = functions[name], home / name, urls[name]
        if not code.exists():
            source = planned.resources()[f'google_storage_bucket_object.source["{name}"]']
            with zipfile.ZipFile(applied.folder / source["source"]) as packed:
                packed.extractall(code)
        (port,) = find_free(1)
        environment = cloud_run.environment(function, port, home)
        # Google's services are these here, and the port says as which account a call comes.
        environment |= cloud.stack.accounts.environment(function.account)
        instance = Instance(function, code, environment)
        before = cloud.directory.homes.get(url, "")
        try:
            cloud_run.wait_for(port)
            cloud.directory.homes[url] = f"http://127.0.0.1:{port}"
            yield instance
        finally:
            cloud.directory.homes[url] = before
            instance.stop()

    return start


@pytest.fixture(scope="module")
def instances(start: Any) -> Iterator[Mapping[str, Instance]]:
    """Run the three functions."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(start(name)) for name in FUNCTIONS}


@pytest.fixture(autouse=True)
def _application(
    applied: Workspace,
    cloud: Cloud,
    instances: Mapping[str, Instance],  # noqa: ARG001 - who runs what is enqueued
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Let this process enqueue with the settings that Terraform hands to applications."""
    lead(app, applied, cloud, monkeypatch, PROJECT)


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


def documented_events() -> list[tuple[str, str]]:
    """Return each event of the documentation with each of its severities."""
    text = (ROOT / "docs" / "operations.md").read_text()
    (table,) = re.findall(r"\| event \| severity \|.*?\n\n", text, re.DOTALL)
    found = []
    for names, severities in re.findall(r"^\| (`.*?`) \| ([A-Z, ]+) \|", table, re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", names):
            found += [(name, severity) for severity in severities.split(", ")]
    return found


def _is(name: str, severity: str, task: str = "") -> Any:
    return lambda entry: (
        (entry.get("event"), entry.get("severity")) == (name, severity)
        and task in {"", entry.get("task_id")}
    )


@pytest.fixture
def logged(ear: Ear, instances: Mapping[str, Instance]) -> TaskHandle:
    """Let the deferred function log every documented event; return the task that does it."""
    handle = log_events(documented_events())
    assert ear.hear() == "logged"
    instances["deferred"].find(lambda each: each.get("task_id") == handle.id)
    return handle


def test_every_documented_event_is_a_structured_line(
    logged: TaskHandle, instances: Mapping[str, Instance]
) -> None:
    events, deferred = documented_events(), instances["deferred"]
    assert len(events) > 40
    for name, severity in events:
        if severity == "DEBUG":
            continue
        entry = deferred.find(_is(name, severity, logged.id))
        assert entry["message"] == f"the event {name}"
        assert entry["task"] == log_events.name
        assert (entry["queue"], entry["attempt"]) == ("default", 1)
        assert entry["delivery"] == logged.name.rpartition("/")[2]
        assert re.fullmatch(r"\w{12}", entry[LABELS]["execution_id"])
        assert entry["logging.googleapis.com/trace"] == f"projects/{PROJECT}/traces/{TRACE}"
    assert not any(each.get("severity") == "DEBUG" for each in deferred.entries())


def test_what_the_application_prints_and_logs_belongs_to_its_execution(
    ear: Ear, instances: Mapping[str, Instance]
) -> None:
    chat()

    assert ear.hear() == "chatted"
    deferred = instances["deferred"]
    printed = deferred.find(lambda each: each.get("message") == "printed")
    structured = deferred.find(lambda each: each.get("message") == "structured")
    logged = deferred.find(lambda each: each.get("message") == "logged by the shop")
    assert structured["severity"] == "NOTICE"
    assert (logged["severity"], logged["logger"], logged["task"]) == ("WARNING", "shop", chat.name)
    assert printed[LABELS] == structured[LABELS] == logged[LABELS]


@pytest.mark.usefixtures("logged")
def test_whatever_is_counted_is_logged_with_what_tells_it_apart(
    planned: Plan, instances: Mapping[str, Instance], scheduler: scheduler_v1.CloudSchedulerClient
) -> None:
    fail()
    scheduler.run_job(name=f"{PARENT}/jobs/adjourn-noon")
    instances["deferred"].find(_is("task.dead", "ERROR"))
    instances["cron"].find(_is("cron.tick", "INFO"))

    metrics = planned.of_type("google_logging_metric").values()
    watched = {
        metric["name"]: (set(re.findall(r'"([a-z]+\.[a-z_]+)"', metric["filter"])), metric)
        for metric in metrics
        if "jsonPayload.event" in metric["filter"]
    }
    seen = [each for name in FUNCTIONS for each in instances[name].entries()]
    for name, (events, metric) in watched.items():
        matching = [each for each in seen if each.get("event") in events]
        assert matching, f"nothing that is logged counts in {name}"
        for extractor in (metric["label_extractors"] or {}).values():
            (field,) = re.findall(r"jsonPayload\.(\w+)", extractor)
            assert any(each.get(field) for each in matching), f"{name} has no {field}"


def test_a_job_rings(ear: Ear, scheduler: scheduler_v1.CloudSchedulerClient) -> None:
    scheduler.run_job(name=f"{PARENT}/jobs/adjourn-noon")

    ear.hear_the_bell()


def things() -> datastore.Client:
    client = datastore.Client()
    entities = [datastore.Entity(client.key("Thing", n + 1)) for n in range(30)]
    for n, entity in enumerate(entities):
        entity["n"] = n
    client.put_multi(entities)
    return client


def test_a_lost_iteration_is_found_and_goes_on(
    ear: Ear,
    instances: Mapping[str, Instance],
    tasks: tasks_v2.CloudTasksClient,
    scheduler: scheduler_v1.CloudSchedulerClient,
) -> None:
    client, queue = things(), f"{PARENT}/queues/default"
    tasks.pause_queue(name=queue)
    run = Count.start(client.query(kind="Thing"), {"sum": 0})
    for task in tasks.list_tasks(parent=queue):
        tasks.delete_task(name=task.name)
    tasks.resume_queue(name=queue)
    _age(client, dt.timedelta(minutes=10))
    # The job may have rung by itself a moment ago; then nothing would be due.
    client.delete_multi([each.key for each in client.query(kind="AdjournPeriodic").fetch()])

    scheduler.run_job(name=f"{PARENT}/jobs/adjourn-adjourn")

    entry = instances["deferred"].find(
        lambda each: (
            each.get("event") in {"iteration.revived", "iteration.lost"}
            and each.get("run") == run.id
        )
    )
    assert entry["event"] == "iteration.revived", entry["message"]
    assert ear.hear() == f"30 things, sum {sum(range(30))}"


def _age(client: datastore.Client, by: dt.timedelta) -> None:
    """Let what is under way look as if nobody had touched it for a while."""
    for kind in ("AdjournRun", "AdjournShard"):
        for entity in client.query(kind=kind).fetch():
            for name in ("updated_at", "created_at"):
                if name in entity:
                    entity[name] -= by
            client.put(entity)


def test_no_account_was_refused_anything(instances: Mapping[str, Instance]) -> None:
    seen = [each for name in FUNCTIONS for each in instances[name].entries()]

    assert not [each for each in seen if "lacks IAM permission" in str(each)]
    assert not [each for each in seen if "insufficient permissions" in str(each)]


def test_only_the_callers_are_let_in(cloud: Cloud, applied: Workspace) -> None:
    urls, invokers = applied.output("urls"), cloud.directory.invokers

    assert invokers[urls["deferred"]] == {ACCOUNT.format("tasks")}
    assert invokers[urls["queryiter"]] == {ACCOUNT.format("tasks")}
    assert invokers[urls["cron"]] == {ACCOUNT.format("jobs")}


def test_as_many_calls_run_at_a_time_as_are_let_in(
    ear: Ear, instances: Mapping[str, Instance]
) -> None:
    count = instances["deferred"].function.concurrency

    for _ in range(count):
        meet(count)

    assert [ear.hear() for _ in range(count)] == ["met"] * count


def test_as_many_coroutines_wait_at_a_time_as_are_let_in(
    ear: Ear, instances: Mapping[str, Instance]
) -> None:
    count = instances["deferred"].function.concurrency

    for _ in range(count):
        gather(count)

    assert [ear.hear() for _ in range(count)] == ["gathered"] * count


def test_an_instance_fits_into_its_memory(instances: Mapping[str, Instance]) -> None:
    for instance in instances.values():
        assert 0 < instance.memory_mb < instance.function.memory_mb


def test_what_runs_when_the_instance_is_stopped_ends(ear: Ear, start: Any, tmp_path: Path) -> None:
    door = tmp_path / "door"
    os.mkfifo(door)
    with start("deferred") as instance:
        linger(str(door))
        assert ear.hear() == "begun"

        instance.process.terminate()
        door.write_text("open")

        assert ear.hear() == "ended"
        assert instance.process.wait(10) == 0
        assert not [each for each in instance.entries() if each.get("severity") == "ERROR"]


def test_the_laptop_stack_grants_what_terraform_grants(planned: Plan) -> None:
    resources = planned.resources()
    queues = [
        f"projects/{each['project']}/locations/{each['location']}/queues/{each['name']}"
        for address, each in resources.items()
        if address.startswith("google_cloud_tasks_queue.")
    ]
    emulated = Deployment(project=PROJECT, database="(default)", queues=queues)
    made = {
        Binding(
            member=f"serviceAccount:{email}",
            role=grant.role,
            resource=grant.resource,
            condition=grant.condition,
        )
        for email, found in deployed.grants(planned).items()
        for grant in found
        if grant.role in ROLES
    }

    assert set(emulated.bindings()) == made

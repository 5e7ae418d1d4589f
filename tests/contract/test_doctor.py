"""`adjourn doctor` names each fault in one line, with the command that mends it.

Queues, jobs and policies of queues are those of the laptop's services, through Google's clients.
What only Google has (Cloud Run, IAM, Firestore's administration) is played by a server of JSON
documents, in the form of their REST references.
"""

import dataclasses
import datetime as dt
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
from aiohttp import web
from google.cloud import scheduler_v1, tasks_v2
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
)
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from adjourn.settings import Settings
from adjourn.state.cleanup import KINDS
from adjourn_local.commands.doctor import line
from adjourn_local.doctor import logs
from adjourn_local.doctor.examination import examine
from adjourn_local.doctor.finding import Deployment, Finding, State
from adjourn_local.doctor.google_rest import GoogleRest
from adjourn_local.doctor.network import check as check_network
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.stack import Stack, running
from tests.checkout import ROOT
from tests.doctor_shop import app
from tests.support import serving_others

PROJECT, REGION = "shop", "europe-west1"
PARENT = f"projects/{PROJECT}/locations/{REGION}"
FUNCTIONS = ("deferred", "cron", "queryiter")
URLS = {name: f"https://adjourn-{name}-123.{REGION}.run.app" for name in FUNCTIONS}
ACCOUNT = f"adjourn-{{}}@{PROJECT}.iam.gserviceaccount.com"
MEMBERS = {name: f"serviceAccount:{ACCOUNT.format(name)}" for name in (*FUNCTIONS, "tasks", "jobs")}
DATABASE = f"/v1/projects/{PROJECT}/databases/(default)"
NIGHTLY = f"{PARENT}/jobs/nightly"
ENTITIES = "roles/datastore.user"
SERVICE = f"/v2/{PARENT}/services/adjourn-{{}}"
ADD = "add-iam-policy-binding"


class Google:
    """Cloud Run, IAM, Resource Manager and Firestore's administration, as JSON documents."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {}
        self.refused: set[str] = set()

    def routes(self) -> list[web.RouteDef]:
        return [web.route("*", "/{path:.*}", self._answer)]

    async def _answer(self, request: web.Request) -> web.Response:
        if any(part in request.path for part in self.refused):
            error = {"code": 403, "message": "Permission denied.", "status": "PERMISSION_DENIED"}
            return web.json_response({"error": error}, status=403)
        if request.path not in self.documents:
            return web.json_response({"error": {"code": 404, "message": "gone"}}, status=404)
        return web.json_response(self.documents[request.path])

    def deploy(self) -> None:
        """Make everything as Terraform does."""
        self.refused.clear()
        self.documents = {DATABASE: {"type": "DATASTORE_MODE", "concurrencyMode": "PESSIMISTIC"}}
        for kind in KINDS:
            field = {"ttlConfig": {"state": "ACTIVE"}}
            self.documents[f"{DATABASE}/collectionGroups/{kind}/fields/expires_at"] = field
        for name, url in URLS.items():
            caller = "jobs" if name == "cron" else "tasks"
            service = f"/v2/{PARENT}/services/adjourn-{name}"
            variables = {
                f"ADJOURN_{name.upper()}_URL": url,
                "ADJOURN_CALLERS": ACCOUNT.format(caller),
            }
            env = [{"name": each, "value": value} for each, value in variables.items()]
            self.documents[service] = {
                "uri": f"https://adjourn-{name}-hash.a.run.app",
                "urls": [url],
                "template": {
                    "serviceAccount": ACCOUNT.format(name),
                    "containers": [{"env": env}],
                },
            }
            self.grant(f"{service}:getIamPolicy", "roles/run.invoker", MEMBERS[caller])
        runtimes = [MEMBERS[name] for name in FUNCTIONS]
        tasks = f"/v1/projects/{PROJECT}/serviceAccounts/{ACCOUNT.format('tasks')}"
        self.grant(f"{tasks}:getIamPolicy", "roles/iam.serviceAccountUser", *runtimes)
        condition = f'resource.name == "projects/{PROJECT}/databases/(default)"'
        self.grant(f"/v1/projects/{PROJECT}:getIamPolicy", ENTITIES, *runtimes, condition=condition)

    def grant(self, path: str, role: str, *members: str, condition: str = "") -> None:
        binding: dict[str, Any] = {"role": role, "members": list(members)}
        if condition:
            binding["condition"] = {"expression": condition}
        self.documents[path] = {"bindings": [binding]}

    def service(self, name: str) -> Any:
        return self.documents[f"/v2/{PARENT}/services/adjourn-{name}"]

    def variable(self, name: str, variable: str, value: str) -> None:
        for each in self.service(name)["template"]["containers"][0]["env"]:
            if each["name"] == variable:
                each["value"] = value


@dataclasses.dataclass
class World:
    """A deployment in which nothing is wrong, until a test plants something."""

    google: Google
    rest: GoogleRest
    tasks: tasks_v2.CloudTasksClient
    jobs: scheduler_v1.CloudSchedulerClient
    environ: dict[str, str]

    def findings(self) -> list[Finding]:
        app._wiring = None
        return list(examine(lambda: app, ROOT, environ=self.environ, google=self.rest))

    def faults(self) -> list[str]:
        return [line(each) for each in self.findings() if each.state is State.FAULT]

    def deploy(self) -> None:
        self.google.deploy()
        for queue in ("default", "mail"):
            name = f"{PARENT}/queues/{queue}"
            try:
                self.tasks.create_queue(parent=PARENT, queue={"name": name})
            except Exception:  # noqa: BLE001 - it is there from another test
                self.tasks.update_queue(queue={"name": name, "retry_config": {"max_attempts": 100}})
            self.tasks.resume_queue(name=name)
            self.allow(queue, {"enqueuer": FUNCTIONS, "viewer": ("deferred", "cron")})
        for job in list(self.jobs.list_jobs(parent=PARENT)):
            self.jobs.delete_job(name=job.name)
        self.create_job("nightly")

    def allow(self, queue: str, roles: dict[str, tuple[str, ...]]) -> None:
        bindings = [
            {"role": f"roles/cloudtasks.{role}", "members": [MEMBERS[each] for each in names]}
            for role, names in roles.items()
        ]
        resource = f"{PARENT}/queues/{queue}"
        self.tasks.set_iam_policy(request={"resource": resource, "policy": {"bindings": bindings}})

    def create_job(self, name: str, url: str = URLS["cron"], **token: str) -> None:
        wanted = {"service_account_email": ACCOUNT.format("jobs"), "audience": URLS["cron"]}
        target = {"uri": f"{url}/{name}", "oidc_token": wanted | token}
        job = {"name": f"{PARENT}/jobs/{name}", "schedule": "0 0 1 1 *", "http_target": target}
        self.jobs.create_job(parent=PARENT, job=job)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    stack = Stack(None)
    with running(stack):
        yield stack


@pytest.fixture
def world(stack: Stack, loop: LoopThread, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    google, host = Google(), f"127.0.0.1:{stack.ports.grpc}"
    environ = {
        "PATH": os.environ["PATH"],
        "ADJOURN_APP": "tests.doctor_shop:app",
        "ADJOURN_PROJECT": PROJECT,
        "ADJOURN_LOCATION": REGION,
        **{f"ADJOURN_{name.upper()}_URL": url for name, url in URLS.items()},
        "ADJOURN_SERVICE_ACCOUNT": ACCOUNT.format("tasks"),
        "ADJOURN_CALLERS": f"{ACCOUNT.format('jobs')},{ACCOUNT.format('tasks')}",
        "ADJOURN_KEYS_URL": f"{stack.ports.url('http')}/oauth2/v1/certs",
        "CLOUDTASKS_EMULATOR_HOST": host,
        "CLOUDSCHEDULER_EMULATOR_HOST": host,
        "DATASTORE_EMULATOR_HOST": host,
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with serving_others(loop, google.routes()) as url, grpc.insecure_channel(host) as channel:
        apis = ("run", "iam", "cloudresourcemanager", "firestore")
        session = requests.Session()
        world = World(
            google=google,
            rest=GoogleRest(session, dict.fromkeys(apis, url)),
            tasks=tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel)),
            jobs=scheduler_v1.CloudSchedulerClient(
                transport=CloudSchedulerGrpcTransport(channel=channel)
            ),
            environ=environ,
        )
        world.deploy()
        yield world
        session.close()


def test_a_deployment_without_faults_has_none(world: World) -> None:
    found = world.findings()

    assert {(each.subject, each.state) for each in found} == {
        (subject, State.OK)
        for subject in (
            *("settings", "keys", "clock", "logs", "queues", "jobs", "datastore"),
            *("functions", "permissions"),
        )
    }, [line(each) for each in found]


def test_an_own_service_is_not_taken_for_missing_functions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in FUNCTIONS:
        monkeypatch.delenv(f"ADJOURN_{name.upper()}_URL")
        del world.environ[f"ADJOURN_{name.upper()}_URL"]
    world.environ["ADJOURN_SERVICE_URL"] = "https://shop.example/_adjourn"
    monkeypatch.setenv("ADJOURN_SERVICE_URL", "https://shop.example/_adjourn")
    world.jobs.delete_job(name=NIGHTLY)
    world.create_job(
        "nightly", "https://shop.example/_adjourn/cron", audience="https://shop.example"
    )

    found = world.findings()

    assert [line(each) for each in found if each.state is State.FAULT] == []
    assert {each.subject for each in found if each.state is State.NOT_ASKED} == {
        "functions",
        "permissions",
    }


OWN = f"https://web-123.{REGION}.run.app"
OWN_SERVICE = f"/v2/{PARENT}/services/web"
VARIABLE = "ADJOURN_SERVICE_URL"


@pytest.fixture
def own(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Return a deployment whose functions a public web application serves."""
    for name in FUNCTIONS:
        monkeypatch.delenv(f"ADJOURN_{name.upper()}_URL")
        del world.environ[f"ADJOURN_{name.upper()}_URL"]
        del world.google.documents[SERVICE.format(name)]
    world.environ[VARIABLE] = f"{OWN}/_adjourn"
    monkeypatch.setenv(VARIABLE, f"{OWN}/_adjourn")
    world.jobs.delete_job(name=NIGHTLY)
    world.create_job("nightly", f"{OWN}/_adjourn/cron", audience=OWN)
    variables = {
        VARIABLE: f"{OWN}/_adjourn",
        "ADJOURN_CALLERS": world.environ["ADJOURN_CALLERS"],
        "ADJOURN_PLATFORM": "verify",
    }
    env = [{"name": each, "value": value} for each, value in variables.items()]
    template = {"serviceAccount": ACCOUNT.format("deferred"), "containers": [{"env": env}]}
    world.google.documents[OWN_SERVICE] = {"uri": OWN, "urls": [OWN], "template": template}
    world.google.grant(f"{OWN_SERVICE}:getIamPolicy", "roles/run.invoker", "allUsers")
    return world


def _own_variable(name: str, value: str) -> Callable[[World], Any]:
    def plant(world: World) -> None:
        template = world.google.documents[OWN_SERVICE]["template"]
        for each in template["containers"][0]["env"]:
            if each["name"] == name:
                each["value"] = value

    return plant


def _open_to(*names: str) -> Callable[[World], Any]:
    members = [MEMBERS[name] for name in names]
    return lambda world: world.google.grant(
        f"{OWN_SERVICE}:getIamPolicy", "roles/run.invoker", *members
    )


def test_an_own_service_of_cloud_run_is_looked_at(own: World) -> None:
    found = own.findings()

    assert {each.state for each in found} == {State.OK}, [line(each) for each in found]


# What is planted in an own service, what is then said, and the command that mends it.
OWN_FAULTS: dict[str, tuple[Callable[[World], Any], str, str]] = {
    "that is not there": (
        lambda world: world.google.documents.pop(OWN_SERVICE),
        f"functions: There is no service of Cloud Run at {OWN}.",
        "gcloud run deploy, or correct ADJOURN_SERVICE_URL",
    ),
    "at another address": (
        lambda world: world.google.documents[OWN_SERVICE].update(uri="", urls=[]),
        f"functions: The service web does not answer at {OWN}.",
        "terraform output environment",
    ),
    "under another prefix": (
        _own_variable(VARIABLE, f"{OWN}/tasks"),
        f"functions: Tasks go to {OWN}/_adjourn; ADJOURN_SERVICE_URL of the service web is {OWN}/t",
        f"gcloud run services update web .*--update-env-vars={VARIABLE}={OWN}/_adjourn",
    ),
    "that does not know the jobs' account": (
        _own_variable("ADJOURN_CALLERS", ACCOUNT.format("tasks")),
        f"functions: The service web refuses {ACCOUNT.format('jobs')}, which ADJOURN_CALLERS lacks",
        r"gcloud run services update web .*--update-env-vars=\^;\^ADJOURN_CALLERS=adjourn-jobs@.*,",
    ),
    "open to everybody that leaves the check to Cloud Run": (
        _own_variable("ADJOURN_PLATFORM", "cloud-run-iam"),
        "functions: Anybody may call the service web: allUsers has roles/run.invoker.",
        "gcloud run services remove-iam-policy-binding web .*--member=allUsers",
    ),
    "closed to everybody that checks signatures itself": (
        _open_to("tasks", "jobs"),
        "functions: Cloud Run removes the signatures of tokens for the service web",
        "gcloud run services update web .*--update-env-vars=ADJOURN_PLATFORM=cloud-run-iam",
    ),
    "that jobs may not invoke": (
        lambda world: (
            _own_variable("ADJOURN_PLATFORM", "cloud-run-iam")(world),
            _open_to("tasks")(world),
        ),
        f"functions: {ACCOUNT.format('jobs')} may not call the service web.",
        f"gcloud run services {ADD} web .*--role=roles/run.invoker",
    ),
    "whose account may not ask for tasks": (
        lambda world: world.allow("mail", {"enqueuer": FUNCTIONS, "viewer": ("cron",)}),
        f"permissions: The service web's account {ACCOUNT.format('deferred')} lacks",
        f"gcloud tasks queues {ADD} mail .*--role=roles/cloudtasks.viewer",
    ),
}


@pytest.mark.parametrize("name", OWN_FAULTS)
def test_a_fault_of_an_own_service_is_named_with_what_mends_it(own: World, name: str) -> None:
    plant, said, fix = OWN_FAULTS[name]

    plant(own)

    faults = own.faults()
    assert [each for each in faults if re.search(f"fault +.*{said}.* Fix: .*{fix}", each)], faults
    assert all("\n" not in each for each in faults)


def _gone(path: str) -> Callable[[World], Any]:
    return lambda world: world.google.documents.pop(path)


def _policy(path: str) -> Callable[[World], Any]:
    return lambda world: world.google.documents.__setitem__(f"{path}:getIamPolicy", {})


# What is planted, what is then said, and the command that mends it.
FAULTS: dict[str, tuple[Callable[[World], Any], str, str]] = {
    "a setting that is missing": (
        lambda world: world.environ.pop("ADJOURN_LOCATION"),
        "settings: ADJOURN_LOCATION is not set",
        "export ADJOURN_LOCATION=...; `adjourn env` prints",
    ),
    "a setting that is misspelt": (
        lambda world: world.environ.update(ADJOURN_QEUE="mail"),
        "settings: ADJOURN_QEUE is not a setting of adjourn",
        "unset ADJOURN_QEUE",
    ),
    "a setting that is wrong": (
        lambda world: world.environ.update(ADJOURN_CRON_URL="http://shop.example"),
        "settings: ADJOURN_CRON_URL='http://shop.example' must be",
        "correct ADJOURN_CRON_URL=...",
    ),
    "keys that cannot be fetched": (
        lambda world: world.environ.update(ADJOURN_KEYS_URL="http://127.0.0.1:1/certs"),
        "keys: The keys that verify callers cannot be fetched",
        "correct ADJOURN_KEYS_URL",
    ),
    "keys that are none": (
        lambda world: world.environ.update(
            ADJOURN_KEYS_URL=world.environ["ADJOURN_KEYS_URL"].replace("/v1/", "/v3/")
        ),
        "is no set of certificates",
        "correct ADJOURN_KEYS_URL",
    ),
    "a queue that is paused": (
        lambda world: world.tasks.pause_queue(name=f"{PARENT}/queues/mail"),
        "queues: The queue mail in europe-west1 is PAUSED: its tasks wait.",
        "gcloud tasks queues resume mail --location=europe-west1 --project=shop",
    ),
    "a queue that gives up early": (
        lambda world: world.tasks.update_queue(
            queue={"name": f"{PARENT}/queues/mail", "retry_config": {"max_attempts": 3}}
        ),
        "queues: The queue mail in europe-west1 tries a task 3 times; ADJOURN_MAX_ATTEMPTS says",
        "gcloud tasks queues update mail --location=europe-west1 --project=shop --max-attempts=100",
    ),
    "a queue that does not exist": (
        lambda world: world.environ.update(ADJOURN_QUEUE="fast"),
        "queues: The queue fast does not exist in europe-west1.",
        "gcloud tasks queues create fast --location=europe-west1 --project=shop",
    ),
    "a job that is missing": (
        lambda world: world.jobs.delete_job(name=NIGHTLY),
        "jobs: No job calls the cron name 'nightly'",
        "gcloud scheduler jobs create http nightly --location=europe-west1 --project=shop",
    ),
    "a job that is paused": (
        lambda world: world.jobs.pause_job(name=NIGHTLY),
        "jobs: The job nightly does not run; its state is PAUSED.",
        "adjourn cron resume nightly",
    ),
    "a job that nobody declares": (
        lambda world: world.create_job("gone"),
        "jobs: The job gone calls the cron name 'gone', which is not declared.",
        "gcloud scheduler jobs delete gone --location=europe-west1 --project=shop",
    ),
    "a job for another audience": (
        lambda world: (
            world.jobs.delete_job(name=NIGHTLY),
            world.create_job("nightly", audience="https://elsewhere.example"),
        ),
        "jobs: The job nightly has the audience 'https://elsewhere.example'",
        f"gcloud scheduler jobs update http nightly .*--oidc-token-audience={URLS['cron']}",
    ),
    "a job of another account": (
        lambda world: (
            world.jobs.delete_job(name=NIGHTLY),
            world.create_job("nightly", service_account_email="a@b.example"),
        ),
        "jobs: The job nightly calls as a@b.example, which may not call the function.",
        f"--oidc-service-account-email={ACCOUNT.format('jobs')}",
    ),
    "a database that does not exist": (
        _gone(DATABASE),
        r"datastore: The database \(default\) does not exist in shop.",
        "gcloud firestore databases create --type=datastore-mode",
    ),
    "a database in another mode": (
        lambda world: world.google.documents[DATABASE].update(type="FIRESTORE_NATIVE"),
        r"datastore: The database \(default\) is FIRESTORE_NATIVE",
        "gcloud firestore databases create --type=datastore-mode",
    ),
    "a database that cannot expire": (
        lambda world: world.google.documents[DATABASE].update(
            concurrencyMode="OPTIMISTIC_WITH_ENTITY_GROUPS"
        ),
        "datastore: The database has entity groups and therefore no TTL",
        "set ADJOURN_CLEANUP=true",
    ),
    "a kind without a TTL policy": (
        _gone(f"{DATABASE}/collectionGroups/AdjournOnce/fields/expires_at"),
        "datastore: The kind AdjournOnce has no TTL policy on expires_at.",
        "gcloud firestore fields ttls update expires_at .*--collection-group=AdjournOnce",
    ),
    "a function that is not there": (
        _gone(SERVICE.format("cron")),
        f"functions: There is no cron function at {URLS['cron']}.",
        "deploy.sh deploy",
    ),
    "a function for another audience": (
        lambda world: world.google.variable(
            "deferred", "ADJOURN_DEFERRED_URL", "https://x.example"
        ),
        (
            f"functions: Tokens for the deferred function are for {URLS['deferred']}; it accepts"
            " those for https://x.example"
        ),
        f"gcloud run services update .*--update-env-vars=ADJOURN_DEFERRED_URL={URLS['deferred']}",
    ),
    "a function at another address": (
        lambda world: world.google.service("queryiter").update(urls=[]),
        f"functions: The queryiter function does not answer at {URLS['queryiter']}.",
        "terraform output environment",
    ),
    "a function for everybody": (
        lambda world: world.google.documents[f"{SERVICE.format('deferred')}:getIamPolicy"][
            "bindings"
        ][0]["members"].append("allUsers"),
        "functions: Anybody may call the deferred function: allUsers has roles/run.invoker.",
        "gcloud run services remove-iam-policy-binding adjourn-deferred .*--member=allUsers",
    ),
    "a function for everybody with an account, under a condition": (
        lambda world: world.google.documents[f"{SERVICE.format('cron')}:getIamPolicy"][
            "bindings"
        ].append(
            {
                "role": "roles/run.invoker",
                "members": ["allAuthenticatedUsers"],
                "condition": {"expression": "request.time.getHours() < 25"},
            }
        ),
        (
            "functions: Anybody may call the cron function: allAuthenticatedUsers has"
            " roles/run.invoker under a condition."
        ),
        "remove-iam-policy-binding adjourn-cron .*--member=allAuthenticatedUsers .* --all",
    ),
    "a function for everybody by another role": (
        lambda world: world.google.documents[f"{SERVICE.format('queryiter')}:getIamPolicy"][
            "bindings"
        ].append({"role": "projects/shop/roles/caller", "members": ["allUsers"]}),
        (
            "functions: Anybody may call the queryiter function: allUsers has"
            " projects/shop/roles/caller."
        ),
        "remove-iam-policy-binding adjourn-queryiter .*--role=projects/shop/roles/caller",
    ),
    "a function whose callers Cloud Run does not check": (
        lambda world: world.google.service("deferred").update(invokerIamDisabled=True),
        "functions: Anybody may call the deferred function: Cloud Run does not check who calls.",
        "gcloud run services update adjourn-deferred .*--invoker-iam-check",
    ),
    "a caller that is not let in": (
        _policy(SERVICE.format("cron")),
        f"functions: {ACCOUNT.format('jobs')} may not call the cron function.",
        f"gcloud run services {ADD} adjourn-cron .*--role=roles/run.invoker",
    ),
    "a function that may not enqueue": (
        lambda world: world.allow(
            "mail", {"enqueuer": ("deferred", "cron"), "viewer": ("deferred", "cron")}
        ),
        (
            f"permissions: The queryiter function's account {ACCOUNT.format('queryiter')} lacks"
            " roles/cloudtasks.enqueuer on the queue mail in europe-west1."
        ),
        (
            f"gcloud tasks queues {ADD} mail --location=europe-west1 --project=shop"
            f" --member={MEMBERS['queryiter']} --role=roles/cloudtasks.enqueuer"
        ),
    ),
    "a function that may not ask for tasks": (
        lambda world: world.allow("mail", {"enqueuer": FUNCTIONS, "viewer": ("cron",)}),
        (
            f"permissions: The deferred function's account {ACCOUNT.format('deferred')} lacks"
            " roles/cloudtasks.viewer on the queue mail in europe-west1."
        ),
        f"gcloud tasks queues {ADD} mail .*--role=roles/cloudtasks.viewer",
    ),
    "a function that may not act as the tasks": (
        _policy(f"/v1/projects/{PROJECT}/serviceAccounts/{ACCOUNT.format('tasks')}"),
        (
            f"permissions: The cron function's account {ACCOUNT.format('cron')} lacks"
            f" roles/iam.serviceAccountUser on the account {ACCOUNT.format('tasks')}."
        ),
        f"gcloud iam service-accounts {ADD} {ACCOUNT.format('tasks')}",
    ),
    "an account that does not exist": (
        _gone(f"/v1/projects/{PROJECT}/serviceAccounts/{ACCOUNT.format('tasks')}:getIamPolicy"),
        f"permissions: The account {ACCOUNT.format('tasks')}, whose token tasks carry, does not",
        "correct ADJOURN_SERVICE_ACCOUNT",
    ),
    "a function without the database": (
        _policy(f"/v1/projects/{PROJECT}"),
        (
            f"permissions: The deferred function's account {ACCOUNT.format('deferred')} lacks"
            r" roles/datastore.user on the database \(default\)."
        ),
        f"gcloud projects {ADD} shop .*--role=roles/datastore.user",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_what_mends_it(world: World, name: str) -> None:
    plant, said, fix = FAULTS[name]

    plant(world)

    faults = world.faults()
    assert [each for each in faults if re.search(f"fault +.*{said}.* Fix: .*{fix}", each)], faults
    assert all("\n" not in each for each in faults)
    assert len({each.split(":")[0] for each in faults}) == 1, "and nothing else"


def test_a_job_that_fails_is_named(world: World) -> None:
    world.jobs.run_job(name=NIGHTLY)  # nobody is at its address
    give_up = time.monotonic() + 20
    while not world.jobs.get_job(name=NIGHTLY).status.code:
        assert time.monotonic() < give_up
        time.sleep(0.05)

    (fault,) = world.faults()

    assert "The last call of the job nightly failed with " in fault
    assert "adjourn cron trigger nightly" in fault


@pytest.mark.parametrize(("seconds", "word"), [(60, "ahead"), (-60, "behind")])
def test_a_clock_that_is_wrong_is_named(world: World, seconds: int, word: str) -> None:
    settings = Settings.from_env(world.environ)
    deployment = Deployment(app=app, settings=settings, environ=world.environ)

    found = check_network(deployment, dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds))

    (fault,) = [each for each in found if each.state is State.FAULT]
    assert re.search(f"This machine is (59|60|61) s {word}", fault.text)
    assert fault.fix == "sudo timedatectl set-ntp true"


SPOILERS = {
    "is no JSON": "[each.setFormatter(None) for each in logging.getLogger().handlers]",
    "is not logged": "logging.disable()",
    "does not start": "raise SystemExit('no database password')",
}


@pytest.mark.parametrize("said", SPOILERS)
def test_an_application_that_spoils_the_log_is_named(
    world: World, tmp_path: Path, said: str
) -> None:
    (tmp_path / "spoilt.py").write_text(
        f"import logging, adjourn\napp = adjourn.App()\n{SPOILERS[said]}\n"
    )
    settings = Settings.from_env(world.environ)
    environ = world.environ | {"ADJOURN_APP": "spoilt:app"}

    (fault,) = logs.check(Deployment(app=app, settings=settings, environ=environ), tmp_path)

    assert fault.state is State.FAULT
    assert said in fault.text
    assert fault.fix


@pytest.mark.parametrize(
    ("api", "subjects"),
    [
        ("services/", {"functions", "permissions"}),
        ("serviceAccounts", {"permissions"}),
        ("databases", {"datastore"}),
    ],
)
def test_what_may_not_be_asked_is_said_and_not_passed_over(
    world: World, api: str, subjects: set[str]
) -> None:
    world.google.refused.add(api)

    found = world.findings()

    assert {each.subject for each in found if each.state is State.NOT_ASKED} == subjects
    assert not [each for each in found if each.state is State.FAULT]
    assert any("refuses: Permission denied." in each.text for each in found)


def test_services_that_are_away_are_said(world: World) -> None:
    away = "127.0.0.1:1"
    world.environ |= {"CLOUDTASKS_EMULATOR_HOST": away, "CLOUDSCHEDULER_EMULATOR_HOST": away}
    for name in ("CLOUDTASKS_EMULATOR_HOST", "CLOUDSCHEDULER_EMULATOR_HOST"):
        os.environ[name] = away  # the fixture restores it

    found = {each.subject: each for each in world.findings()}

    assert found["queues"].state is found["jobs"].state is State.FAULT
    assert found["queues"].text.startswith(f"Cloud Tasks does not answer at {away}: ")
    assert found["jobs"].text.startswith(f"Cloud Scheduler does not answer at {away}: ")
    assert found["queues"].fix == found["jobs"].fix == "adjourn up"
    assert found["permissions"].state is State.NOT_ASKED

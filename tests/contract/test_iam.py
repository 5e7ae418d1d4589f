"""Each account may do at the services what its roles allow, and is refused the rest."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import grpc
import pytest
from google.api_core.exceptions import FailedPrecondition, Forbidden, NotFound
from google.cloud import datastore, scheduler_v1, tasks_v2
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
)
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from adjourn_local.errors import StackError
from adjourn_local.iam.methods import METHODS
from adjourn_local.iam.policy import Binding, Need, Policy
from adjourn_local.iam.roles import ROLES
from adjourn_local.runtime.accounts import Accounts
from adjourn_local.runtime.stack import Stack, running

PARENT = "projects/shop/locations/europe-west1"
QUEUE, JOB = f"{PARENT}/queues/mail", f"{PARENT}/jobs/nightly"
ADA = "ada@shop.iam.gserviceaccount.com"
TASKS = "tasks@shop.iam.gserviceaccount.com"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    stack = Stack(None, accounts=Accounts([ADA]))
    with running(stack):
        yield stack


@dataclasses.dataclass
class Clients:
    """Google's clients, at one port."""

    host: str

    def __post_init__(self) -> None:
        self._channel = grpc.insecure_channel(self.host)
        self.tasks = tasks_v2.CloudTasksClient(
            transport=CloudTasksGrpcTransport(channel=self._channel)
        )
        self.jobs = scheduler_v1.CloudSchedulerClient(
            transport=CloudSchedulerGrpcTransport(channel=self._channel)
        )

    def close(self) -> None:
        self._channel.close()


@pytest.fixture(scope="module")
def owner(stack: Stack) -> Iterator[Clients]:
    """Return clients of whoever may do everything, with a queue, a task and a job there."""
    clients = Clients(f"127.0.0.1:{stack.ports.grpc}")
    clients.tasks.create_queue(parent=PARENT, queue={"name": QUEUE})
    clients.tasks.pause_queue(name=QUEUE)
    clients.jobs.create_job(parent=PARENT, job=job("nightly"))
    yield clients
    clients.close()


@pytest.fixture
def ada(stack: Stack) -> Iterator[Clients]:
    """Return clients of an account that has been granted nothing."""
    stack.accounts.policy = Policy()
    clients = Clients(stack.accounts.host(ADA))
    yield clients
    clients.close()


def grant(stack: Stack, role: str, resource: str, condition: str = "") -> None:
    """Grant it to the account, besides what it has."""
    new = Binding(member=f"serviceAccount:{ADA}", role=role, resource=resource, condition=condition)
    stack.accounts.policy = Policy((*stack.accounts.policy.bindings, new))


def task(name: str = "", account: str = "") -> dict[str, Any]:
    request: dict[str, Any] = {"url": "https://shop.example"}
    if account:
        request["oidc_token"] = {"service_account_email": account}
    return {"http_request": request, **({"name": f"{QUEUE}/tasks/{name}"} if name else {})}


def job(name: str) -> dict[str, Any]:
    target = {"uri": "https://shop.example"}
    return {"name": f"{PARENT}/jobs/{name}", "schedule": "0 0 1 1 *", "http_target": target}


FULL = tasks_v2.Task.View.FULL
# What is called, and the role that allows it.
CALLS: dict[str, tuple[Callable[[Clients], Any], str]] = {
    "CreateTask": (
        lambda c: c.tasks.create_task(parent=QUEUE, task=task()),
        "roles/cloudtasks.enqueuer",
    ),
    "BatchCreateTasks": (
        lambda c: c.tasks.batch_create_tasks(
            parent=QUEUE, requests=[{"parent": QUEUE, "task": task()}], timeout=20
        ),
        "roles/cloudtasks.enqueuer",
    ),
    "GetTask": (lambda c: c.tasks.get_task(name=f"{QUEUE}/tasks/t"), "roles/cloudtasks.viewer"),
    "ListTasks": (lambda c: list(c.tasks.list_tasks(parent=QUEUE)), "roles/cloudtasks.viewer"),
    "RunTask": (lambda c: c.tasks.run_task(name=f"{QUEUE}/tasks/t"), "roles/cloudtasks.taskRunner"),
    "DeleteTask": (
        lambda c: c.tasks.delete_task(name=f"{QUEUE}/tasks/t"),
        "roles/cloudtasks.taskDeleter",
    ),
    "GetQueue": (lambda c: c.tasks.get_queue(name=QUEUE), "roles/cloudtasks.viewer"),
    "PurgeQueue": (lambda c: c.tasks.purge_queue(name=QUEUE), "roles/cloudtasks.queueAdmin"),
    "PauseQueue": (lambda c: c.tasks.pause_queue(name=QUEUE), "roles/cloudtasks.queueAdmin"),
    "ResumeQueue": (lambda c: c.tasks.resume_queue(name=QUEUE), "roles/cloudtasks.queueAdmin"),
    "UpdateQueue": (
        lambda c: c.tasks.update_queue(queue={"name": QUEUE}),
        "roles/cloudtasks.queueAdmin",
    ),
}
JOB_CALLS: dict[str, tuple[Callable[[Clients], Any], str]] = {
    "ListJobs": (lambda c: list(c.jobs.list_jobs(parent=PARENT)), "roles/cloudscheduler.viewer"),
    "GetJob": (lambda c: c.jobs.get_job(name=JOB), "roles/cloudscheduler.viewer"),
    "RunJob": (lambda c: c.jobs.run_job(name=JOB), "roles/cloudscheduler.jobRunner"),
    "PauseJob": (lambda c: c.jobs.pause_job(name=JOB), "roles/cloudscheduler.admin"),
    "ResumeJob": (lambda c: c.jobs.resume_job(name=JOB), "roles/cloudscheduler.admin"),
}


def _succeeds(call: Callable[[Clients], Any], clients: Clients) -> None:
    """Make a call that must get past the check, whatever it then meets."""
    with suppress(NotFound, FailedPrecondition):  # the task is gone, the job is in that state
        call(clients)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_needs_its_role_on_the_queue(
    stack: Stack, owner: Clients, ada: Clients, name: str
) -> None:
    call, role = CALLS[name]

    with pytest.raises(Forbidden, match="lacks IAM permission"):
        call(ada)
    grant(stack, role, f"{PARENT}/queues/other")
    with pytest.raises(Forbidden, match="lacks IAM permission"):
        call(ada)

    grant(stack, role, QUEUE)
    _succeeds(call, ada)
    _succeeds(call, owner)


@pytest.mark.parametrize("name", JOB_CALLS)
def test_a_call_needs_its_role_on_the_project_of_the_job(
    stack: Stack, owner: Clients, ada: Clients, name: str
) -> None:
    call, role = JOB_CALLS[name]

    with pytest.raises(Forbidden, match="lacks IAM permission"):
        call(ada)

    grant(stack, role, "projects/shop")
    _succeeds(call, ada)
    _succeeds(call, owner)


@pytest.mark.usefixtures("owner")
def test_the_token_of_an_account_takes_the_right_to_act_as_it(stack: Stack, ada: Clients) -> None:
    grant(stack, "roles/cloudtasks.enqueuer", QUEUE)
    ada.tasks.create_task(parent=QUEUE, task=task())

    with pytest.raises(Forbidden, match=f'"iam.serviceAccounts.actAs" for the resource "{TASKS}"'):
        ada.tasks.create_task(parent=QUEUE, task=task(account=TASKS))

    grant(stack, "roles/iam.serviceAccountUser", f"projects/shop/serviceAccounts/{TASKS}")
    assert ada.tasks.create_task(parent=QUEUE, task=task(account=TASKS)).name


def test_the_body_of_a_task_takes_the_right_to_see_it() -> None:
    request = tasks_v2.GetTaskRequest(name=f"{QUEUE}/tasks/t", response_view=FULL)

    needs = METHODS["/google.cloud.tasks.v2.CloudTasks/GetTask"](request)

    assert [need.permission for need in needs] == [
        "cloudtasks.tasks.get",
        "cloudtasks.tasks.fullView",
    ]


@pytest.mark.usefixtures("owner")
def test_who_asks_is_told_what_the_account_may_do(stack: Stack, ada: Clients) -> None:
    grant(stack, "roles/cloudtasks.viewer", QUEUE)
    asked = ["cloudtasks.tasks.get", "cloudtasks.tasks.create"]

    found = ada.tasks.test_iam_permissions(request={"resource": QUEUE, "permissions": asked})

    assert list(found.permissions) == ["cloudtasks.tasks.get"]


class TestDatastore:
    """Calls of Datastore, whose condition names the database."""

    @pytest.fixture
    def client(self, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> datastore.Client:
        stack.accounts.policy = Policy()
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", stack.accounts.host(ADA))
        return datastore.Client(project="shop", database="orders")

    def calls(self, client: datastore.Client) -> list[Callable[[], Any]]:
        key = client.key("Order", "a")
        query = client.query(kind="Order")
        return [
            lambda: client.get(key),
            lambda: client.put(datastore.Entity(key)),
            lambda: client.delete(key),
            lambda: list(query.fetch()),
            lambda: list(client.aggregation_query(query).count().fetch()),
            lambda: client.allocate_ids(client.key("Order"), 1),
            lambda: client.transaction().begin(),
        ]

    def test_nothing_is_done_without_a_role(self, client):
        for call in self.calls(client):
            with pytest.raises(Forbidden, match="Missing or insufficient permissions"):
                call()

    @pytest.mark.parametrize("database", ["orders", "(default)"])
    def test_the_role_is_for_the_database_of_its_condition(self, stack, client, database):
        name = f'resource.name == "projects/shop/databases/{database}"'
        grant(stack, "roles/datastore.user", "projects/shop", name)

        for call in self.calls(client):
            if database == "orders":
                call()
            else:
                with pytest.raises(Forbidden):
                    call()

    def test_a_viewer_reads_and_does_not_write(self, stack, client):
        grant(stack, "roles/datastore.viewer", "projects/shop")
        key = client.key("Order", "a")

        assert client.get(key) is None
        assert list(client.query(kind="Order").fetch()) == []
        with pytest.raises(Forbidden):
            client.put(datastore.Entity(key))


def test_every_method_that_is_served_is_known(stack: Stack) -> None:
    served = {
        method for handler in stack._servers.grpc_services() for method in handler._method_handlers
    }
    assert served - set(METHODS) == set()
    assert set(METHODS) - served == set()


def test_a_role_or_a_condition_that_could_only_be_guessed_at_is_refused():
    grant = {"member": "serviceAccount:a@b.example", "resource": "projects/shop"}

    with pytest.raises(StackError, match="its permissions are not"):
        Binding(role="roles/cloudtasks.typo", **grant)
    with pytest.raises(StackError, match="cannot be evaluated"):
        Binding(role="roles/datastore.user", condition="request.time < now", **grant)
    Binding(role="roles/logging.logWriter", **grant)  # of a service that is not served here


def test_the_name_of_a_resource_is_matched_as_a_whole():
    binding = Binding(member="m", role="roles/cloudtasks.viewer", resource=QUEUE)

    assert binding.grants(Need("cloudtasks.tasks.get", f"{QUEUE}/tasks/a"))
    assert not binding.grants(Need("cloudtasks.tasks.get", f"{QUEUE}-2/tasks/a"))
    assert not binding.grants(Need("cloudtasks.tasks.create", QUEUE))
    assert "cloudtasks.tasks.get" in ROLES["roles/cloudtasks.viewer"]

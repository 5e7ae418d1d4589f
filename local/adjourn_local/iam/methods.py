"""What each call needs: the permissions, and on what.

Sources: https://cloud.google.com/tasks/docs/reference-access-control,
https://cloud.google.com/scheduler/docs/access-control,
https://cloud.google.com/datastore/docs/access/iam (permissions for each method), and the
documentation of `CreateTaskRequest.response_view` and `OidcToken` in google-cloud-tasks.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from adjourn_local.iam.policy import Need

Needs = Callable[[Any], Iterator[Need]]

_FULL = 2  # Task.View.FULL
_STATISTICS = "__Stat_"
_NAMESPACE = "__namespace__"


def _on(field: str, permission: str) -> Needs:
    """Return what needs one permission on the resource that a field of the request names."""

    def needs(request: Any) -> Iterator[Need]:
        value = request
        for name in field.split("."):
            value = getattr(value, name)
        yield Need(permission, value)

    return needs


def _viewed(field: str, permission: str) -> Needs:
    """Return what needs another permission to see the body of a task."""

    def needs(request: Any) -> Iterator[Need]:
        yield Need(permission, getattr(request, field))
        if request.response_view == _FULL:
            yield Need("cloudtasks.tasks.fullView", getattr(request, field))

    return needs


def _acting(parent: str, target: Any) -> Iterator[Need]:
    """Yield what it takes to give a task or a job the token of an account."""
    for token in (target.oidc_token, target.oauth_token):
        if email := token.service_account_email:
            project = "/".join(parent.split("/")[:2])
            yield Need("iam.serviceAccounts.actAs", f"{project}/serviceAccounts/{email}")


def _create_task(request: Any) -> Iterator[Need]:
    yield from _viewed("parent", "cloudtasks.tasks.create")(request)
    yield from _acting(request.parent, request.task.http_request)


def _create_tasks(request: Any) -> Iterator[Need]:
    for each in request.requests:
        yield from _create_task(each)


def _delete_tasks(request: Any) -> Iterator[Need]:
    for name in request.names:
        yield Need("cloudtasks.tasks.delete", name)


def _create_job(request: Any) -> Iterator[Need]:
    yield Need("cloudscheduler.jobs.create", request.parent)
    yield from _acting(request.parent, request.job.http_target)


def _update_job(request: Any) -> Iterator[Need]:
    yield Need("cloudscheduler.jobs.update", request.job.name)
    yield from _acting(request.job.name, request.job.http_target)


def _database(request: Any) -> str:
    return f"projects/{request.project_id}/databases/{request.database_id or '(default)'}"


def _of_database(permission: str) -> Needs:
    return lambda request: iter([Need(permission, _database(request))])


def _query(request: Any) -> Iterator[Need]:
    database, query = _database(request), request.query
    kind = query.kind[0].name if query.kind else ""
    if kind == _NAMESPACE:
        noun = "namespaces"
    else:
        noun = "statistics" if kind.startswith(_STATISTICS) else "entities"
    yield Need(f"datastore.{noun}.list", database)
    if [each.property.name for each in query.projection] != ["__key__"]:
        yield Need(f"datastore.{noun}.get", database)


_MUTATIONS = {
    "insert": ("create",),
    "update": ("update",),
    "upsert": ("create", "update"),
    "delete": ("delete",),
}


def _commit(request: Any) -> Iterator[Need]:
    database = _database(request)
    if not request.mutations:
        yield Need("datastore.databases.get", database)
    for operation in {each.WhichOneof("operation") for each in request.mutations}:
        for verb in _MUTATIONS.get(operation, ()):
            yield Need(f"datastore.entities.{verb}", database)


_TASKS: Mapping[str, Needs] = {
    "ListQueues": _on("parent", "cloudtasks.queues.list"),
    "GetQueue": _on("name", "cloudtasks.queues.get"),
    "CreateQueue": _on("parent", "cloudtasks.queues.create"),
    "UpdateQueue": _on("queue.name", "cloudtasks.queues.update"),
    "DeleteQueue": _on("name", "cloudtasks.queues.delete"),
    "PurgeQueue": _on("name", "cloudtasks.queues.purge"),
    "PauseQueue": _on("name", "cloudtasks.queues.pause"),
    "ResumeQueue": _on("name", "cloudtasks.queues.resume"),
    "GetIamPolicy": _on("resource", "cloudtasks.queues.getIamPolicy"),
    "SetIamPolicy": _on("resource", "cloudtasks.queues.setIamPolicy"),
    "TestIamPermissions": lambda _request: iter(()),
    "ListTasks": _viewed("parent", "cloudtasks.tasks.list"),
    "GetTask": _viewed("name", "cloudtasks.tasks.get"),
    "CreateTask": _create_task,
    "DeleteTask": _on("name", "cloudtasks.tasks.delete"),
    "RunTask": _viewed("name", "cloudtasks.tasks.run"),
    "BatchCreateTasks": _create_tasks,
    "BatchDeleteTasks": _delete_tasks,
    "GetCmekConfig": _on("name", "cloudtasks.cmekConfig.get"),
    "UpdateCmekConfig": _on("cmek_config.name", "cloudtasks.cmekConfig.update"),
}
# v2beta3 and v2beta2
_OLDER_TASKS: Mapping[str, Needs] = {
    name: needs
    for name, needs in _TASKS.items()
    if not name.startswith("Batch") and "Cmek" not in name
}
# Refused whoever calls, for there are no pull queues here.
_PULL: Mapping[str, Needs] = dict.fromkeys(
    ("LeaseTasks", "AcknowledgeTask", "RenewLease", "CancelLease"), lambda _request: iter(())
)
_JOBS: Mapping[str, Needs] = {
    "ListJobs": _on("parent", "cloudscheduler.jobs.list"),
    "GetJob": _on("name", "cloudscheduler.jobs.get"),
    "CreateJob": _create_job,
    "UpdateJob": _update_job,
    "DeleteJob": _on("name", "cloudscheduler.jobs.delete"),
    "PauseJob": _on("name", "cloudscheduler.jobs.pause"),
    "ResumeJob": _on("name", "cloudscheduler.jobs.enable"),
    "RunJob": _on("name", "cloudscheduler.jobs.run"),
}
_DATASTORE: Mapping[str, Needs] = {
    "Lookup": _of_database("datastore.entities.get"),
    "RunQuery": _query,
    "RunAggregationQuery": _of_database("datastore.entities.list"),
    "BeginTransaction": _of_database("datastore.databases.get"),
    "Commit": _commit,
    "Rollback": _of_database("datastore.databases.get"),
    "AllocateIds": _of_database("datastore.entities.allocateIds"),
    "ReserveIds": _of_database("datastore.entities.allocateIds"),
}

METHODS: Mapping[str, Needs] = {
    f"/{service}/{method}": needs
    for service, methods in (
        ("google.cloud.tasks.v2.CloudTasks", _TASKS),
        ("google.cloud.tasks.v2beta3.CloudTasks", _OLDER_TASKS),
        ("google.cloud.tasks.v2beta2.CloudTasks", {**_OLDER_TASKS, **_PULL}),
        (
            "google.longrunning.Operations",
            {"GetOperation": _on("name", "cloudtasks.operations.get")},
        ),
        (
            "google.cloud.location.Locations",
            {
                "ListLocations": _on("name", "cloudtasks.locations.list"),
                "GetLocation": _on("name", "cloudtasks.locations.get"),
            },
        ),
        ("google.cloud.scheduler.v1.CloudScheduler", _JOBS),
        ("google.datastore.v1.Datastore", _DATASTORE),
    )
    for method, needs in methods.items()
}

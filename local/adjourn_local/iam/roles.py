"""The permissions of Google's predefined roles, as far as the stack's services ask for them.

Sources, read in November 2026:
https://cloud.google.com/iam/docs/roles-permissions/cloudtasks,
https://cloud.google.com/iam/docs/roles-permissions/cloudscheduler,
https://cloud.google.com/datastore/docs/access/iam and
https://cloud.google.com/iam/docs/roles-permissions/iam.
"""

from collections.abc import Mapping

# Of each service whose calls are checked; a role of these that is missing below is an error.
SERVICES = ("cloudtasks", "cloudscheduler", "datastore", "iam")

_TASK_QUEUE_READ = frozenset({"cloudtasks.queues.get", "cloudtasks.queues.list"})
_QUEUE_ADMIN = _TASK_QUEUE_READ | {
    "cloudtasks.queues.create",
    "cloudtasks.queues.delete",
    "cloudtasks.queues.getIamPolicy",
    "cloudtasks.queues.pause",
    "cloudtasks.queues.purge",
    "cloudtasks.queues.resume",
    "cloudtasks.queues.setIamPolicy",
    "cloudtasks.queues.update",
}
_LOCATIONS = frozenset({"cloudtasks.locations.get", "cloudtasks.locations.list"})
_TASKS_ADMIN = (
    _QUEUE_ADMIN
    | _LOCATIONS
    | {
        "cloudtasks.cmekConfig.get",
        "cloudtasks.cmekConfig.update",
        "cloudtasks.operations.get",
        "cloudtasks.tasks.create",
        "cloudtasks.tasks.delete",
        "cloudtasks.tasks.fullView",
        "cloudtasks.tasks.get",
        "cloudtasks.tasks.list",
        "cloudtasks.tasks.run",
    }
)
_JOBS_READ = frozenset({"cloudscheduler.jobs.get", "cloudscheduler.jobs.list"})
_ENTITIES_READ = frozenset(
    {
        "datastore.databases.get",
        "datastore.entities.get",
        "datastore.entities.list",
        "datastore.namespaces.get",
        "datastore.namespaces.list",
        "datastore.statistics.get",
        "datastore.statistics.list",
    }
)
_ENTITIES = _ENTITIES_READ | {
    "datastore.entities.allocateIds",
    "datastore.entities.create",
    "datastore.entities.delete",
    "datastore.entities.update",
}

ROLES: Mapping[str, frozenset[str]] = {
    "roles/cloudtasks.admin": _TASKS_ADMIN,
    "roles/cloudtasks.enqueuer": frozenset(
        {"cloudtasks.tasks.create", "cloudtasks.tasks.fullView"}
    ),
    "roles/cloudtasks.queueAdmin": _QUEUE_ADMIN | _LOCATIONS,
    "roles/cloudtasks.taskDeleter": frozenset({"cloudtasks.tasks.delete"}),
    "roles/cloudtasks.taskRunner": frozenset({"cloudtasks.tasks.fullView", "cloudtasks.tasks.run"}),
    "roles/cloudtasks.viewer": _TASK_QUEUE_READ
    | _LOCATIONS
    | {
        "cloudtasks.cmekConfig.get",
        "cloudtasks.tasks.fullView",
        "cloudtasks.tasks.get",
        "cloudtasks.tasks.list",
    },
    "roles/cloudscheduler.admin": _JOBS_READ
    | {
        "cloudscheduler.jobs.create",
        "cloudscheduler.jobs.delete",
        "cloudscheduler.jobs.enable",
        "cloudscheduler.jobs.pause",
        "cloudscheduler.jobs.run",
        "cloudscheduler.jobs.update",
    },
    "roles/cloudscheduler.jobRunner": frozenset({"cloudscheduler.jobs.run"}),
    "roles/cloudscheduler.viewer": _JOBS_READ,
    "roles/datastore.owner": _ENTITIES,
    "roles/datastore.user": _ENTITIES,
    "roles/datastore.viewer": _ENTITIES_READ,
    "roles/iam.serviceAccountUser": frozenset({"iam.serviceAccounts.actAs"}),
}

"""What the accounts of the functions may do: enqueue, ask for tasks, read and write entities."""

from collections.abc import Iterator, Mapping, Sequence

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from google.iam.v1 import iam_policy_pb2  # type: ignore[import-untyped]

from adjourn_local.doctor.finding import (
    Deployment,
    Finding,
    NotAskedError,
    capitalized,
    fault,
    summed_up,
    unknown,
)
from adjourn_local.doctor.functions import Service
from adjourn_local.doctor.google_rest import GoogleRest
from adjourn_local.doctor.queues import tasks_client
from adjourn_local.iam.grants import VIEWERS

SUBJECT = "permissions"

_ENQUEUER, _VIEWER = "roles/cloudtasks.enqueuer", "roles/cloudtasks.viewer"
_ACTOR, _ENTITIES = "roles/iam.serviceAccountUser", "roles/datastore.user"
# Basic roles and administrators have these permissions as well.
_WIDER = {
    _ENQUEUER: ("roles/cloudtasks.admin", "roles/editor", "roles/owner"),
    _VIEWER: ("roles/cloudtasks.admin", "roles/viewer", "roles/editor", "roles/owner"),
    _ACTOR: ("roles/editor", "roles/owner"),
    _ENTITIES: ("roles/datastore.owner", "roles/editor", "roles/owner"),
}

Policies = Sequence[Mapping[str, list[str]]]


def check(deployment: Deployment, google: GoogleRest, services: Sequence[Service]) -> list[Finding]:
    """Return which grants the accounts of the functions lack."""
    try:
        project = _project_policy(deployment, google)
        found = [
            *_queue_faults(deployment, services, project),
            *_actor_faults(deployment, google, services, project),
            *_entity_faults(deployment, services, project),
        ]
    except NotAskedError as error:
        return [unknown(SUBJECT, str(error))]
    except (GoogleAPIError, GoogleAuthError) as error:
        return [unknown(SUBJECT, f"Cloud Tasks did not tell who may enqueue: {error}")]
    return summed_up(SUBJECT, found, f"{len(services)} accounts have the roles that they need.")


def _project_policy(deployment: Deployment, google: GoogleRest) -> Mapping[str, list[str]]:
    path = f"v1/projects/{deployment.settings.project}"
    return google.policy("cloudresourcemanager", path) or {}


def _queue_faults(
    deployment: Deployment, services: Sequence[Service], project: Mapping[str, list[str]]
) -> Iterator[Finding]:
    client = tasks_client(deployment.settings)
    for queue in deployment.queues():
        request = iam_policy_pb2.GetIamPolicyRequest(resource=queue)
        own = {
            each.role: list(each.members)
            for each in client.get_iam_policy(request=request, retry=None, timeout=20).bindings
        }
        _, name, _, location, _, short = queue.split("/")
        for service in services:
            for role in (_ENQUEUER, *([_VIEWER] if {*VIEWERS} & {*service.functions} else [])):
                if not _has(service, role, [own, project]):
                    yield _lacks(
                        service,
                        role,
                        f"the queue {short} in {location}",
                        f"gcloud tasks queues add-iam-policy-binding {short}"
                        f" --location={location} --project={name}",
                    )


def _actor_faults(
    deployment: Deployment,
    google: GoogleRest,
    services: Sequence[Service],
    project: Mapping[str, list[str]],
) -> Iterator[Finding]:
    account, name = deployment.settings.service_account, deployment.settings.project
    own = google.policy("iam", f"v1/projects/{name}/serviceAccounts/{account}")
    if own is None:
        text = f"The account {account}, whose token tasks carry, does not exist."
        yield fault(SUBJECT, text, "terraform apply, or correct ADJOURN_SERVICE_ACCOUNT")
        return
    for service in services:
        if not _has(service, _ACTOR, [own, project]):
            command = f"gcloud iam service-accounts add-iam-policy-binding {account}"
            yield _lacks(service, _ACTOR, f"the account {account}", f"{command} --project={name}")


def _entity_faults(
    deployment: Deployment, services: Sequence[Service], project: Mapping[str, list[str]]
) -> Iterator[Finding]:
    name = deployment.settings.project
    database = f"projects/{name}/databases/{deployment.database}"
    narrowed = {
        role.partition(" ")[0]: members
        for role, members in project.items()
        if f'"{database}"' in role
    }
    for service in services:
        if not _has(service, _ENTITIES, [project, narrowed]):
            command = f"gcloud projects add-iam-policy-binding {name} --condition=None"
            yield _lacks(service, _ENTITIES, f"the database {deployment.database}", command)


def _has(service: Service, role: str, policies: Policies) -> bool:
    member = f"serviceAccount:{service.account}"
    return any(
        member in policy.get(each, []) for policy in policies for each in (role, *_WIDER[role])
    )


def _lacks(service: Service, role: str, what: str, command: str) -> Finding:
    return fault(
        SUBJECT,
        f"{capitalized(service.title)}'s account {service.account} lacks {role} on {what}.",
        f"terraform apply, or: {command} --member=serviceAccount:{service.account} --role={role}",
    )

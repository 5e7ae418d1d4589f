"""What a plan makes of the functions and of the accounts: data for tests that start functions.

plan = workspace.plan()                       # or a plan of `terraform show -json`
functions(plan)["deferred"].environment       # exactly the variables that Terraform sets
grants(plan)["adjourn-deferred@shop.iam.gserviceaccount.com"]
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.terraform.workspace import Plan


@dataclass(frozen=True)
class DeployedFunction:
    """What Cloud Run is told of a function.

    Attributes:
        service: Name of the service, which Cloud Run sets as K_SERVICE.
        entry_point: The functions-framework target.
        environment: All variables but those that the platform sets and those of secrets.
        secrets: Secret by the variable that holds it.
        memory_mb: Memory of an instance.
        cpu: CPUs of an instance.
        concurrency: Requests that an instance serves at a time.
        timeout_seconds: Time after which Cloud Run ends a request.
        account: E-mail address of the account that it runs as.
    """

    service: str
    entry_point: str
    environment: Mapping[str, str]
    secrets: Mapping[str, str]
    memory_mb: int
    cpu: float
    concurrency: int
    timeout_seconds: int
    account: str


@dataclass(frozen=True, order=True)
class Grant:
    """A role on one resource, named as Google's APIs name it.

    Attributes:
        role: Such as `roles/cloudtasks.enqueuer`.
        resource: Such as `projects/P/locations/L/queues/Q`.
        condition: What narrows it, empty if nothing does.
    """

    role: str
    resource: str
    condition: str = ""


# Where each kind of binding is, by its own arguments.
_RESOURCES = {
    "google_artifact_registry_repository_iam_member": (
        "projects/{project}/locations/{location}/repositories/{repository}"
    ),
    "google_cloud_run_v2_service_iam_member": (
        "projects/{project}/locations/{location}/services/{name}"
    ),
    "google_cloud_tasks_queue_iam_member": "projects/{project}/locations/{location}/queues/{name}",
    "google_project_iam_member": "projects/{project}",
    "google_secret_manager_secret_iam_member": "projects/{project}/secrets/{secret_id}",
    "google_service_account_iam_member": "{service_account_id}",
    "google_storage_bucket_iam_member": "projects/_/buckets/{bucket}",
}


def functions(plan: Plan) -> dict[str, DeployedFunction]:
    """Return the functions by their short names: deferred, cron and queryiter."""
    found = plan.of_type("google_cloudfunctions2_function")
    return {_key(address): _function(values) for address, values in found.items()}


def grants(plan: Plan) -> dict[str, set[Grant]]:
    """Return what each account and each other member may do, service accounts by their address."""
    found: dict[str, set[Grant]] = defaultdict(set)
    for address, values in plan.resources().items():
        resource = _RESOURCES.get(_type(address))
        if resource:
            condition = values["condition"][0]["expression"] if values["condition"] else ""
            member = values["member"].removeprefix("serviceAccount:")
            found[member].add(Grant(values["role"], resource.format(**values), condition))
        assert resource or not _type(address).endswith("_iam_member"), f"{address} is not known"
    return dict(found)


def _function(values: Mapping[str, Any]) -> DeployedFunction:
    (service,), (build,) = values["service_config"], values["build_config"]
    return DeployedFunction(
        service=values["name"],
        entry_point=build["entry_point"],
        environment=service["environment_variables"],
        secrets={each["key"]: each["secret"] for each in service["secret_environment_variables"]},
        memory_mb=int(service["available_memory"].removesuffix("M")),
        cpu=float(service["available_cpu"]),
        concurrency=service["max_instance_request_concurrency"],
        timeout_seconds=service["timeout_seconds"],
        account=service["service_account_email"],
    )


def _type(address: str) -> str:
    return re.sub(r"^(module\.[^.]+\.)*", "", address).partition(".")[0]


def _key(address: str) -> str:
    return address.partition('["')[2].removesuffix('"]')

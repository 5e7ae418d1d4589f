"""What must hold of every plan, whatever the variables are."""

from collections.abc import Callable, Iterator
from typing import Any

from tests.terraform.workspace import Plan

Resources = dict[str, dict[str, Any]]

# The only roles on the whole project; everything else is granted on the one thing it is needed for.
_PROJECT_ROLES = {"roles/cloudscheduler.viewer", "roles/logging.logWriter"}
# And those that a condition narrows to a database or a bucket.
_NARROWED_ROLES = {"roles/datastore.user", "roles/storage.objectViewer"}
_MONTH = 30 * 86_400


def violations(plan: Plan) -> list[str]:
    """Return a sentence for everything in a plan that breaks the policy."""
    return [each for rule in RULES for each in rule(plan)]


def nobody_is_everybody(plan: Plan) -> Iterator[str]:
    for address, values in plan.resources().items():
        if {"allUsers", "allAuthenticatedUsers"} & set(_strings(values)):
            yield f"{address} lets everybody in"


def project_roles_are_few(plan: Plan) -> Iterator[str]:
    for address, values in plan.of_type("google_project_iam_member").items():
        is_narrow = values["role"] in _NARROWED_ROLES and values["condition"]
        if not is_narrow and values["role"] not in _PROJECT_ROLES:
            yield f"{address} gives {values['role']} on the whole project"


def queues_are_bounded(plan: Plan) -> Iterator[str]:
    for address, values in plan.of_type("google_cloud_tasks_queue").items():
        (rate,), (retry,) = values["rate_limits"], values["retry_config"]
        if not retry["max_attempts"] or retry["max_attempts"] < 1:
            yield f"{address} has no bound of attempts"
        if not 0 < _seconds(retry["max_retry_duration"]) <= _MONTH:
            yield f"{address} has no bound of time"
        if not rate["max_dispatches_per_second"] or not rate["max_concurrent_dispatches"]:
            yield f"{address} has no rate limit"


def functions_are_closed(plan: Plan) -> Iterator[str]:
    for address, values in plan.of_type("google_cloudfunctions2_function").items():
        (service,) = values["service_config"]
        has_people = "ADJOURN_PEOPLE_AUDIENCES" in service["environment_variables"]
        inside = {"ALLOW_INTERNAL_ONLY", *(["ALLOW_INTERNAL_AND_GCLB"] if has_people else [])}
        if service["ingress_settings"] not in inside:
            yield f"{address} can be reached from outside"
        if service["environment_variables"].get("ADJOURN_PLATFORM") != "cloud-run-iam":
            yield f"{address} does not know that Cloud Run checks its callers"
        if not _invokers(plan, values["name"]):
            yield f"{address} may be invoked by nobody"
        for member in _invokers(plan, values["name"]):
            is_person = has_people and member.startswith(("user:", "group:", "domain:"))
            callers = f"serviceAccount:{service['environment_variables']['ADJOURN_CALLERS']}"
            if member != callers and not is_person:
                yield f"{address} may be invoked by {member}, whom adjourn refuses"


def every_function_is_somebody_else(plan: Plan) -> Iterator[str]:
    seen = set()
    for address, values in plan.of_type("google_cloudfunctions2_function").items():
        account = values["service_config"][0]["service_account_email"]
        if not account or account in seen or not values["build_config"][0]["service_account"]:
            yield f"{address} runs or is built under an account that is not its own"
        seen.add(account)


def requests_carry_an_identity(plan: Plan) -> Iterator[str]:
    for address, values in plan.of_type("google_cloud_scheduler_job").items():
        (target,) = values["http_target"]
        tokens = target["oidc_token"]
        if not tokens or not target["uri"].startswith("https://"):
            yield f"{address} calls without a token"
        elif not target["uri"].startswith(tokens[0]["audience"]):
            yield f"{address} carries a token for somebody else"


def the_bucket_is_closed(plan: Plan) -> Iterator[str]:
    for address, values in plan.of_type("google_storage_bucket").items():
        if (values["public_access_prevention"], values["uniform_bucket_level_access"]) != (
            "enforced",
            True,
        ):
            yield f"{address} can be opened"


RULES: list[Callable[[Plan], Iterator[str]]] = [
    nobody_is_everybody,
    project_roles_are_few,
    queues_are_bounded,
    functions_are_closed,
    every_function_is_somebody_else,
    requests_carry_an_identity,
    the_bucket_is_closed,
]


def _invokers(plan: Plan, service: str) -> list[str]:
    return [
        values["member"]
        for values in plan.of_type("google_cloud_run_v2_service_iam_member").values()
        if (values["name"], values["role"]) == (service, "roles/run.invoker")
    ]


def _seconds(duration: str | None) -> float:
    return float((duration or "0s").removesuffix("s"))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    ):
        yield from _strings(each)

"""The security policy holds of the plan, and its rules see what they are meant to see."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.terraform.policy import violations
from tests.terraform.workspace import Plan


def test_the_plan_breaks_no_rule(plan: Plan) -> None:
    assert violations(plan) == []


def _queue(values: dict[str, Any]) -> dict[str, Any]:
    return values["retry_config"][0]


def _service(values: dict[str, Any]) -> dict[str, Any]:
    return values["service_config"][0]


@pytest.mark.parametrize(
    ("type_name", "spoil", "sentence"),
    [
        (
            "google_cloud_tasks_queue_iam_member",
            lambda v: v.update(member="allUsers"),
            "lets everybody in",
        ),
        (
            "google_service_account_iam_member",
            lambda v: v.update(member="allAuthenticatedUsers"),
            "lets everybody in",
        ),
        (
            "google_project_iam_member",
            lambda v: v.update(role="roles/iam.serviceAccountUser"),
            "gives roles/iam.serviceAccountUser on the whole project",
        ),
        (
            "google_project_iam_member",
            lambda v: v.update(role="roles/iam.serviceAccountTokenCreator"),
            "gives roles/iam.serviceAccountTokenCreator on the whole project",
        ),
        (
            "google_project_iam_member",
            lambda v: v.update(role="roles/datastore.user", condition=[]),
            "gives roles/datastore.user on the whole project",
        ),
        (
            "google_cloud_tasks_queue",
            lambda v: _queue(v).update(max_attempts=-1),
            "has no bound of attempts",
        ),
        (
            "google_cloud_tasks_queue",
            lambda v: _queue(v).update(max_retry_duration=None),
            "has no bound of time",
        ),
        (
            "google_cloud_tasks_queue",
            lambda v: v["rate_limits"][0].update(max_concurrent_dispatches=None),
            "has no rate limit",
        ),
        (
            "google_cloudfunctions2_function",
            lambda v: _service(v).update(ingress_settings="ALLOW_ALL"),
            "can be reached from outside",
        ),
        (
            "google_cloudfunctions2_function",
            lambda v: _service(v)["environment_variables"].pop("ADJOURN_PLATFORM"),
            "does not know that Cloud Run checks its callers",
        ),
        (
            "google_cloudfunctions2_function",
            lambda v: v.update(name="another"),
            "may be invoked by nobody",
        ),
        (
            "google_cloud_run_v2_service_iam_member",
            lambda v: v.update(member="user:somebody@example.com"),
            "may be invoked by user:somebody@example.com, whom adjourn refuses",
        ),
        (
            "google_cloudfunctions2_function",
            lambda v: _service(v).update(service_account_email=None),
            "under an account that is not its own",
        ),
        (
            "google_cloud_scheduler_job",
            lambda v: v["http_target"][0].update(oidc_token=[]),
            "calls without a token",
        ),
        (
            "google_cloud_scheduler_job",
            lambda v: v["http_target"][0].update(uri="https://example.com/default"),
            "carries a token for somebody else",
        ),
        (
            "google_storage_bucket",
            lambda v: v.update(public_access_prevention="inherited"),
            "can be opened",
        ),
    ],
)
def test_a_rule_sees_what_breaks_it(
    plan: Plan, type_name: str, spoil: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    spoilt = Plan(copy.deepcopy(plan.raw))
    spoil(next(iter(spoilt.of_type(type_name).values())))

    assert any(sentence in each for each in violations(spoilt))

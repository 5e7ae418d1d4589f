"""A service of the user's own in the place of the functions: what is planned with it."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from adjourn.settings import Settings
from tests.terraform.conftest import A_LITTLE_OF_EVERYTHING, SHOP
from tests.terraform.deployed import Grant, grants
from tests.terraform.policy import violations
from tests.terraform.workspace import Plan, Workspace

PROJECT = "projects/shop-production"
ACCOUNT = "adjourn-{}@shop-production.iam.gserviceaccount.com"
WEB = "web@shop-production.iam.gserviceaccount.com"
URL = "https://shop-123456789012.europe-west1.run.app"
SERVICE = {"url": URL, "account": WEB}
FOR_FUNCTIONS = ("environment", "secrets", "functions")
EVERYTHING = {n: v for n, v in A_LITTLE_OF_EVERYTHING.items() if n not in FOR_FUNCTIONS}


@pytest.fixture(scope="module")
def served(new_workspace: Callable[[], Workspace]) -> Plan:
    """Return the plan of a shop that sets a little of everything, and has no package."""
    workspace = new_workspace()
    (workspace.folder.parent / "build" / "manifest.json").unlink()
    workspace.configure(**EVERYTHING, service=SERVICE | {"max_instances": 1, "concurrency": 50})
    return workspace.plan()


def output(plan: Plan, name: str) -> Any:
    return plan.raw["planned_values"]["outputs"][name].get("value")


def variables(plan: Plan) -> dict[str, str]:
    """Return the variables of the service, as whoever reads the lines does."""
    lines = output(plan, "service_environment").splitlines()
    return dict(each.split("=", 1) for each in lines)


def test_nothing_is_built_and_all_else_is_there(served: Plan) -> None:
    types = Counter(address.partition(".")[0] for address in served.resources())
    del types["google_firestore_field"]

    assert types == {
        "google_cloud_run_v2_service_iam_member": 2,
        "google_cloud_scheduler_job": 2,
        "google_cloud_tasks_queue": 4,
        "google_cloud_tasks_queue_iam_member": 4 * (3 + 2),
        "google_firestore_index": 2,
        "google_logging_metric": 7 + 2,
        "google_monitoring_alert_policy": 7 + 5 + 2 + 1 + 1,
        "google_monitoring_custom_service": 1,
        "google_monitoring_dashboard": 1,
        "google_monitoring_slo": 1,
        "google_project_iam_member": 2 + 1,
        "google_project_service": 8,
        "google_service_account": 2,
        "google_service_account_iam_member": 3,
        "terraform_data": 1,
        "time_sleep": 1,
    }
    assert violations(served) == []


def test_jobs_call_below_the_prefix_with_tokens_for_the_origin(served: Plan) -> None:
    (target,) = served.resources()['google_cloud_scheduler_job.cron["nightly"]']["http_target"]

    assert target["uri"] == f"{URL}/_adjourn/cron/nightly"
    assert target["oidc_token"] == [
        {"service_account_email": ACCOUNT.format("jobs"), "audience": URL}
    ]


def test_its_account_may_do_what_those_of_functions_may(served: Plan) -> None:
    queues = [
        f"{PROJECT}/locations/{region}/queues/{name}"
        for region in ("europe-west1", "europe-west3")
        for name in ("default", "mail")
    ]
    invoke = Grant("roles/run.invoker", f"{PROJECT}/locations/europe-west1/services/shop")
    tasks = f"{PROJECT}/serviceAccounts/{ACCOUNT.format('tasks')}"
    data = Grant("roles/datastore.user", PROJECT, f'resource.name == "{PROJECT}/databases/shop"')

    found = grants(served)

    assert found[WEB] == {
        *(Grant("roles/cloudtasks.enqueuer", queue) for queue in queues),
        *(Grant("roles/cloudtasks.viewer", queue) for queue in queues),
        Grant("roles/iam.serviceAccountUser", tasks),
        data,
    }
    assert found[ACCOUNT.format("tasks")] == found[ACCOUNT.format("jobs")] == {invoke}


def test_the_service_and_the_application_get_settings_that_agree(served: Plan) -> None:
    service = Settings.from_env(variables(served))
    application = Settings.from_env(output(served, "environment"))

    assert variables(served) == output(served, "service_variables")
    assert (service.service_url, service.platform) == (f"{URL}/_adjourn", "verify")
    assert service.deferred_url == application.deferred_url == f"{URL}/_adjourn/deferred"
    assert output(served, "urls")["cron"] == service.cron_url
    assert service.accepted_callers() == {ACCOUNT.format("tasks"), ACCOUNT.format("jobs")}
    assert service.function_timeout == 300
    assert service.max_attempts == {"": 100, "default": 100, "mail": 20}
    assert service.database == "shop"
    assert (service.location, service.fallback_location) == ("europe-west1", "europe-west3")


@pytest.fixture(scope="module")
def closed(new_workspace: Callable[[], Workspace]) -> Plan:
    """Return the plan of a service under a domain of its own, closed to all but its callers."""
    workspace = new_workspace()
    workspace.configure(
        **SHOP,
        service={
            "url": "https://shop.example",
            "name": "web",
            "region": "us-west1",
            "account": WEB,
            "prefix": "/tasks",
            "platform": "cloud-run-iam",
            "timeout_seconds": 900,
        },
        audiences=["https://tasks.shop.example"],
        people_audiences=["client"],
        database={"has_ttl_policies": False},
        envelope={"secret": "envelope-key", "version": "7"},
    )
    return workspace.plan()


def test_what_concerns_all_three_functions_is_told_to_the_service(closed: Plan) -> None:
    told = variables(closed)

    assert told["ADJOURN_PLATFORM"] == "cloud-run-iam"
    assert told["ADJOURN_SERVICE_URL"] == "https://shop.example/tasks"
    assert told["ADJOURN_FUNCTION_TIMEOUT"] == "900"
    assert told["ADJOURN_AUDIENCES"] == "https://tasks.shop.example"
    assert told["ADJOURN_PEOPLE_AUDIENCES"] == "client"
    assert told["ADJOURN_CLEANUP"] == "true"
    assert told["ADJOURN_ENVELOPE_SEAL"] == "signed"
    assert "ADJOURN_ENVELOPE_KEY" not in told
    secret = f"{PROJECT}/secrets/envelope-key"
    assert Grant("roles/secretmanager.secretAccessor", secret) in grants(closed)[WEB]
    assert violations(closed) == []


def test_functions_need_no_such_lines(plan: Plan) -> None:
    assert output(plan, "service_environment") is None


def filters(plan: Plan, name: str) -> list[str]:
    policy = plan.resources()[f"google_monitoring_alert_policy.{name}"]
    kinds = ("condition_threshold", "condition_matched_log")
    return [
        each[kind][0]["filter"] for each in policy["conditions"] for kind in kinds if each[kind]
    ]


def test_alerts_watch_the_service(served: Plan) -> None:
    assert '"shop"' in filters(served, 'metric["server_errors"]')[0]
    assert '"shop"' in filters(served, 'log["dead_letters"]')[0]
    assert filters(served, 'metric["instances"]')[0].endswith('service_name = "shop"')
    # Others who call it may well be answered 401 or 403.
    assert "user/adjourn_refused_callers" in filters(served, 'metric["refused_calls"]')[0]
    assert 'google_monitoring_alert_policy.log["public_access"]' not in served.resources()
    (dashboard,) = served.of_type("google_monitoring_dashboard").values()
    assert 'one_of(\\"shop\\")' in dashboard["dashboard_json"]


def test_a_service_that_is_closed_is_watched_for_being_opened(closed: Plan) -> None:
    assert "/services/(web)$" in filters(closed, 'log["public_access"]')[0]
    assert 'google_monitoring_alert_policy.metric["instances"]' not in closed.resources()


def test_a_service_under_a_domain_of_its_own_is_named(closed: Plan) -> None:
    resource = f"{PROJECT}/locations/us-west1/services/web"

    assert grants(closed)[ACCOUNT.format("jobs")] == {Grant("roles/run.invoker", resource)}
    assert '"web"' in filters(closed, 'metric["server_errors"]')[0]


def test_what_the_queues_dispatch_is_held_against_the_service(served: Plan) -> None:
    (check,) = (c for c in served.raw["checks"] if c["address"]["to_display"] == "check.capacity")

    assert check["status"] == "fail"
    assert (
        "80 from europe-west1 (default 40, mail 40) to your service, which takes 50 (1 instances of"
        " 50)" in str(check)
    )


def test_the_functions_of_an_applied_deployment_give_way_to_a_service_anywhere(
    new_workspace: Callable[[], Workspace],
) -> None:
    workspace = new_workspace()
    small = {**SHOP, "queue_names": [], "cron_names": [], "monitoring": {"is_enabled": False}}
    workspace.configure(**small)
    workspace.apply()

    workspace.configure(**small, service={"url": "https://shop.example:8443", "account": WEB})
    plan = workspace.plan()
    workspace.apply_plan()

    gone = {address for address, what in plan.actions().items() if what == ["delete"]}
    assert {address.partition(".")[0] for address in gone} >= {
        "google_cloudfunctions2_function",
        "google_storage_bucket",
        "google_artifact_registry_repository",
    }
    assert not {each for each in gone if each.startswith("google_cloud_tasks_queue.")}
    # Nobody has said which service of Cloud Run it is, if it is one.
    assert plan.of_type("google_cloud_run_v2_service_iam_member") == {}
    assert variables(plan)["ADJOURN_SERVICE_URL"] == "https://shop.example:8443/_adjourn"
    assert 'jsonPayload.logger = "adjourn"' in str(plan.of_type("google_logging_metric"))

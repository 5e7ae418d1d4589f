"""What would be made: addresses, counts and values, and that they agree with the code."""

import dataclasses
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from adjourn.settings import Platform, Settings
from tests.terraform.conftest import FUNCTIONS, SHOP
from tests.terraform.workspace import MODULE, ROOT, Plan

SHARED = ROOT / "shared" / "adjourn"
ACCOUNT = "adjourn-{}@shop-production.iam.gserviceaccount.com"
URL = "https://adjourn-{}-123456789012.europe-west1.run.app"


def test_the_inventory_is_as_expected(plan: Plan) -> None:
    types = Counter(address.partition(".")[0] for address in plan.resources())

    assert types == {
        "google_cloud_run_v2_service_iam_member": 3,
        "google_cloud_scheduler_job": 2,
        "google_cloud_tasks_queue": 4,
        "google_cloud_tasks_queue_iam_member": 4 * 5,
        "google_cloudfunctions2_function": 3,
        "google_firestore_field": 8,
        "google_firestore_index": 1,
        "google_logging_metric": 6,
        "google_monitoring_alert_policy": 3 + 6 + 2,
        "google_monitoring_dashboard": 1,
        "google_project_iam_member": 3 + 3,
        "google_project_service": 12,
        "google_service_account": 6,
        "google_service_account_iam_member": 4,
        "google_storage_bucket": 1,
        "google_storage_bucket_iam_member": 1,
        "google_storage_bucket_object": 3,
    }


def test_there_is_a_queue_for_each_region_and_name(plan: Plan) -> None:
    assert set(plan.of_type("google_cloud_tasks_queue")) == {
        f'google_cloud_tasks_queue.main["{region}/{name}"]'
        for region in SHOP["regions"]
        for name in ("default", "mail")
    }


def test_a_queue_has_its_own_settings_before_the_defaults(plan: Plan) -> None:
    mail = plan.resources()['google_cloud_tasks_queue.main["europe-west4/mail"]']

    assert (mail["location"], mail["name"], mail["project"]) == (
        "europe-west4",
        "mail",
        "shop-production",
    )
    assert mail["deletion_policy"] == "PREVENT"
    assert mail["desired_state"] == "RUNNING"
    (retry,) = mail["retry_config"]
    assert retry["max_attempts"] == 20
    assert retry["max_retry_duration"] == "604800s"
    assert (retry["min_backoff"], retry["max_backoff"]) == ("0.5s", "3600s")
    (rate,) = mail["rate_limits"]
    assert (rate["max_dispatches_per_second"], rate["max_concurrent_dispatches"]) == (10, 100)
    assert mail["stackdriver_logging_config"] == [{"sampling_ratio": 1}]


def test_a_ratio_of_nothing_is_left_out(plan: Plan) -> None:
    queue = plan.resources()['google_cloud_tasks_queue.main["europe-west1/default"]']

    assert queue["stackdriver_logging_config"] == []


def test_a_job_calls_the_cron_function_under_its_name(plan: Plan) -> None:
    job = plan.resources()['google_cloud_scheduler_job.cron["nightly"]']

    assert job["name"] == "adjourn-nightly"
    assert (job["schedule"], job["time_zone"]) == ("0 3 * * *", "Europe/Berlin")
    (target,) = job["http_target"]
    assert (target["uri"], target["http_method"]) == (f"{URL.format('cron')}/nightly", "POST")
    assert target["oidc_token"] == [
        {"service_account_email": ACCOUNT.format("jobs"), "audience": URL.format("cron")}
    ]


def test_who_may_do_what_is_exactly_this(plan: Plan) -> None:
    queues = [f"{region}/{name}" for region in SHOP["regions"] for name in ("default", "mail")]
    members = {name: f"serviceAccount:{ACCOUNT.format(name)}" for name in (*FUNCTIONS, "build")}
    enqueuers = [members[name] for name in FUNCTIONS] + ["serviceAccount:web@shop.example"]
    tasks = f"projects/shop-production/serviceAccounts/{ACCOUNT.format('tasks')}"

    assert _grants(plan) == {
        *(("roles/cloudtasks.enqueuer", queue, who) for queue in queues for who in enqueuers),
        *(("roles/cloudtasks.viewer", queue, members["cron"]) for queue in queues),
        *(("roles/iam.serviceAccountUser", tasks, who) for who in enqueuers),
        *(("roles/datastore.user", "project", members[name]) for name in FUNCTIONS),
        ("roles/run.invoker", "adjourn-deferred", f"serviceAccount:{ACCOUNT.format('tasks')}"),
        ("roles/run.invoker", "adjourn-queryiter", f"serviceAccount:{ACCOUNT.format('tasks')}"),
        ("roles/run.invoker", "adjourn-cron", f"serviceAccount:{ACCOUNT.format('jobs')}"),
        ("roles/logging.logWriter", "project", members["build"]),
        ("roles/artifactregistry.writer", "project", members["build"]),
        ("roles/storage.objectViewer", "project", members["build"]),
        ("roles/storage.objectViewer", "shop-production-adjourn-source", members["build"]),
    }


def test_a_role_on_the_project_holds_for_one_thing_where_it_can(plan: Plan) -> None:
    conditions = {
        values["role"]: [each["expression"] for each in values["condition"]]
        for values in plan.of_type("google_project_iam_member").values()
    }

    assert conditions == {
        "roles/datastore.user": ['resource.name == "projects/shop-production/databases/shop"'],
        "roles/storage.objectViewer": [
            'resource.name.startsWith("projects/_/buckets/gcf-v2-sources-123456789012-europe-west1")'
        ],
        "roles/logging.logWriter": [],
        "roles/artifactregistry.writer": [],
    }


def _grants(plan: Plan) -> set[tuple[str, str, str]]:
    found = set()
    for address, values in plan.resources().items():
        kind = address.partition(".")[0]
        if kind.endswith("_iam_member"):
            on = {
                "google_cloud_tasks_queue_iam_member": "{location}/{name}",
                "google_cloud_run_v2_service_iam_member": "{name}",
                "google_service_account_iam_member": "{service_account_id}",
                "google_storage_bucket_iam_member": "{bucket}",
                "google_project_iam_member": "project",
            }[kind]
            found.add((values["role"], on.format(**values), values["member"]))
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_starts_with_the_settings_that_it_is_given(plan: Plan, name: str) -> None:
    function = plan.resources()[f'google_cloudfunctions2_function.main["{name}"]']
    (service,) = function["service_config"]

    settings = Settings.from_env(
        {**service["environment_variables"], "K_SERVICE": function["name"]}
    )

    assert settings.platform == Platform.CLOUD_RUN_IAM
    assert settings.deferred_url == URL.format("deferred")
    assert settings.accepted_callers() == {ACCOUNT.format("jobs" if name == "cron" else "tasks")}
    assert (settings.location, settings.fallback_location) == ("europe-west1", "europe-west4")
    assert settings.project == "shop-production"
    assert service["environment_variables"]["ADJOURN_APP"] == "shop.main:app"
    assert service["environment_variables"]["SHOP_CURRENCY"] == "EUR"
    assert service["service_account_email"] == ACCOUNT.format(name)
    assert [(each["key"], each["secret"]) for each in service["secret_environment_variables"]] == [
        ("SHOP_MAIL_TOKEN", "mail-token")
    ]


def test_every_setting_of_a_deployment_is_given(plan: Plan) -> None:
    function = plan.resources()['google_cloudfunctions2_function.main["deferred"]']
    given = set(function["service_config"][0]["environment_variables"])
    # Custom addresses, people, other keys and local servers are for those who have them.
    optional = {"audiences", "people_audiences", "keys_url", "tasks_host", "revision"}

    assert {
        f"ADJOURN_{field.name.upper()}"
        for field in dataclasses.fields(Settings)
        if field.name not in optional
    } <= given


def test_the_application_gets_settings_with_which_it_can_enqueue(plan: Plan) -> None:
    environment = plan.raw["planned_values"]["outputs"]["environment"]["value"]

    settings = Settings.from_env(environment)

    assert settings.service_account == ACCOUNT.format("tasks")


def test_a_function_is_built_of_the_zip_that_the_manifest_names(plan: Plan) -> None:
    for name in FUNCTIONS:
        function = plan.resources()[f'google_cloudfunctions2_function.main["{name}"]']
        (build,) = function["build_config"]
        (source,) = build["source"][0]["storage_source"]
        packed = plan.resources()[f'google_storage_bucket_object.source["{name}"]']

        assert build["entry_point"] == name
        assert source["object"] == packed["name"] == f"{name}-0a1b2c.zip"
        assert packed["source"].endswith(f"build/{name}-0a1b2c.zip")


def test_all_kinds_that_expire_and_no_others_have_a_ttl_policy(plan: Plan) -> None:
    sources = [path.read_text() for path in SHARED.glob("*.py")]
    expiring = {
        kind
        for source in sources
        if re.search(r'"expires_at"|\bexpires_at: ', source)
        for kind in re.findall(r'^KIND = "(\w+)"$', source, re.MULTILINE)
    }
    policies = plan.of_type("google_firestore_field").values()

    assert {each["collection"] for each in policies} == expiring
    assert {each["field"] for each in policies} == {"expires_at"}
    assert all(len(each["ttl_config"]) == 1 for each in policies)


def test_only_events_that_the_code_logs_are_watched(plan: Plan) -> None:
    logged = set(re.findall(r'event\(\s*"([a-z.]+[a-z_]+)"', _all(SHARED.rglob("*.py"))))
    logged |= {"iteration.stopped", "iteration.finished"}  # made of the run's status

    watched = set(
        re.findall(
            r'\\?"((?:task|cron|iteration|startup|adjourn|service|queue)\.[a-z_]+)\\?"',
            _filters(plan),
        )
    )

    assert "task.dead" in watched
    assert watched <= logged


def _filters(plan: Plan) -> str:
    return json.dumps(
        [
            [values.get("filter"), values.get("conditions")]
            for address, values in plan.resources().items()
            if address.startswith(("google_logging_metric", "google_monitoring_alert_policy"))
        ]
    ).replace("\\", "")


def _all(paths: Any) -> str:
    return "\n".join(path.read_text() for path in paths)


def test_each_alert_tells_what_to_do(plan: Plan) -> None:
    alerts = plan.of_type("google_monitoring_alert_policy")
    titles = {re.search(r'\["(\w+)"\]', address)[1] for address in alerts}  # type: ignore[index]

    assert titles == {
        *("failing_attempts", "backlog", "delay"),
        *("dead_letters", "retry_threshold", "failing_cron", "stopped_iteration"),
        *("failing_startup", "fault"),
        *("default", "nightly"),  # missing crons
    }
    for address, values in alerts.items():
        (documentation,) = values["documentation"]
        assert "https://console.cloud.google.com/" in documentation["content"], address
        assert "${" not in documentation["content"]
        assert values["notification_channels"] == [
            "projects/shop-production/notificationChannels/1"
        ]


def test_whatever_is_said_to_be_worth_an_alert_has_one(plan: Plan) -> None:
    operations = (ROOT / "docs" / "operations.md").read_text()
    (worth,) = re.findall(r"^Worth an alert: (.*)$", operations, re.MULTILINE)
    alerts = plan.of_type("google_monitoring_alert_policy").values()

    # A failed cron is answered 503, so that Cloud Scheduler tells of it.
    for event in set(re.findall(r"`([a-z._]+)`", worth)) - {"cron.failed"}:
        assert any(f'"{event}"' in str(each["conditions"]) for each in alerts), event
    for each in alerts:
        title = each["display_name"].removeprefix("adjourn: ")
        title = re.sub("cron (default|nightly)", "cron NAME", title)
        assert f"\n| {title} | " in operations


def test_no_runbook_is_left_over(plan: Plan) -> None:
    written = {path.name.partition(".")[0] for path in Path(MODULE, "runbooks").iterdir()}
    used = {
        address.partition('["')[2].removesuffix('"]')
        for address in plan.of_type("google_monitoring_alert_policy")
        if ".missing_cron[" not in address
    }

    assert written == used | {"missing_cron"}


def test_the_dashboard_shows_what_the_metrics_count(plan: Plan) -> None:
    (dashboard,) = plan.of_type("google_monitoring_dashboard").values()
    shown = set(re.findall(r"logging.googleapis.com/user/(\w+)", dashboard["dashboard_json"]))

    assert shown == {each["name"] for each in plan.of_type("google_logging_metric").values()}


def test_an_index_is_for_datastore_mode(plan: Plan) -> None:
    (index,) = plan.of_type("google_firestore_index").values()

    assert (index["collection"], index["api_scope"], index["query_scope"], index["density"]) == (
        "Order",
        "DATASTORE_MODE_API",
        "COLLECTION_RECURSIVE",
        "SPARSE_ALL",
    )
    assert [(each["field_path"], each["order"]) for each in index["fields"]] == [
        ("customer", "ASCENDING"),
        ("placed_at", "DESCENDING"),
    ]

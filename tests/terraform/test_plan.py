"""What would be made: addresses, counts and values."""

from collections import Counter

import pytest

from adjourn.settings import Platform, Settings
from tests.terraform.conftest import FUNCTIONS, SHOP
from tests.terraform.workspace import Plan

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


def test_the_application_gets_settings_with_which_it_can_enqueue(plan: Plan) -> None:
    environment = plan.raw["planned_values"]["outputs"]["environment"]["value"]

    settings = Settings.from_env(environment)

    assert settings.service_account == ACCOUNT.format("tasks")
    assert settings.accepted_callers() == {ACCOUNT.format("tasks"), ACCOUNT.format("jobs")}


def test_a_function_is_built_of_the_zip_that_the_manifest_names(plan: Plan) -> None:
    for name in FUNCTIONS:
        function = plan.resources()[f'google_cloudfunctions2_function.main["{name}"]']
        (build,) = function["build_config"]
        (source,) = build["source"][0]["storage_source"]
        packed = plan.resources()[f'google_storage_bucket_object.source["{name}"]']

        assert build["entry_point"] == name
        assert source["object"] == packed["name"] == f"{name}-0a1b2c.zip"
        assert packed["source"].endswith(f"build/{name}-0a1b2c.zip")


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

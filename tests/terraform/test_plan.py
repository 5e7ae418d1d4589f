"""What would be made: addresses, counts and values."""

from collections import Counter

import pytest

from adjourn.settings import Platform, Settings
from tests.terraform.conftest import FUNCTIONS, REGIONS
from tests.terraform.deployed import DeployedFunction, Grant, functions, grants
from tests.terraform.workspace import Plan

ACCOUNT = "adjourn-{}@shop-production.iam.gserviceaccount.com"
URL = "https://adjourn-{}-123456789012.europe-west1.run.app"


def test_the_inventory_is_as_expected(plan: Plan) -> None:
    types = Counter(address.partition(".")[0] for address in plan.resources())
    del types["google_firestore_field"]  # one for each kind that expires, as test_agreement asserts

    assert types == {
        "google_cloud_run_v2_service_iam_member": 3,
        "google_cloud_scheduler_job": 2,
        "google_cloud_tasks_queue": 4,
        "google_artifact_registry_repository": 1,
        "google_artifact_registry_repository_iam_member": 1,
        "google_cloud_tasks_queue_iam_member": 4 * (5 + 3),
        "google_cloudfunctions2_function": 3,
        "google_firestore_index": 2,
        "google_logging_metric": 6 + 2,
        "google_monitoring_alert_policy": 7 + 6 + 2 + 1 + 1,
        "google_monitoring_custom_service": 1,
        "google_monitoring_dashboard": 1,
        "google_monitoring_slo": 1,
        "google_project_iam_member": 4 + 2 + 1,
        "google_project_service": 12 + 1,
        "google_secret_manager_secret_iam_member": 3,
        "google_service_account": 6,
        "google_service_account_iam_member": 5,
        "google_storage_bucket": 1,
        "google_storage_bucket_iam_member": 1,
        "google_storage_bucket_object": 3,
        "terraform_data": 1,
        "time_sleep": 2,
    }


def test_there_is_a_queue_for_each_region_and_name(plan: Plan) -> None:
    assert set(plan.of_type("google_cloud_tasks_queue")) == {
        f'google_cloud_tasks_queue.main["{region}/{name}"]'
        for region in REGIONS
        for name in ("default", "mail")
    }


def test_a_queue_has_its_own_settings_before_the_defaults(plan: Plan) -> None:
    mail = plan.resources()['google_cloud_tasks_queue.main["europe-west3/mail"]']

    assert (mail["location"], mail["name"], mail["project"]) == (
        "europe-west3",
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
    assert (rate["max_dispatches_per_second"], rate["max_concurrent_dispatches"]) == (10, 40)
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
    project = "projects/shop-production"
    queues = [
        f"{project}/locations/{region}/queues/{name}"
        for region in REGIONS
        for name in ("default", "mail")
    ]
    services = f"{project}/locations/europe-west1/services/adjourn-"
    tasks = f"{project}/serviceAccounts/{ACCOUNT.format('tasks')}"
    enqueue = {
        *(Grant("roles/cloudtasks.enqueuer", queue) for queue in queues),
        Grant("roles/iam.serviceAccountUser", tasks),
    }
    look = {Grant("roles/cloudtasks.viewer", queue) for queue in queues}
    data = Grant("roles/datastore.user", project, f'resource.name == "{project}/databases/shop"')
    secret = Grant("roles/secretmanager.secretAccessor", f"{project}/secrets/mail-token")

    assert grants(plan) == {
        ACCOUNT.format("deferred"): {*enqueue, *look, data, secret},
        ACCOUNT.format("cron"): {*enqueue, *look, data, secret},
        ACCOUNT.format("queryiter"): {*enqueue, data, secret},
        ACCOUNT.format("tasks"): {
            Grant("roles/run.invoker", f"{services}deferred"),
            Grant("roles/run.invoker", f"{services}queryiter"),
        },
        ACCOUNT.format("jobs"): {Grant("roles/run.invoker", f"{services}cron")},
        ACCOUNT.format("build"): {
            Grant("roles/logging.logWriter", project),
            Grant(
                "roles/artifactregistry.writer",
                f"{project}/locations/europe-west1/repositories/adjourn-images",
            ),
            Grant(
                "roles/storage.objectViewer",
                project,
                'resource.name.startsWith("projects/_/buckets/gcf-v2-sources-123456789012-'
                'europe-west1")',
            ),
            Grant(
                "roles/storage.objectViewer", "projects/_/buckets/shop-production-adjourn-source"
            ),
        },
        "web@shop.example": enqueue,
        "group:on-call@shop.example": {
            *enqueue,
            *look,
            data,
            Grant("roles/cloudscheduler.viewer", project),
        },
    }


def test_what_functions_are_started_with_can_be_read_from_a_plan(plan: Plan) -> None:
    found = functions(plan)

    assert set(found) == set(FUNCTIONS)
    assert found["queryiter"] == DeployedFunction(
        service="adjourn-queryiter",
        entry_point="queryiter",
        environment=found["queryiter"].environment,
        secrets={"SHOP_MAIL_TOKEN": "mail-token"},
        memory_mb=1024,
        cpu=1,
        concurrency=8,
        timeout_seconds=600,
        account=ACCOUNT.format("queryiter"),
    )
    for each in found.values():
        assert each.environment["LOG_EXECUTION_ID"] == "true"
        assert each.environment["THREADS"] == str(each.concurrency)
        assert each.environment["FORWARDED_ALLOW_IPS"] == "255.255.255.255"
        assert None not in each.environment.values(), "all of it is known before anything is made"


def test_an_image_is_kept_where_the_build_alone_may_write(plan: Plan) -> None:
    (images,) = plan.of_type("google_artifact_registry_repository").values()
    policies = {each["id"]: each for each in images["cleanup_policies"]}

    assert (images["format"], images["repository_id"]) == ("DOCKER", "adjourn-images")
    assert policies["keep-the-latest"]["most_recent_versions"][0]["keep_count"] == 10
    assert policies["delete-the-old"]["condition"][0]["older_than"] == "2592000s"
    references = plan.raw["configuration"]["root_module"]["resources"]
    (build,) = (
        each["expressions"]["build_config"][0]
        for each in references
        if each["address"] == "google_cloudfunctions2_function.main"
    )
    assert (
        "google_artifact_registry_repository.images[0].id"
        in build["docker_repository"]["references"]
    )


@pytest.mark.parametrize(
    ("address", "comes_after"),
    [
        ("google_cloudfunctions2_function.main", "time_sleep.grants"),
        ("google_cloud_tasks_queue.main", "time_sleep.apis"),
        ("google_service_account.main", "time_sleep.apis"),
        ("google_artifact_registry_repository.images", "time_sleep.apis"),
        ("google_secret_manager_secret_iam_member.secret", "time_sleep.apis"),
        ("time_sleep.apis", "google_project_service.api"),
        ("time_sleep.grants", "google_artifact_registry_repository_iam_member.build"),
        ("time_sleep.grants", "google_project_iam_member.build_source"),
        ("time_sleep.grants", "google_project_iam_member.datastore"),
        ("time_sleep.grants", "google_secret_manager_secret_iam_member.secret"),
    ],
)
def test_what_needs_a_grant_or_an_api_waits_for_it(
    plan: Plan, address: str, comes_after: str
) -> None:
    (resource,) = (
        each
        for each in plan.raw["configuration"]["root_module"]["resources"]
        if each["address"] == address
    )

    assert comes_after in resource["depends_on"]
    waits = plan.of_type("time_sleep").values()
    assert {each["create_duration"] for each in waits} == {"60s"}


def test_a_ttl_policy_stays_when_terraform_lets_go_of_it(plan: Plan) -> None:
    policies = plan.of_type("google_firestore_field").values()

    assert {each["deletion_policy"] for each in policies} == {"ABANDON"}


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
    assert (settings.location, settings.fallback_location) == ("europe-west1", "europe-west3")
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
    below, index = plan.of_type("google_firestore_index").values()

    assert (below["collection"], below["query_scope"]) == ("Item", "COLLECTION_RECURSIVE")
    assert [(each["field_path"], each["order"]) for each in below["fields"]] == [
        ("__name__", "DESCENDING")
    ]
    assert (index["collection"], index["api_scope"], index["query_scope"], index["density"]) == (
        "Order",
        "DATASTORE_MODE_API",
        "COLLECTION_GROUP",
        "SPARSE_ALL",
    )
    assert [(each["field_path"], each["order"]) for each in index["fields"]] == [
        ("customer", "ASCENDING"),
        ("placed_at", "DESCENDING"),
    ]

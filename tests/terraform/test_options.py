"""What variables make of the plan."""

from collections.abc import Callable

import pytest

from tests.terraform.conftest import FUNCTIONS, SHOP
from tests.terraform.deployed import Grant, functions, grants
from tests.terraform.policy import violations
from tests.terraform.workspace import Workspace

QUEUE = "google_cloud_tasks_queue"


@pytest.fixture(scope="module")
def changed(new_workspace: Callable[[], Workspace]) -> Workspace:
    return new_workspace()


def test_a_region_that_google_has_added_can_be_named(changed: Workspace) -> None:
    changed.configure(
        **SHOP | {"queue_regions": ["europe-west4"], "further_regions": ["europe-west4"]}
    )

    assert {each["location"] for each in changed.plan().of_type(QUEUE).values()} == {"europe-west4"}


def test_queues_and_jobs_have_regions_of_their_own(changed: Workspace) -> None:
    changed.configure(
        project="shop-production",
        region="europe-west4",
        queue_regions=["europe-west1", "europe-west3"],
        job_region="europe-west2",
    )

    plan = changed.plan()

    assert {each["location"] for each in plan.of_type(QUEUE).values()} == {
        "europe-west1",
        "europe-west3",
    }
    jobs = plan.of_type("google_cloud_scheduler_job").values()
    assert {each["region"] for each in jobs} == {"europe-west2"}
    environment = functions(plan)["cron"].environment
    assert environment["ADJOURN_LOCATION"] == "europe-west1"
    assert environment["ADJOURN_JOB_LOCATION"] == "europe-west2"
    assert environment["ADJOURN_FALLBACK_LOCATION"] == "europe-west3"
    assert ".europe-west4.run.app" in environment["ADJOURN_CRON_URL"]


def test_what_the_queues_dispatch_in_a_region_is_held_against_each_function(
    changed: Workspace,
) -> None:
    changed.configure(
        **SHOP | {"queue_regions": []},
        queues={"mail": {"max_concurrent_dispatches": 100}, "held": {"is_paused": True}},
        functions={"queryiter": {"max_instances": 10, "concurrency": 4}},
    )

    warning = " ".join(changed.run("plan", "-input=false").partition("Warning: ")[2].split())

    assert (
        "140 from europe-west1 (default 40, mail 100) to queryiter, which takes 40 (10 instances of"
        " 4)" in warning
    )
    assert "to deferred" not in warning


def test_the_defaults_are_within_what_the_functions_take(changed: Workspace) -> None:
    changed.configure(**SHOP)

    assert "Warning: Check block assertion failed" not in changed.run("plan", "-input=false")


def test_ttl_policies_can_be_left_out_and_the_commands_for_them_are_told(
    changed: Workspace,
) -> None:
    changed.configure(**SHOP)
    kinds = {
        each["collection"] for each in changed.plan().of_type("google_firestore_field").values()
    }

    changed.configure(**SHOP, database={"has_ttl_policies": False})

    plan = changed.plan()
    assert plan.of_type("google_firestore_field") == {}
    commands = plan.raw["planned_values"]["outputs"]["ttl_commands"]["value"]
    assert {each.partition("--collection-group=")[2].split()[0] for each in commands} == kinds
    assert all("fields ttls update expires_at" in each for each in commands)
    # Until somebody has run them, and where nobody can, adjourn deletes what has expired.
    settings = {each.environment["ADJOURN_CLEANUP"] for each in functions(plan).values()}
    jobs = {each["name"] for each in plan.of_type("google_cloud_scheduler_job").values()}
    assert settings == {"true"}
    assert "adjourn-adjourn" in jobs


def test_audiences_have_variables_of_their_own(changed: Workspace) -> None:
    changed.configure(**SHOP, audiences=["https://tasks.shop.example"], people_audiences=["client"])

    settings = {name: each.environment for name, each in functions(changed.plan()).items()}

    assert {each["ADJOURN_AUDIENCES"] for each in settings.values()} == {
        "https://tasks.shop.example"
    }
    assert settings["deferred"]["ADJOURN_PEOPLE_AUDIENCES"] == "client"
    assert "ADJOURN_PEOPLE_AUDIENCES" not in settings["cron"]


def test_keys_come_from_a_secret_and_are_nowhere_in_the_plan(changed: Workspace) -> None:
    envelope = {"secret": "envelope-key", "version": "7", "seal": "encrypted"}
    changed.configure(**SHOP, envelope=envelope)

    plan = changed.plan()

    for each in functions(plan).values():
        assert each.secrets == {"ADJOURN_ENVELOPE_KEY": "envelope-key"}
        assert each.environment["ADJOURN_ENVELOPE_SEAL"] == "encrypted"
        assert each.environment["ADJOURN_ENVELOPE_REQUIRED"] == "false"
        secret = f"projects/{SHOP['project']}/secrets/envelope-key"
        assert Grant("roles/secretmanager.secretAccessor", secret) in grants(plan)[each.account]
    told = plan.raw["planned_values"]["outputs"]["environment"]["value"]
    assert told["ADJOURN_ENVELOPE_SEAL"] == "encrypted"
    assert "ADJOURN_ENVELOPE_KEY" not in told


def test_people_come_through_a_load_balancer_to_the_deferred_function_alone(
    changed: Workspace,
) -> None:
    people = {"domain": "tasks.shop.example", "members": ["group:staff@shop.example"]}
    changed.configure(**SHOP, people_audiences=["client"], people=people)

    plan = changed.plan()

    assert violations(plan) == []
    ingress = {
        each["name"]: each["service_config"][0]["ingress_settings"]
        for each in plan.of_type("google_cloudfunctions2_function").values()
    }
    assert ingress == {
        "adjourn-deferred": "ALLOW_INTERNAL_AND_GCLB",
        "adjourn-cron": "ALLOW_INTERNAL_ONLY",
        "adjourn-queryiter": "ALLOW_INTERNAL_ONLY",
    }
    (group,) = plan.of_type("google_compute_region_network_endpoint_group").values()
    assert group["cloud_run"] == [{"service": "adjourn-deferred", "tag": None, "url_mask": None}]
    (rule,) = plan.of_type("google_compute_global_forwarding_rule").values()
    assert rule["port_range"] == "443"
    (invoke,) = grants(plan)["group:staff@shop.example"]
    assert (invoke.role, invoke.resource.rpartition("/")[2]) == (
        "roles/run.invoker",
        "adjourn-deferred",
    )


def test_network_key_and_pool_reach_the_functions(changed: Workspace) -> None:
    key = "projects/shop-production/locations/europe-west1/keyRings/r/cryptoKeys/k"
    pool = "projects/shop-production/locations/europe-west1/workerPools/w"
    changed.configure(
        **SHOP,
        kms_key=key,
        worker_pool=pool,
        network={"network": "shop", "subnetwork": "tasks", "tags": ["tasks"]},
        database={"is_created": True, "kms_key": key},
    )

    plan = changed.plan()

    for function in plan.of_type("google_cloudfunctions2_function").values():
        (service,), (build,) = function["service_config"], function["build_config"]
        assert (function["kms_key_name"], build["worker_pool"]) == (key, pool)
        assert service["direct_vpc_egress"] == "VPC_EGRESS_PRIVATE_RANGES_ONLY"
        assert service["direct_vpc_network_interface"] == [
            {"network": "shop", "subnetwork": "tasks", "tags": ["tasks"]}
        ]
    (images,) = plan.of_type("google_artifact_registry_repository").values()
    (bucket,) = plan.of_type("google_storage_bucket").values()
    (database,) = plan.of_type("google_firestore_database").values()
    assert images["kms_key_name"] == key
    assert bucket["encryption"] == [{"default_kms_key_name": key}]
    assert database["cmek_config"][0]["kms_key_name"] == key


def test_a_database_that_is_made_here_is_backed_up(changed: Workspace) -> None:
    changed.configure(**SHOP, database={"is_created": True})

    (schedule,) = changed.plan().of_type("google_firestore_backup_schedule").values()

    assert (schedule["retention"], schedule["database"]) == ("604800s", "(default)")
    assert len(schedule["daily_recurrence"]) == 1


def test_a_retired_queue_is_kept_with_its_bindings_and_may_then_go(changed: Workspace) -> None:
    changed.configure(**SHOP | {"queue_regions": []}, retired_queues=["post"])

    plan = changed.plan()

    queue = plan.resources()['google_cloud_tasks_queue.main["europe-west1/post"]']
    assert queue["deletion_policy"] == "DELETE"
    resource = "projects/shop-production/locations/europe-west1/queues/post"
    enqueuers = {
        who
        for who, given in grants(plan).items()
        if Grant("roles/cloudtasks.enqueuer", resource) in given
    }
    assert len(enqueuers) == len(FUNCTIONS)

    changed.configure(**SHOP, retired_queues=["mail"])

    assert "mail: in use again, so no longer retired" in " ".join(
        changed.run("plan", "-input=false").split()
    )
    queue = changed.plan().resources()['google_cloud_tasks_queue.main["europe-west1/mail"]']
    assert queue["deletion_policy"] == "PREVENT"

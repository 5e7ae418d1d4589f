"""Wrong variables are refused, each with a sentence that says what would be right."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.terraform.conftest import SHOP
from tests.terraform.workspace import Workspace

# All variables of a row are wrong, each in the way that its sentence tells.
WRONG: list[tuple[dict[str, Any], list[str]]] = [
    (
        {
            "project": "Shop",
            "queue_regions": ["europe-west1", "europe-west1"],
            "prefix": "Shop",
            "runtime": "python39",
            "enqueuers": {"everybody": "allUsers"},
            "retry_warning": 0,
            "database": {"name": "Shop"},
            "indexes": {"short": {"kind": "Order", "properties": [{"name": "customer"}]}},
            "monitoring": {"backlog_tasks": 0},
            "operators": ["allUsers"],
            "people": {"domain": "shop.example", "members": ["allUsers"]},
            "ingress": "ALLOW_ALL",
            "network": {"network": "shop", "egress": "ALL"},
            "kms_key": "key",
            "functions": {"deferred": {"timeout_seconds": 3600}},
        },
        [
            "project must be the id of a project",
            "queue_regions must not name a region twice",
            "prefix must have 1 to 19 lower-case letters",
            "runtime must be python311 or newer",
            "enqueuers must be members such as",
            "retry_warning must be a whole number from 1",
            "name of the database must be (default) or 4 to 63",
            "An index must have at least two properties",
            "The thresholds in monitoring must be more than 0",
            "operators must be members such as group:on-call@shop.example, never allUsers",
            "members of people must be such as group:staff@shop.example",
            "ingress must be ALLOW_INTERNAL_ONLY or ALLOW_INTERNAL_AND_GCLB",
            "egress of the network must be VPC_EGRESS_PRIVATE_RANGES_ONLY or",
            "kms_key must be such as projects/P/locations/europe-west1/keyRings/R/cryptoKeys/K",
            "timeout_seconds of a function must be between 15 and 1800",
        ],
    ),
    (
        {
            "region": "europe-west1-b",
            "prefix": "a-prefix-that-is-too-long",
            "enqueuers": {"cron": "user:somebody@example.com"},
            "retry_warning": 2.5,
            "indexes": {
                "odd": {
                    "kind": "Order",
                    "properties": [{"name": "a"}, {"name": "b", "order": "UP"}],
                }
            },
            "monitoring": {
                "notification_channels": ["mail"],
                "channels_by_severity": {"INFO": []},
                "availability": 1,
            },
            "database": {"backup_days": 99, "timeout_seconds": 61},
            "envelope": {"secret": "key", "version": "latest", "seal": "wax"},
            "functions": {"cron": {"concurrency": 8, "cpu": 0.5}},
        },
        [
            "region must be a region such as europe-west1, not a zone",
            "prefix must have 1 to 19",
            "enqueuers must not be named deferred, cron or queryiter",
            "retry_warning must be a whole number",
            "order of an index's property must be ASCENDING or DESCENDING",
            "notification_channels must be ids such as",
            "channels_by_severity must be by CRITICAL, ERROR or WARNING",
            "availability from 0 to 0.9999",
            "backup_days of the database must be a whole number from 0 to 98",
            "timeout_seconds of the database must be a whole number from 1 to 60",
            "envelope.seal must be none, signed or encrypted",
            "envelope.version must be the number of a version",
            "concurrency of a function must be between 1 and 1000, and 1 if it has less",
        ],
    ),
    (
        {
            "enqueuers": {"everybody": "allAuthenticatedUsers"},
            "functions": {"queryiter": {"max_instances": 1, "min_instances": 2}},
        },
        [
            "enqueuers must be members such as",
            "max_instances of a function must be at least 1 and at least min_instances",
        ],
    ),
    (
        {
            "service": {
                "url": "http://shop.example/",
                "account": "serviceAccount:web@shop.example",
                "prefix": "_adjourn/",
                "platform": "none",
                "timeout_seconds": 5,
                "max_instances": 0,
            }
        },
        [
            "service.url must begin with https://",
            "service.url must be such as https://shop-123456789012.europe-west1.run.app, with no",
            "service.account must be the e-mail address of a service account",
            "service.prefix must be the path that adjourn.web has, such as /_adjourn, with no",
            "service.platform must be verify or cloud-run-iam",
            "service.timeout_seconds must be between 15 and 3600",
            "service.concurrency and service.max_instances must be at least 1",
        ],
    ),
    (
        {
            "service": {"url": "https://shop.example", "account": "web@shop.example"},
            "functions": {"cron": {"max_instances": 4}},
            "environment": {"SHOP": "1"},
            "secrets": {"SHOP_TOKEN": {"secret": "shop"}},
            "network": {"network": "shop"},
            "people": {"domain": "shop.example", "members": ["group:staff@shop.example"]},
            "ingress": "ALLOW_INTERNAL_ONLY",
            "worker_pool": "projects/P/locations/L/workerPools/W",
            "kms_key": "projects/P/locations/europe-west1/keyRings/R/cryptoKeys/K",
        },
        [
            "environment, functions, ingress, kms_key, network, people, secrets, worker_pool: ",
            "https://shop.example does not name a Cloud Run service of this project: set service.n",
        ],
    ),
    (
        {
            "queue_regions": ["europe-west4"],
            "job_region": "europe-north1",
            "environment": {
                "ADJOURN_AUDIENCES": "mine",
                "ADJOURN_ENVELOPE_KEY": "in the state for everybody to see",
                "FUNCTION_TARGET": "main",
                "SHOP": "1",
            },
            "secrets": {"SHOP": {"secret": "shop"}, "K_REVISION": {"secret": "shop"}},
            "functions": {"cron": {"environment": {"ADJOURN_QUEUE": "mail"}}},
        },
        [
            "Cloud Tasks is not known to be in europe-west4 (list of 2026-11",
            "Cloud Scheduler is not known to be in europe-north1 (list of 2026-11",
            "ADJOURN_AUDIENCES, ADJOURN_ENVELOPE_KEY, ADJOURN_QUEUE, FUNCTION_TARGET, K_REVISION:",
            "SHOP: a variable must be in environment or in secrets, not in both",
        ],
    ),
    (
        {
            "queue_regions": [],
            "queues": {
                "a_b": {},
                "attempts": {"max_attempts": -1},
                "none": {"max_attempts": 0},
                "half": {"max_attempts": 1.5},
                "for-ever": {"max_retry_duration_seconds": 0},
                "too-long": {"max_retry_duration_seconds": 2_592_001},
                "too-fast": {"max_dispatches_per_second": 501},
                "too-many": {"max_concurrent_dispatches": 5001},
                "chatty": {"logging_ratio": 1.1},
                "backwards": {"min_backoff_seconds": 10, "max_backoff_seconds": 5},
                "doubled": {"max_doublings": 0},
                "kept": {"deletion_policy": "KEEP"},
            },
            "crons": {
                "a.b": {},
                "patient": {"attempt_deadline_seconds": 1801},
                "stubborn": {"retry_count": 6},
                "rare": {"missing_after_seconds": 86_401},
                "vague": {"schedule": "daily", "missing_after_seconds": 0},
                "weekly": {"schedule": "0 3 * * 1"},
                "working": {"schedule": "0 3 * * 1-5", "missing_after_seconds": 3600},
                "hasty": {"schedule": "0 3 * * *", "missing_after_seconds": 900},
            },
        },
        [
            "Queue europe-west1/a_b: the name must be 1 to 100 letters",
            "Queue europe-west1/attempts: max_attempts must be a whole number from 1",
            "Queue europe-west1/none: max_attempts must be a whole number from 1",
            "Queue europe-west1/half: max_attempts must be a whole number from 1",
            "Queue europe-west1/for-ever: max_retry_duration_seconds must be between 1 and 2592000",
            "Queue europe-west1/too-long: max_retry_duration_seconds must be between 1 and 2592000",
            "Queue europe-west1/too-fast: max_dispatches_per_second must be more than 0 and at",
            "Queue europe-west1/too-many: max_concurrent_dispatches must be between 1 and 5000",
            "Queue europe-west1/chatty: logging_ratio must be between 0 and 1",
            "Queue europe-west1/backwards: min_backoff_seconds must be more than 0 and at",
            "Queue europe-west1/doubled: max_doublings must be a whole number from 1",
            "Queue europe-west1/kept: deletion_policy must be PREVENT, DELETE or ABANDON",
            "Cron a.b: the name must be 1 to 400 letters",
            "Cron patient: attempt_deadline_seconds must be between 15 and 1800",
            "Cron stubborn: retry_count must be between 1 and 5",
            "Cron rare: missing_after_seconds must be between 120 and 86400",
            "Cron vague: schedule must have five fields",
            "Cron weekly: 0 3 * * 1 may call less than daily, and Cloud Monitoring looks back 25",
            "Cron working: 0 3 * * 1-5 may call less than daily",
            "Cron hasty: 0 3 * * * leaves 86400 seconds between two calls",
        ],
    ),
]


@pytest.fixture(scope="module")
def changed(new_workspace: Callable[[], Workspace]) -> Workspace:
    return new_workspace()


@pytest.mark.parametrize(("variables", "sentences"), WRONG)
def test_wrong_variables_are_refused_in_sentences(
    changed: Workspace, variables: dict[str, Any], sentences: list[str]
) -> None:
    changed.configure(**SHOP | variables)

    said = changed.refusal("plan", "-input=false")

    assert [sentence for sentence in sentences if sentence not in said] == []
    assert said.count("Error: ") == len(sentences)


def test_a_missing_package_is_told_once(new_workspace: Callable[[], Workspace]) -> None:
    workspace = new_workspace()
    (workspace.folder.parent / "build" / "manifest.json").unlink()

    said = workspace.refusal("plan", "-input=false")

    assert "There is no package" in said
    assert "Run ./deploy.sh package first" in said
    assert said.count("Error: ") == 1


def test_a_zip_that_was_removed_is_told(new_workspace: Callable[[], Workspace]) -> None:
    workspace = new_workspace()
    (workspace.folder.parent / "build" / "cron-0a1b2c.zip").unlink()

    said = workspace.refusal("plan", "-input=false")

    assert "build/cron-0a1b2c.zip, which" in said
    assert "Run ./deploy.sh package again" in said
    assert said.count("Error: ") == 1


@pytest.mark.parametrize(
    "manifest",
    [
        '{"version": 2, "app": "a:b", "functions": {}}',
        '{"version": 1, "app": "a:b", "functions": {"cron": {"zip": "cron-0a1b2c.zip"}}}',
        "{}",
    ],
)
def test_a_manifest_of_another_kind_is_told(
    new_workspace: Callable[[], Workspace], manifest: str
) -> None:
    workspace = new_workspace()
    (workspace.folder.parent / "build" / "manifest.json").write_text(manifest)

    said = workspace.refusal("plan", "-input=false")

    assert (
        "names no application, or no zip of one of the functions, or is of another version" in said
    )
    assert said.count("Error: ") == 1


def test_what_the_application_declares_may_also_be_given(changed: Workspace) -> None:
    changed.configure(**SHOP, queue_names=["imports"], cron_names=[], default_queue="rest")

    plan = changed.plan()

    queues = {each["name"] for each in plan.of_type("google_cloud_tasks_queue").values()}
    assert queues == {"imports", "rest"}
    assert plan.of_type("google_cloud_scheduler_job") == {}

"""What would be made agrees with the code, its documentation and the runbooks."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

from adjourn.settings import Settings
from tests.hostile import deployment
from tests.terraform.deployed import functions
from tests.terraform.workspace import MODULE, ROOT, Plan

SHARED = ROOT / "shared" / "adjourn"


def test_every_setting_of_a_deployment_is_given(plan: Plan) -> None:
    function = plan.resources()['google_cloudfunctions2_function.main["deferred"]']
    given = set(function["service_config"][0]["environment_variables"])
    # Own services and addresses, people, other keys and local servers are for those who have them.
    optional = {"audiences", "people_audiences", "keys_url", "revision", "service_url"}
    optional |= {"tasks_host", "scheduler_host", "cleanup", "telemetry_flush"}
    optional |= {"envelope_key", "envelope_seal", "envelope_required"}

    assert {
        f"ADJOURN_{field.name.upper()}"
        for field in dataclasses.fields(Settings)
        if field.name not in optional
    } <= given


def test_hostile_requests_meet_functions_with_the_same_variables(plan: Plan) -> None:
    others = {"ADJOURN_DATABASE", "ADJOURN_FALLBACK_LOCATION", "SHOP_BATCH", "SHOP_CURRENCY"}

    for name, function in functions(plan).items():
        tested = deployment.environment(name, dict.fromkeys(deployment.NAMES, 1), {})
        assert function.environment.keys() - others <= tested.keys()


def test_all_kinds_that_expire_and_no_others_have_a_ttl_policy(plan: Plan) -> None:
    folders = (SHARED, ROOT / "local" / "adjourn_local")
    sources = [path.read_text() for folder in folders for path in folder.rglob("*.py")]
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
    titles = {re.sub(r".*\.(metric|log|missing_cron)\b|[.\[\]\"0-9]", "", a) for a in alerts}

    assert {title.removeprefix("google_monitoring_alert_policy") for title in titles} == {
        *("failing_attempts", "backlog", "delay"),
        *("server_errors", "refused_calls", "memory", "instances"),
        *("dead_letters", "retry_threshold", "stopped_iteration"),
        *("failing_startup", "fault", "public_access"),
        *("failing_cron", "burn_rate"),
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
        re.sub(r'.*(\["|policy\.)|("\]|\[0\])', "", address)
        for address in plan.of_type("google_monitoring_alert_policy")
        if ".missing_cron[" not in address
    }

    assert written == used | {"missing_cron"}


def test_the_dashboard_shows_what_the_metrics_count(plan: Plan) -> None:
    (dashboard,) = plan.of_type("google_monitoring_dashboard").values()
    shown = set(re.findall(r"logging.googleapis.com/user/(\w+)", dashboard["dashboard_json"]))

    metrics = plan.of_type("google_logging_metric")
    assert shown == {each["name"] for name, each in metrics.items() if ".event[" in name}

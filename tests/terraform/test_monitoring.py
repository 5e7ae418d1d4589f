"""Alerts, charts and metrics are such as Google's services read them, and hold when they should."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import promql_parser
import pytest
from google.cloud.monitoring_dashboard_v1 import Dashboard
from google.protobuf import json_format

from tests.terraform.conftest import A_LITTLE_OF_EVERYTHING, SHOP
from tests.terraform.filters import FilterError, logging_filter, monitoring_filter
from tests.terraform.workspace import Plan, Workspace

CHANNEL = "projects/shop-production/notificationChannels/{}"


def conditions(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    for address, policy in plan.of_type("google_monitoring_alert_policy").items():
        for condition in policy["conditions"]:
            yield address, condition


def promql(plan: Plan) -> dict[str, dict[str, Any]]:
    return {
        address: each["condition_prometheus_query_language"][0]
        for address, each in conditions(plan)
        if each["condition_prometheus_query_language"]
    }


def dashboard(plan: Plan) -> dict[str, Any]:
    (values,) = plan.of_type("google_monitoring_dashboard").values()
    return json.loads(values["dashboard_json"])


def test_time_series_are_filtered_in_the_language_of_monitoring(plan: Plan) -> None:
    (slo,) = plan.of_type("google_monitoring_slo").values()
    ratio = slo["request_based_sli"][0]["good_total_ratio"][0]
    charts = [
        each["timeSeriesQuery"]["timeSeriesFilter"]["filter"]
        for widget in dashboard(plan)["gridLayout"]["widgets"]
        for each in widget["xyChart"]["dataSets"]
    ]
    thresholds = [
        each["condition_threshold"][0]["filter"]
        for _, each in conditions(plan)
        if each["condition_threshold"]
    ]

    for text in [*charts, *thresholds, *filter(None, ratio.values())]:
        monitoring_filter(text)
    assert len(thresholds) == 6 + 3 + 2


def test_log_lines_are_filtered_in_the_language_of_logging(plan: Plan) -> None:
    metrics = [each["filter"] for each in plan.of_type("google_logging_metric").values()]
    matched = [
        each["condition_matched_log"][0]["filter"]
        for _, each in conditions(plan)
        if each["condition_matched_log"]
    ]

    for text in [*metrics, *matched]:
        logging_filter(text)
    assert len(matched) == 6


@pytest.mark.parametrize(
    "text",
    [
        'metric.type = "a" AND resource.type = "b" AND resource.labels.x = ("c" OR "d")',
        'metric.type = "a" AND resource.type = "b" AND jsonPayload.event = "c"',
        'metric.type = "a" AND resource.type = "b" AND metric.labels.x =~ "c"',
        'metric.type = "a" resource.type = "b"',
        'metric.type = "a"',
        'metric.type = "a" AND resource.type = "b" AND',
        'metric.type = "a" AND resource.type = one_of("b", "c"',
    ],
)
def test_what_monitoring_does_not_know_is_noticed(text: str) -> None:
    with pytest.raises(FilterError):
        monitoring_filter(text)


def test_logging_does_not_know_the_functions_of_monitoring() -> None:
    with pytest.raises(FilterError):
        logging_filter('resource.labels.x = one_of("a", "b")')


def test_queries_are_promql_within_the_limits_of_alerts(plan: Plan) -> None:
    found = promql(plan)

    assert len(found) == 3
    for address, condition in found.items():
        promql_parser.parse(condition["query"])
        window = int(condition["query"].rpartition("[")[2].partition("s]")[0])
        duration = int(condition["duration"].removesuffix("s"))
        # https://cloud.google.com/monitoring/alerts/using-promql#limitations
        assert duration <= 86_400, address
        assert window + duration <= 25 * 3600, address


def test_a_missing_cron_is_told_after_its_time_zeros_and_absence_alike(plan: Plan) -> None:
    found = promql(plan)
    often = found['google_monitoring_alert_policy.missing_cron["default"]']
    daily = found['google_monitoring_alert_policy.missing_cron["nightly"]']

    # Nothing is there before the first call: a query that needs no series, and time to call.
    for condition in (often, daily):
        assert condition["query"].endswith("or vector(0)) == 0")
        assert "absent" not in condition["query"]
    assert (often["duration"], daily["duration"]) == ("960s", "86400s")


def test_a_call_that_fails_is_told_if_none_succeeds(plan: Plan) -> None:
    condition = promql(plan)["google_monitoring_alert_policy.failing_cron[0]"]
    failed, _, succeeded = condition["query"].partition(" unless ")
    metrics = {
        each["name"]: each["filter"] for each in plan.of_type("google_logging_metric").values()
    }

    assert "user_adjourn_cron_failures" in failed
    assert "user_adjourn_cron_successes" in succeeded
    assert "severity >= ERROR" in metrics["adjourn_cron_failures"]
    assert "severity < ERROR" in metrics["adjourn_cron_successes"]
    assert condition["duration"] != "0s", "a retry needs its time"
    assert not [
        address
        for address in plan.resources()
        if "alert_policy.log" in address and "cron" in address
    ]


SCHEDULES = [
    ("* * * * *", 60, 960),
    ("*/5 * * * *", 300, 1200),
    ("7,37 * * * *", 1800, 2700),
    ("0-10/5 8-10 * * *", 21 * 3600 + 50 * 60, 21 * 3600 + 50 * 60 + 900),
    ("0 3 * * *", 86_400, 86_400),
    ("0 3,15 * * *", 43_200, 44_100),
    ("every 2 hours", 7200, 8100),
    ("every 10 minutes", 600, 1500),
]


def test_how_long_a_job_may_be_missing_follows_from_its_schedule(
    new_workspace: Callable[[], Workspace],
) -> None:
    workspace = new_workspace()
    crons = {f"c{n}": {"schedule": each[0]} for n, each in enumerate(SCHEDULES)}
    workspace.configure(**SHOP, cron_names=[], crons=crons)

    found = promql(workspace.plan())

    for number, (schedule, gap, duration) in enumerate(SCHEDULES):
        address = f'google_monitoring_alert_policy.missing_cron["c{number}"]'
        assert found[address]["duration"] == f"{duration}s", schedule
        window = 3600 if gap > 3600 else 300
        assert f"[{window}s]" in found[address]["query"], schedule
        assert gap <= duration + window, schedule


def test_the_dashboard_is_written_as_the_service_writes_it(plan: Plan) -> None:
    written = dashboard(plan)

    stored = json_format.MessageToDict(json_format.ParseDict(written, Dashboard.pb()()))

    assert stored == written


def test_a_link_into_the_logs_has_the_filter_as_it_is(plan: Plan) -> None:
    urls = [*_urls(plan.raw["planned_values"]["outputs"]["links"].get("value", {}))]
    policy = next(iter(plan.of_type("google_monitoring_alert_policy").values()))
    urls += [part.partition(")")[0] for part in policy["documentation"][0]["content"].split("](")]
    logs = [url for url in urls if "/logs/query" in url]

    assert logs
    for url in logs:
        query = unquote(urlsplit(url).path.partition(";query=")[2])
        assert "+" not in url
        logging_filter(query)


def _urls(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else []:
        yield from _urls(each)


def test_who_is_told_depends_on_how_bad_it_is(new_workspace: Callable[[], Workspace]) -> None:
    workspace = new_workspace()
    monitoring = {
        "notification_channels": [CHANNEL.format(1)],
        "channels_by_severity": {"CRITICAL": [CHANNEL.format(2)]},
        "user_labels": {"team": "shop"},
    }
    workspace.configure(**SHOP, monitoring=monitoring)

    alerts = workspace.plan().of_type("google_monitoring_alert_policy").values()

    told = {each["severity"]: each["notification_channels"] for each in alerts}
    assert told == {
        "CRITICAL": [CHANNEL.format(1), CHANNEL.format(2)],
        "ERROR": [CHANNEL.format(1)],
        "WARNING": [CHANNEL.format(1)],
    }
    assert all(each["user_labels"] == {"team": "shop"} for each in alerts)


def test_an_objective_has_alerts_on_how_fast_it_is_missed(plan: Plan) -> None:
    (slo,) = plan.of_type("google_monitoring_slo").values()
    (policy,) = (
        each
        for address, each in plan.of_type("google_monitoring_alert_policy").items()
        if "burn_rate" in address
    )

    assert (slo["goal"], slo["rolling_period_days"]) == (0.99, 30)
    rates = {
        each["condition_threshold"][0]["filter"]: each["condition_threshold"][0]["threshold_value"]
        for each in policy["conditions"]
    }
    name = "projects/shop-production/services/adjourn/serviceLevelObjectives/availability"
    assert rates == {
        f'select_slo_burn_rate("{name}", "3600s")': 14.4,
        f'select_slo_burn_rate("{name}", "21600s")': 6,
    }
    assert slo["slo_id"] == "availability"


def test_nothing_differs_once_it_was_applied(new_workspace: Callable[[], Workspace]) -> None:
    workspace = new_workspace()
    workspace.configure(
        **A_LITTLE_OF_EVERYTHING
        | {
            "project": "shop-applied",
            "database": {"is_created": True, "name": "shop"},
            "network": {"network": "shop"},
            "people": {"domain": "tasks.shop.example", "members": ["domain:shop.example"]},
            "people_audiences": ["client"],
        }
    )
    workspace.apply()

    assert workspace.plan().actions() == {}


@pytest.mark.parametrize(
    "way",
    [
        'policy.bindings.members = ("allUsers" OR "allAuthenticatedUsers")',
        "service.invokerIamDisabled = true",
        'service.metadata.annotations."run.googleapis.com/invoker-iam-disabled" = "true"',
    ],
)
def test_each_way_to_let_everybody_in_raises_the_alert(plan: Plan, way: str) -> None:
    alert = plan.resources()['google_monitoring_alert_policy.log["public_access"]']
    text = alert["conditions"][0]["condition_matched_log"][0]["filter"]

    first, _, ways = text.partition(" AND (")
    assert f"protoPayload.request.{way}" in ways
    assert ways.count(" OR ") == 1 + 2
    assert "activity" in first
    assert alert["severity"] == "CRITICAL"

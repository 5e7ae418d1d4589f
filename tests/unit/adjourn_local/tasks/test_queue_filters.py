"""What a filter of ListQueues lets through."""

import pytest
from google.cloud import tasks_v2

from adjourn_local.http.rpc import RpcError
from adjourn_local.tasks.queue_filters import parse

QUEUE = tasks_v2.Queue.pb(
    tasks_v2.Queue(
        name="projects/shop/locations/europe-west1/queues/Mail",
        state="PAUSED",
        rate_limits={"max_dispatches_per_second": 2.5, "max_concurrent_dispatches": 7},
        retry_config={"max_attempts": -1, "min_backoff": {"nanos": 500_000_000}},
        purge_time={"seconds": 1_767_225_600},
        http_target={
            "header_overrides": [
                {"header": {"key": "A", "value": "1"}},
                {"header": {"key": "B", "value": "two words"}},
                {"header": {"key": "C", "value": 'a "quoted" \\ word'}},
            ]
        },
    )
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "state: PAUSED",
        "state:PAUSED",
        "state = paused",
        "state != RUNNING",
        "state > RUNNING",
        'state = "PAUSED"',
        "name : mail",
        'name = "projects/shop/locations/europe-west1/queues/mail"',
        "name > projects",
        "rate_limits.max_dispatches_per_second = 2.5",
        "rateLimits.maxDispatchesPerSecond : 2.50",
        "rateLimits.max_concurrent_dispatches <= 7",
        "rate_limits.max_concurrent_dispatches < 8",
        "rate_limits.max_concurrent_dispatches >= 7",
        "rate_limits.max_concurrent_dispatches > 6.5",
        "retry_config.max_attempts = -1",
        "retry_config.min_backoff = 0.5s",
        'retry_config.min_backoff < "1s"',
        'purge_time = "2026-01-01T00:00:00Z"',
        'purge_time >= "2026-01-01T01:00:00+01:00"',
        "purge_time: *",
        "retry_config: *",
        "retry_config.max_attempts: *",
        "http_target.header_overrides.header.key = b",
        'http_target.header_overrides.header.value: "two w"',
        r'http_target.header_overrides.header.value = "a \"quoted\" \\ word"',
        "stackdriver_logging_config.sampling_ratio = 0",
        "NOT state = RUNNING",
        "-state = RUNNING",
        "-(state = RUNNING)",
        "NOT NOT state = PAUSED",
        "state = PAUSED AND name: mail",
        "state = PAUSED name: mail",
        "state = RUNNING OR name: mail",
        "state = (RUNNING OR PAUSED)",
        "state: (NOT RUNNING)",
        "state = PAUSED OR state = RUNNING AND name: mail",
        "(state = PAUSED)\n(name: mail)",
    ],
)
def test_a_queue_that_matches_is_let_through(text):
    assert parse(text)(QUEUE)


@pytest.mark.parametrize(
    "text",
    [
        "state: RUNNING",
        "state != PAUSED",
        "name = mail",
        'name: "mail "',
        "rate_limits.max_dispatches_per_second > 2.5",
        "retry_config.min_backoff >= 0.500001s",
        "app_engine_routing_override: *",
        "stackdriver_logging_config.sampling_ratio: *",
        "http_target.header_overrides.header.key = d",
        'http_target.http_method: "GET"',
        "-state = PAUSED",
        "NOT (state = RUNNING OR name: mail)",
        "state = (RUNNING OR DISABLED)",
        "name: mail AND (state = RUNNING OR state = DISABLED)",
        "state = PAUSED OR name: mail AND name: letters",
        'name: "AND" name: mail',
    ],
)
def test_a_queue_that_does_not_match_is_left_out(text):
    assert not parse(text)(QUEUE)


@pytest.mark.parametrize(
    "text",
    [
        "state",
        "state:",
        "= PAUSED",
        '"mail"',
        "state PAUSED",
        "state == PAUSED",
        "name =~ mail",
        "name: -mail",
        "state = AND",
        "state = PAUSED OR",
        "OR state = PAUSED",
        "(state = PAUSED",
        "state = PAUSED)",
        "state = ()",
        'name = "mail',
        "(" * 101 + "state = PAUSED" + ")" * 101,
        "NOT " * 2000 + "state = PAUSED",
        "speed = 1",
        "state.x = 1",
        "rate_limits = 1",
        "state = SLEEPING",
        "state = 2",
        "retry_config.max_attempts = many",
        "retry_config.min_backoff = 5",
        'purge_time > "yesterday"',
    ],
)
def test_what_is_no_filter_is_refused(text):
    with pytest.raises(RpcError) as caught:
        parse(text)

    assert caught.value.code.name == "INVALID_ARGUMENT"
    assert caught.value.message.startswith("The filter ")

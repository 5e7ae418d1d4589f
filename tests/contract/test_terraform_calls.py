"""The calls that Terraform's google provider makes for queues and jobs, one by one."""

import pytest
import requests

from tests.contract.scheduler_stack import LOCATION as JOBS_LOCATION
from tests.contract.scheduler_stack import prepared
from tests.contract.tasks_world import LOCATION, QUEUE, tasks_world


class Provider:
    """Sends requests as the provider does: a bearer token, `alt=json`, empty bodies."""

    def __init__(self, base):
        self._base = base

    def __call__(self, method, path, body=None, **query):
        answer = requests.request(
            method,
            self._base + path,
            params={"alt": "json", **query},
            json=body,
            headers={
                "Authorization": "Bearer x",
                "Content-Type": "application/json",
                "User-Agent": "Terraform/1.11.4 terraform-provider-google/7.45.0",
            },
            timeout=10,
        )
        return answer.status_code, answer.json()


@pytest.fixture
def world(loop, tmp_path):
    with tasks_world(loop, tmp_path / "state.db") as world, world.running():
        yield world


@pytest.fixture
def queues(world):
    return Provider(f"{world.url}/v2/")


@pytest.fixture
def jobs(loop, tmp_path):
    with prepared(loop, tmp_path) as stack, stack.running():
        yield Provider(f"{stack.rest}/v1/")


WANTED = {
    "name": QUEUE,
    "rateLimits": {"maxDispatchesPerSecond": 50, "maxConcurrentDispatches": 20},
    "retryConfig": {
        "maxAttempts": 7,
        "maxRetryDuration": "3600s",
        "minBackoff": "2s",
        "maxBackoff": "60s",
        "maxDoublings": 3,
    },
    "stackdriverLoggingConfig": {"samplingRatio": 0.5},
}


def test_a_queue_is_created_and_read_back_as_it_was_wanted(queues):
    status, created = queues("POST", f"{LOCATION}/queues", WANTED)
    _, read = queues("GET", QUEUE)

    assert status == 200
    assert read == created
    assert read["state"] == "RUNNING"
    assert read["retryConfig"] == WANTED["retryConfig"]
    assert read["stackdriverLoggingConfig"] == {"samplingRatio": 0.5}
    assert read["rateLimits"] == {**WANTED["rateLimits"], "maxBurstSize": 10}


def test_a_queue_without_settings_reads_back_with_every_default(queues):
    queues("POST", f"{LOCATION}/queues", {"name": QUEUE})

    _, read = queues("GET", QUEUE)

    assert read == {
        "name": QUEUE,
        "state": "RUNNING",
        "rateLimits": {
            "maxDispatchesPerSecond": 500,
            "maxBurstSize": 100,
            "maxConcurrentDispatches": 1000,
        },
        "retryConfig": {
            "maxAttempts": 100,
            "minBackoff": "0.100s",
            "maxBackoff": "3600s",
            "maxDoublings": 16,
        },
    }


def test_a_queue_s_http_target_is_read_back_as_it_was_wanted(queues):
    target = {
        "httpMethod": "POST",
        "uriOverride": {
            "scheme": "HTTPS",
            "host": "shop.example",
            "port": "8443",
            "pathOverride": {"path": "/in"},
            "queryOverride": {"queryParams": "a=1"},
            "uriOverrideEnforceMode": "IF_NOT_EXISTS",
        },
        "headerOverrides": [{"header": {"key": "X-A", "value": "1"}}],
        "oidcToken": {"serviceAccountEmail": "a@b.c", "audience": "https://shop.example"},
    }

    status, _ = queues("POST", f"{LOCATION}/queues", {"name": QUEUE, "httpTarget": target})
    _, read = queues("GET", QUEUE)
    _, without = queues("PATCH", QUEUE, {}, updateMask="httpTarget")

    assert status == 200
    assert read["httpTarget"] == target
    assert "httpTarget" not in without


def test_a_queue_s_app_engine_routing_is_read_back_with_its_host(queues):
    routing = {"service": "worker", "version": "v2", "instance": "i1"}

    queues("POST", f"{LOCATION}/queues", {"name": QUEUE, "appEngineRoutingOverride": routing})
    _, read = queues("GET", QUEUE)

    host = "i1.v2.worker.shop.appspot.com"
    assert read["appEngineRoutingOverride"] == {**routing, "host": host}


def test_a_block_that_was_removed_is_in_the_mask_and_goes_back_to_the_defaults(queues):
    queues("POST", f"{LOCATION}/queues", WANTED)

    status, updated = queues(
        "PATCH",
        QUEUE,
        {"retryConfig": {"maxAttempts": 9}},
        updateMask="rateLimits,retryConfig,stackdriverLoggingConfig",
    )

    assert status == 200
    assert updated["retryConfig"]["maxAttempts"] == 9
    assert updated["retryConfig"]["minBackoff"] == "0.100s"
    assert updated["rateLimits"]["maxDispatchesPerSecond"] == 500
    assert "stackdriverLoggingConfig" not in updated


def test_a_queue_is_paused_and_resumed_without_a_body(queues):
    queues("POST", f"{LOCATION}/queues", {"name": QUEUE})

    assert queues("POST", f"{QUEUE}:pause")[1]["state"] == "PAUSED"
    assert queues("GET", QUEUE)[1]["state"] == "PAUSED"
    assert queues("POST", f"{QUEUE}:resume")[1]["state"] == "RUNNING"


def test_a_deleted_queue_is_not_found(queues):
    queues("POST", f"{LOCATION}/queues", {"name": QUEUE})

    assert queues("DELETE", QUEUE) == (200, {})

    assert queues("GET", QUEUE)[0] == 404
    assert queues("DELETE", QUEUE)[0] == 404


def test_a_member_is_added_to_a_queue_s_policy_and_taken_out_again(queues):
    queues("POST", f"{LOCATION}/queues", {"name": QUEUE})
    status, policy = queues("POST", f"{QUEUE}:getIamPolicy")
    assert (status, policy) == (200, {"etag": "ACAB"})

    binding = {"role": "roles/cloudtasks.enqueuer", "members": ["serviceAccount:a@b.c"]}
    status, granted = queues(
        "POST", f"{QUEUE}:setIamPolicy", {"policy": {"etag": "ACAB", "bindings": [binding]}}
    )
    assert status == 200
    assert granted["bindings"] == [binding]
    assert queues("POST", f"{QUEUE}:getIamPolicy") == (200, granted)

    stale = queues("POST", f"{QUEUE}:setIamPolicy", {"policy": {"etag": "ACAB"}})
    assert (stale[0], stale[1]["error"]["status"]) == (409, "ABORTED")
    taken = queues("POST", f"{QUEUE}:setIamPolicy", {"policy": {"etag": granted["etag"]}})
    assert taken[0] == 200
    assert "bindings" not in queues("POST", f"{QUEUE}:getIamPolicy")[1]


JOB = f"{JOBS_LOCATION}/jobs/tick"
WANTED_JOB = {
    "name": JOB,
    "description": "calls the cron function",
    "schedule": "*/2 * * * *",
    "timeZone": "Europe/Berlin",
    "attemptDeadline": "320s",
    "retryConfig": {
        "retryCount": 1,
        "maxRetryDuration": "0s",
        "minBackoffDuration": "5s",
        "maxBackoffDuration": "3600s",
        "maxDoublings": 5,
    },
    "httpTarget": {
        "uri": "http://127.0.0.1:1/tick",
        "httpMethod": "POST",
        "body": "eyJhIjogMX0=",
        "headers": {"Content-Type": "application/json"},
        "oidcToken": {"serviceAccountEmail": "cron@p.iam.gserviceaccount.com", "audience": "a"},
    },
}


def test_a_job_is_created_resumed_and_read_back_as_it_was_wanted(jobs):
    status, _ = jobs("POST", f"{JOBS_LOCATION}/jobs", WANTED_JOB)
    assert status == 200

    status, resumed = jobs("POST", f"{JOB}:resume", {})
    _, read = jobs("GET", JOB)

    assert status == 200
    assert resumed == read
    assert read["state"] == "ENABLED"
    assert (
        read["httpTarget"].items()
        >= {
            key: WANTED_JOB["httpTarget"][key] for key in ("uri", "httpMethod", "body", "oidcToken")
        }.items()
    )
    for field in ("name", "description", "schedule", "timeZone", "attemptDeadline"):
        assert read[field] == WANTED_JOB[field]
    assert read["retryConfig"].items() >= {"retryCount": 1, "minBackoffDuration": "5s"}.items()


def test_a_job_is_updated_whole_without_a_mask(jobs):
    jobs("POST", f"{JOBS_LOCATION}/jobs", WANTED_JOB)

    status, updated = jobs("PATCH", JOB, {**WANTED_JOB, "schedule": "0 3 * * *", "description": ""})

    assert status == 200
    assert updated["schedule"] == "0 3 * * *"
    assert "description" not in updated


def test_a_job_is_paused_and_resumed_with_an_empty_object(jobs):
    jobs("POST", f"{JOBS_LOCATION}/jobs", WANTED_JOB)

    assert jobs("POST", f"{JOB}:pause", {})[1]["state"] == "PAUSED"
    assert jobs("GET", JOB)[1]["state"] == "PAUSED"
    assert jobs("POST", f"{JOB}:resume", {})[1]["state"] == "ENABLED"


def test_a_deleted_job_is_not_found(jobs):
    jobs("POST", f"{JOBS_LOCATION}/jobs", WANTED_JOB)

    assert jobs("DELETE", JOB) == (200, {})

    assert jobs("GET", JOB)[0] == 404

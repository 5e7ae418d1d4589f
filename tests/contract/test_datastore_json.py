"""Datastore over HTTP with JSON, as clients without protobuf speak to the service."""

import pytest
import requests

from adjourn_local.runtime.addresses import PROJECT
from adjourn_local.runtime.stack import Stack, running

KEY = {"path": [{"kind": "Order", "name": "a"}]}
ENTITY = {
    "key": KEY,
    "properties": {"n": {"integerValue": "7"}, "data": {"blobValue": "AP8="}},
}


@pytest.fixture(scope="module")
def call():
    stack = Stack(None)
    with running(stack):

        def call(method, content):
            url = f"{stack.ports.url('http')}/v1/projects/{PROJECT}:{method}"
            return requests.post(url, json=content, timeout=10)

        yield call


def test_entities_are_written_read_and_queried(call):
    commit = {"mode": "NON_TRANSACTIONAL", "mutations": [{"upsert": ENTITY}]}
    assert call("commit", commit).json()["indexUpdates"] >= 0

    (found,) = call("lookup", {"keys": [KEY]}).json()["found"]
    assert found["entity"]["properties"]["n"] == {"integerValue": "7"}
    assert found["entity"]["properties"]["data"] == {"blobValue": "AP8="}
    batch = call("runQuery", {"query": {"kind": [{"name": "Order"}]}}).json()["batch"]
    assert batch["entityResults"][0]["entity"]["key"]["path"] == KEY["path"]
    assert batch["endCursor"]


def test_an_error_is_json_as_google_has_it(call):
    refused = call("runQuery", {"query": {"kind": [{"name": "A"}, {"name": "B"}]}})

    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == 400
    assert refused.json()["error"]["status"] == "INVALID_ARGUMENT"


def test_what_is_no_request_is_refused(call):
    refused = call("lookup", {"kays": []})

    assert (refused.status_code, refused.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")

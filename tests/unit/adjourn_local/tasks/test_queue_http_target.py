import pytest
from google.cloud.tasks_v2.types import HttpRequest, HttpTarget, UriOverride

from adjourn_local.tasks.queue_http_target import overridden, overridden_url

URL = "http://user:pw@shop.example:81/a/b?c=d#e"
IF_NOT_EXISTS = UriOverride.UriOverrideEnforceMode.IF_NOT_EXISTS


@pytest.mark.parametrize(
    ("override", "url"),
    [
        ({}, URL),
        ({"scheme": "HTTPS"}, "https://user:pw@shop.example:81/a/b?c=d#e"),
        ({"scheme": 0}, "https://user:pw@shop.example:81/a/b?c=d#e"),
        ({"host": "h"}, "http://user:pw@h:81/a/b?c=d#e"),
        ({"port": 9}, "http://user:pw@shop.example:9/a/b?c=d#e"),
        ({"port": 0}, "http://user:pw@shop.example/a/b?c=d#e"),
        ({"path_override": {"path": "/x"}}, "http://user:pw@shop.example:81/x?c=d#e"),
        ({"path_override": {"path": "x"}}, "http://user:pw@shop.example:81/x?c=d#e"),
        ({"path_override": {}}, "http://user:pw@shop.example:81?c=d#e"),
        ({"query_override": {"query_params": "y"}}, "http://user:pw@shop.example:81/a/b?y#e"),
        ({"query_override": {}}, "http://user:pw@shop.example:81/a/b#e"),
    ],
)
def test_an_override_sets_the_parts_that_it_has(override, url):
    assert overridden_url(URL, UriOverride.pb(UriOverride(override))) == url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a", "http://a:9/x?y"),
        ("http://a:8/p?q", "http://a:8/p?q"),
        ("http://a/?q", "http://a:9/?q"),
        ("http://[::1]/", "http://[::1]:9/?y"),
        ("", "https://h:9/x?y"),
    ],
)
def test_an_override_may_give_way_to_what_the_task_has(url, expected):
    override = UriOverride(
        scheme="HTTPS",
        host="h",
        port=9,
        path_override={"path": "/x"},
        query_override={"query_params": "y"},
        uri_override_enforce_mode=IF_NOT_EXISTS,
    )

    assert overridden_url(url, UriOverride.pb(override)) == expected


def test_an_ipv6_address_keeps_its_brackets():
    override = UriOverride.pb(UriOverride(port=0, scheme="HTTPS"))

    assert overridden_url("http://[::1]:80/x", override) == "https://[::1]/x"


def test_a_header_is_replaced_in_whatever_spelling_the_task_has_it():
    request = HttpRequest(url=URL, headers={"X-KIND": "task", "x-kind": "task", "x-own": "1"})
    target = HttpTarget(header_overrides=[{"header": {"key": "X-Kind", "value": "queue"}}])

    result = overridden(HttpRequest.pb(request), HttpTarget.pb(target))

    assert dict(result.headers) == {"X-Kind": "queue", "x-own": "1"}
    assert request.headers["x-kind"] == "task"

"""Requests that the server understands in its own way before the function sees them."""

import pytest

from tests.hostile.deployment import NAMES, Deployment
from tests.hostile.wire import ask, head


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "headers",
    [
        {"SCRIPT_NAME": "/elsewhere"},
        {"SCRIPT-NAME": "/elsewhere"},
        {"PATH_INFO": "/elsewhere"},
        {"REMOTE_USER": "root"},
        {"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "off"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Host": ""},
        {"Host": "[::1"},
        {"Host": "xn--\xff"},
        {"Expect": "200-ok"},
        {"Function-Execution-Id": "\xff" * 5000},
        {"Traceparent": "00-" + "f" * 5000},
    ],
    ids=lambda headers: ",".join(headers)[:40] + str(len(str(headers))),
)
def test_no_header_makes_the_server_fail(
    deployment: Deployment, name: str, headers: dict[str, str]
) -> None:
    answer = ask(deployment.functions[name].port, head(headers=headers))

    assert answer.status in {400, 401, 417}

"""A browser that watches does not hold up the end of the stack."""

import time

from adjourn_local.runtime.stack import Stack, running
from tests.console.browser import Browser


def test_a_stack_ends_at_once_though_somebody_watches() -> None:
    stack = Stack(None)
    with running(stack):
        browser = Browser(stack.ports.http)
        watching = browser.stream("/console/now/events")
        lines = watching.__enter__()
        assert lines.readline() == b": hello\n"
        began = time.monotonic()

    assert time.monotonic() - began < 10  # aiohttp itself would wait for a minute
    rest = lines.read()
    assert rest.strip().startswith(b"event: instance\n")
    assert b"\nid: " not in rest
    watching.__exit__(None, None, None)

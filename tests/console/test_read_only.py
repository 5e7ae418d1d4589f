"""`adjourn console` shows a deployment and changes nothing, unless it is told that it may."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from adjourn_local.runtime.harness import RunningStack
from tests.console.application import pay
from tests.console.browser import Browser, Page

PAY = "tests.console.application.pay"


@pytest.fixture
def letter(stack: RunningStack) -> None:
    pay(31)
    stack.wait()


@pytest.fixture
def console() -> Iterator[Browser]:
    """Serve the console of the stack as that of a project, read-only."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ("console", "--app", "tests.console.application:app", "--port", f"{port}")
    process = subprocess.Popen([sys.executable, "-m", "adjourn_local", *command], env=os.environ)
    browser = Browser(port)
    try:
        for _ in range(600):
            with suppress(ConnectionError):
                browser.get("/console/settings")
                break
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        assert process.poll() is None
        yield browser
    finally:
        process.terminate()
        process.wait()


def letter_of(console: Browser) -> Page:
    page = console.get(f"/console/dead-letters?task={PAY}")
    return console.get(next(href for href in page.links.values() if "/letter/" in href))


@pytest.mark.usefixtures("letter")
def test_every_change_is_refused_though_all_is_shown(console: Browser) -> None:
    overview, letter = console.get("/console/dead-letters"), letter_of(console)
    pages = [
        overview,
        letter,
        console.get("/console/queues"),
        console.get("/console/periodic"),
        console.get("/console/periodic/function?name=tests.console.application.sweep"),
    ]

    for page in pages:
        assert "read-only" in page.text
        assert page.body.count("<button") == page.body.count(" disabled")
        for form in page.forms:
            refused = console.post(form.action, {**form.fields, "confirmed": "yes"})
            assert refused.status == 403
            assert "This console is read-only" in refused.text
    labels = {form.label for page in pages for form in page.forms}
    assert {"Replay", "Discard", "Edit and replay", "Pause", "Run", "Purge"} <= labels
    assert letter_of(console).text.count("order 31") == letter.text.count("order 31")

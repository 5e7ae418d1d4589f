"""Chromium, for tests that see what a web page can do."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# A host name that leads to this machine, as one of an attacker does after DNS rebinding.
REBOUND = "rebound.example"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium without a window, or skip the test with the reason why there is none.

    While it runs, an event loop runs in this thread. So a fixture of it must end with its module.
    """
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser is installed: none of {', '.join(PROGRAMS)} (Debian: chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=[f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1"]
        )
        with browser:
            yield browser

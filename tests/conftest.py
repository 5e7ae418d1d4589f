import os
import signal
from collections.abc import Generator, Iterator

import hypothesis
import pytest

from adjourn_local.runtime.loop import LoopThread


def pytest_configure() -> None:
    """Let Ctrl-C end this process and those that it starts: a shell's background job ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # On a machine with other work, an example may take any time.
    hypothesis.settings.register_profile("no deadline", deadline=None)
    hypothesis.settings.load_profile("no deadline")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let reports of tests that log lone surrogates go from one process to another."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start every test without the variables that would redirect a client or configure adjourn.

    What a command sets in this process, to lead it to a stack that runs here, ends with the test.
    """
    before = set(os.environ)
    for name in list(os.environ):
        if name.startswith(("ADJOURN_", "DATASTORE_", "GOOGLE_CLOUD_", "CLOUDTASKS_")):
            monkeypatch.delenv(name)
    yield
    for name in os.environ.keys() - before:
        del os.environ[name]


@pytest.fixture(scope="session")
def loop() -> Iterator[LoopThread]:
    """Return an event loop in a thread, on which servers under test can live."""
    with LoopThread() as thread:
        yield thread

import os
import signal
from collections.abc import Generator, Iterator
from contextlib import suppress

import pytest

from adjourn_local.runtime.loop import LoopThread


def pytest_configure() -> None:
    """Let Ctrl-C end this process and those that it starts: a shell's background job ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(ImportError):  # the environments of viur-core lack it
        from hypothesis import settings  # noqa: PLC0415

        # On a machine with other work, an example may take any time.
        settings.register_profile("no deadline", deadline=None)
        settings.load_profile("no deadline")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let reports of tests that log lone surrogates go from one process to another."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(autouse=True, scope="module")
def _clean_environment_of_module() -> Iterator[None]:
    """Let the fixtures of a module start without variables that lead to a stack of others."""
    with pytest.MonkeyPatch.context() as patch:
        _clean(patch)
        yield


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start every test without the variables that would redirect a client or configure adjourn.

    What a command sets in this process, to lead it to a stack that runs here, ends with the test.
    """
    before = set(os.environ)
    _clean(monkeypatch)
    yield
    for name in os.environ.keys() - before:
        del os.environ[name]


def _clean(patch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("ADJOURN_", "DATASTORE_", "GOOGLE_CLOUD_", "CLOUDTASKS_")):
            patch.delenv(name)


@pytest.fixture(scope="session")
def loop() -> Iterator[LoopThread]:
    """Return an event loop in a thread, on which servers under test can live."""
    with LoopThread() as thread:
        yield thread

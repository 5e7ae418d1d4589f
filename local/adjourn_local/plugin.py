"""The pytest plugin of the laptop stack; the library has one of its own."""

from collections import deque
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from adjourn_local.runtime.harness import RunningStack

_SHOWN = 200

_printed: pytest.StashKey[deque[str]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option `adjourn_enforce_iam` of pytest's configuration."""
    parser.addini(
        "adjourn_enforce_iam",
        "let functions and application do on the laptop stack only what Terraform grants them",
        type="bool",
        default=False,
    )


@pytest.fixture(scope="session")
def adjourn_stack(adjourn_spec: str, pytestconfig: pytest.Config) -> "Iterator[RunningStack]":
    """Yield a laptop stack that runs for the application under test on free ports.

    Until the end of the session, the application and Google's clients in this process use the
    stack. The functions' output is shown for each failed test.
    """
    from adjourn.errors import ConfigurationError  # noqa: PLC0415 - only if the fixture is used
    from adjourn.testing.plugin import app_under_test  # noqa: PLC0415
    from adjourn_local.errors import StackError  # noqa: PLC0415
    from adjourn_local.runtime.harness import running_for_tests  # noqa: PLC0415
    from adjourn_local.runtime.log_display import LogDisplay  # noqa: PLC0415
    from adjourn_local.runtime.stack_log import StackLog  # noqa: PLC0415

    app = app_under_test(adjourn_spec)
    lines = pytestconfig.stash.setdefault(_printed, deque(maxlen=_SHOWN))
    log = StackLog(LogDisplay(lines.append))
    try:
        enforces_iam = bool(pytestconfig.getini("adjourn_enforce_iam"))
        with running_for_tests(app, adjourn_spec, log.write, enforces_iam=enforces_iam) as running:
            yield running
    except (ConfigurationError, StackError) as error:
        pytest.fail(str(error), pytrace=False)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Discard the output of earlier tests."""
    item.config.stash.get(_printed, deque[str]()).clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the functions' output to the report of a failed test."""
    report = yield
    printed = item.config.stash.get(_printed, None)
    if printed and report.failed:
        report.sections.append(("What adjourn's functions printed", "\n".join(printed)))
    return report

"""The pytest plugin of the laptop stack, beside the one of the library."""

from collections import deque
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from adjourn_local.runtime.harness import RunningStack

_SHOWN = 200

_printed: pytest.StashKey[deque[str]] = pytest.StashKey()


@pytest.fixture(scope="session")
def adjourn_stack(adjourn_spec: str, pytestconfig: pytest.Config) -> "Iterator[RunningStack]":
    """Yield the laptop stack, running for the application under test on free ports.

    From here to the end of the session, the application and Google's clients in this process talk
    to it. What its functions print is shown where a test fails.
    """
    from adjourn.errors import ConfigurationError  # noqa: PLC0415 - for those who use it
    from adjourn.testing.plugin import app_under_test  # noqa: PLC0415
    from adjourn_local.errors import StackError  # noqa: PLC0415
    from adjourn_local.runtime.harness import running_for_tests  # noqa: PLC0415
    from adjourn_local.runtime.log_lines import readable  # noqa: PLC0415

    app = app_under_test(adjourn_spec)
    lines = pytestconfig.stash.setdefault(_printed, deque(maxlen=_SHOWN))

    def write(name: str, line: str) -> None:
        lines.append(f"[{name}] {readable(line)}")

    try:
        with running_for_tests(app, adjourn_spec, write) as running:
            yield running
    except (ConfigurationError, StackError) as error:
        pytest.fail(str(error), pytrace=False)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Forget what was printed during other tests."""
    item.config.stash.get(_printed, deque[str]()).clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the functions have printed where a test fails."""
    report = yield
    printed = item.config.stash.get(_printed, None)
    if printed and report.failed:
        report.sections.append(("What adjourn's functions printed", "\n".join(printed)))
    return report

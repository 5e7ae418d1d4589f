"""The pytest plugin of the library: the application under test in a sandbox."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from adjourn.app import App
    from adjourn.testing.sandbox import Sandbox


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option `adjourn_app` of pytest's configuration."""
    parser.addini("adjourn_app", "the application under test, as package.module:app")


@pytest.fixture(scope="session")
def adjourn_spec(pytestconfig: pytest.Config) -> str:
    """Return the location of the application under test, as `package.module:app`.

    It is `adjourn_app` of the configuration, unless a fixture of this name overrides this one.
    """
    return str(pytestconfig.getini("adjourn_app") or "")


@pytest.fixture
def adjourn_app(adjourn_spec: str, request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Yield a sandbox that records the calls of the application under test; see `fake`."""
    from adjourn.testing.context_managers import fake  # noqa: PLC0415 - only for tests that use it

    if "adjourn_stack" in request.fixturenames:
        pytest.fail(
            "The application can be in a sandbox or on the laptop stack, not in both: let this test"
            " use adjourn_app or adjourn_stack.",
            pytrace=False,
        )
    with fake(app_under_test(adjourn_spec)) as box:
        yield box


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add a hint to the report of a test that calls tasks without a sandbox."""
    report = yield
    error = call.excinfo and call.excinfo.value
    if type(error).__name__ == "ConfigurationError" and "adjourn cannot start" in str(error):
        hint = "In a test, use the fixture adjourn_app or adjourn_stack, or adjourn.testing.fake."
        report.sections.append(("adjourn", hint))
    return report


def app_under_test(spec: str) -> App:
    """Return an application; if it cannot be loaded, fail the test with the fix."""
    from adjourn.application.loading import load_app  # noqa: PLC0415
    from adjourn.errors import ConfigurationError  # noqa: PLC0415 - only for tests that use it

    if not spec:
        pytest.fail(
            "Say which application is tested, in pytest's configuration: adjourn_app ="
            " package.module:app; or let a fixture named adjourn_spec return it.",
            pytrace=False,
        )
    try:
        return load_app({"ADJOURN_APP": spec})
    except ConfigurationError as error:
        text = str(error).replace("ADJOURN_APP=", "adjourn_app=")
        hint = "With `pythonpath = .` in its configuration, pytest imports from its root folder."
        pytest.fail(f"{text}\n{hint}", pytrace=False)

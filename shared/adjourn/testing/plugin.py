"""The pytest plugin of the library: the application under test in a sandbox."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from adjourn.app import App
    from adjourn.testing.sandbox import Sandbox


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare what can be said in pytest's configuration."""
    parser.addini("adjourn_app", "the application under test, as package.module:app")


@pytest.fixture(scope="session")
def adjourn_spec(pytestconfig: pytest.Config) -> str:
    """Return where the application under test is, as `package.module:app`.

    The configuration's `adjourn_app` says it, unless a fixture of this name overrides this one.
    """
    return str(pytestconfig.getini("adjourn_app") or "")


@pytest.fixture
def adjourn_app(adjourn_spec: str, request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Yield the application under test in a sandbox that takes down its calls; see `fake`."""
    from adjourn.testing.modes import fake  # noqa: PLC0415 - for those who use it

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
    """Tell a test that calls tasks without a sandbox how it gets one."""
    report = yield
    error = call.excinfo and call.excinfo.value
    if type(error).__name__ == "ConfigurationError" and "adjourn cannot start" in str(error):
        hint = "In a test, use the fixture adjourn_app or adjourn_stack, or adjourn.testing.fake."
        report.sections.append(("adjourn", hint))
    return report


def app_under_test(spec: str) -> App:
    """Return an application; if it cannot be found, the test fails with what is to be done."""
    from adjourn.application.loading import load_app  # noqa: PLC0415
    from adjourn.errors import ConfigurationError  # noqa: PLC0415 - for those who use a fixture

    if not spec:
        pytest.fail(
            "Say which application is tested, in pytest's configuration: adjourn_app ="
            " package.module:app; or let a fixture named adjourn_spec return it.",
            pytrace=False,
        )
    try:
        return load_app({"ADJOURN_APP": spec})
    except ConfigurationError as error:
        told = str(error).replace("ADJOURN_APP=", "adjourn_app=")
        hint = "With `pythonpath = .` in its configuration, pytest imports from its root folder."
        pytest.fail(f"{told}\n{hint}", pytrace=False)

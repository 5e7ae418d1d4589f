"""The fixtures that users get in pytest."""

import os
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[4]
SHOP = """
import datetime as dt
import adjourn

app = adjourn.App()
done = []

@app.deferred
def send_receipt(order: str) -> None:
    done.append(order)

@app.deferred
def fail() -> None:
    raise RuntimeError("no paper")

@app.periodic(interval=dt.timedelta(hours=1), cron_name="hourly")
def sweep() -> None:
    done.append("swept")
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a project with an application, whose tests have the plugin and nothing of ours."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    pytester.makepyfile(shop=SHOP)
    pytester.makeini("[pytest]\npythonpath = .\nadjourn_app = shop:app\n")
    return pytester


def run(project: pytest.Pytester, test: str, *options: str) -> pytest.RunResult:
    project.makepyfile(test_shop=test)
    return project.runpytest_subprocess("-p", "adjourn.testing.plugin", *options)


def test_the_application_of_the_configuration_is_in_a_sandbox(project):
    result = run(
        project,
        """
        import pytest
        from shop import done, fail, send_receipt

        def test_one(adjourn_app):
            send_receipt("A-1")
            adjourn_app.assert_enqueued(send_receipt, "A-1")
            assert adjourn_app.drain() and done == ["A-1"]

        def test_another_begins_with_nothing(adjourn_app):
            assert adjourn_app.enqueued() == []
            adjourn_app.tick("hourly")
            adjourn_app.drain()
            assert done[-1] == "swept"

        def test_what_fails_is_raised(adjourn_app):
            fail()
            with pytest.raises(RuntimeError, match="no paper"):
                adjourn_app.drain()
        """,
    )

    result.assert_outcomes(passed=3)


def test_another_application_can_be_named_by_a_fixture(project):
    project.makepyfile(other=SHOP.replace('"swept"', '"mopped"'))
    project.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def adjourn_spec():
            return "other:app"
        """
    )

    result = run(
        project,
        """
        import other

        def test_it(adjourn_app):
            assert adjourn_app.app is other.app
        """,
    )

    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("", "*Say which application is tested, in pytest's configuration: adjourn_app = *"),
        ("shop", "*adjourn_app='shop' must be package.module:app*"),
        ("shopp:app", "*there is no module 'shopp'*"),
        ("shop:application", "*shop has no adjourn.App named 'application'*"),
    ],
)
def test_an_application_that_is_not_there_is_told_with_the_fix(project, named, told):
    project.makeini(f"[pytest]\npythonpath = .\nadjourn_app = {named}\n")

    result = run(project, "def test_it(adjourn_app): pass")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([told])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_test_without_a_sandbox_is_told_how_it_gets_one(project, monkeypatch):
    for name in [name for name in os.environ if name.startswith("ADJOURN_")]:
        monkeypatch.delenv(name)

    result = run(
        project,
        """
        from shop import send_receipt

        def test_it():
            send_receipt("A-1")

        def test_something_else():
            assert 0
        """,
    )

    result.assert_outcomes(failed=2)
    hints = [line for line in result.outlines if line.startswith("In a test, use the fixture")]
    assert len(hints) == 1


def test_a_test_cannot_have_a_sandbox_and_the_stack(project):
    project.makeconftest(
        """
        import pytest

        @pytest.fixture
        def adjourn_stack():
            pass
        """
    )

    result = run(project, "def test_it(adjourn_app, adjourn_stack): pass")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*let this test use adjourn_app or adjourn_stack*"])


def test_a_failing_assertion_shows_the_line_of_the_test_alone(project):
    result = run(
        project,
        """
        from shop import send_receipt

        def test_it(adjourn_app):
            send_receipt("A-1")
            adjourn_app.assert_enqueued(send_receipt, "A-2")
        """,
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([">*adjourn_app.assert_enqueued(send_receipt, *A-2*"])
    result.stdout.no_fnmatch_line("*sandbox.py*")


def test_nothing_is_imported_for_tests_that_use_no_fixture(project):
    result = run(
        project,
        """
        import sys

        def test_it():
            # google and google.cloud are namespaces, which an environment may make at its start.
            theirs = {"google.auth", "google.api_core", "google.cloud.datastore", "grpc", "flask"}
            assert not sys.modules.keys() & {*theirs, "google.cloud.tasks_v2", "shop"}
        """,
        *("-p", "adjourn_local.plugin"),
    )

    result.assert_outcomes(passed=1)

"""The laptop stack as a fixture, as users have it: in a project and an environment of their own."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import adjourn
from tests.installed import PATIENCE, copy_sources, install, make_environment

SHOP = """
import datetime as dt

import adjourn
from google.cloud import datastore

app = adjourn.App(datastore=lambda: datastore.Client())


def note(name: str) -> None:
    client = datastore.Client()
    client.put(datastore.Entity(client.key("Note", name)))


@app.deferred(queue="mail")
def send_receipt(order: str) -> None:
    note(order)


@app.deferred(max_retries=1)
def fail() -> None:
    raise RuntimeError("no paper")


@app.deferred(max_retries=99, min_backoff=0.1)
def never() -> None:
    raise RuntimeError("no ink")


@app.query_iter
class Visit(adjourn.QueryIter):
    def handle_entry(self, entry, custom_data):
        note(f"visited {entry.key.name}")
"""

TESTS = r"""
import datetime as dt

import pytest
from google.cloud import datastore
from shop import Visit, fail, never, send_receipt


def noted(name):
    client = datastore.Client()
    return client.get(client.key("Note", name)) is not None


def test_a_call_runs_in_the_function(adjourn_stack):
    send_receipt("A-1")
    adjourn_stack.wait()
    assert noted("A-1")


def test_an_iteration_ends(adjourn_stack):
    client = datastore.Client()
    client.put_multi([datastore.Entity(client.key("House", name)) for name in "ab"])
    run = Visit.start(client.query(kind="House"))
    adjourn_stack.wait()
    assert run.fetch().status == "finished"
    assert noted("visited a") and noted("visited b")


def test_what_is_far_ahead_is_not_waited_for_until_somebody_travels(adjourn_stack):
    before = adjourn_stack.now()
    send_receipt.options(delay=dt.timedelta(hours=5)).defer("late")
    adjourn_stack.wait()
    assert not noted("late")
    adjourn_stack.travel(by=dt.timedelta(hours=5))
    adjourn_stack.wait()
    assert noted("late")
    assert adjourn_stack.now() - before > dt.timedelta(hours=5)


def test_what_does_not_end_is_told(adjourn_stack):
    handle = never()
    with pytest.raises(AssertionError, match=r"shop.never on default, tried \d+ times"):
        adjourn_stack.wait(timeout=2)
    adjourn_stack.purge()
    adjourn_stack.wait()
    assert handle.fetch() is None


def test_the_sandbox_is_there_too(adjourn_app):
    send_receipt("A-2")
    adjourn_app.assert_enqueued(send_receipt, "A-2")


def test_a_failure_shows_what_the_functions_printed(adjourn_stack):
    fail()
    adjourn_stack.wait()
    assert not "as it should"
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment in which adjourn is installed, not checked out."""
    folder = tmp_path_factory.mktemp("installed")
    sources = copy_sources(folder / "adjourn")
    python = make_environment(folder / "venv")
    install(python, str(sources / "shared"), str(sources / "local"))
    shutil.rmtree(sources)
    return python


@pytest.fixture(scope="module")
def environment_of_a_user() -> Mapping[str, str]:
    """Return what a user's shell has."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """Return a project with an application and its tests."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "test_shop.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\nadjourn_app = shop:app\n")
    return tmp_path


def test_the_fixtures_work_where_adjourn_is_installed(
    python: Path, project: Path, environment_of_a_user: Mapping[str, str]
) -> None:
    told = subprocess.run(
        [str(python), "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=project,
        env=environment_of_a_user,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert "1 failed, 5 passed" in told.stdout, told.stdout + told.stderr
    assert re.search(rf"plugins: .*adjourn-local-{adjourn.__version__}", told.stdout)
    assert "FAILED test_shop.py::test_a_failure_shows_what" in told.stdout
    shown = told.stdout.split("What adjourn's functions printed")[1]
    assert re.search(r"shop\.fail [0-9a-f]{8} #1 WARNING failed: RuntimeError: no paper", shown)
    assert "RuntimeError: no paper" in shown
    assert str(python.parents[1]) in shown  # it is the installed library that ran

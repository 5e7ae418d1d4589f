"""What users import is pinned."""

import os
import subprocess
import sys
from pathlib import Path

import adjourn
from adjourn import errors


def test_the_public_names_are_sorted_and_exist():
    assert adjourn.__all__ == sorted(adjourn.__all__)
    assert all(hasattr(adjourn, name) for name in adjourn.__all__)


def test_every_error_has_one_root_but_for_what_steers_a_task():
    found = {e for e in vars(errors).values() if isinstance(e, type)}

    strangers = {e.__name__ for e in found if not issubclass(e, errors.AdjournError)}

    steering = {"Discard", "PermanentTaskFailure", "RetryLater", "Snooze", "TaskTimeoutError"}
    assert strangers == steering


def test_every_error_that_an_application_may_meet_is_public():
    found = {name for name, e in vars(errors).items() if isinstance(e, type)}

    of_requests = {
        "BodyError",
        "BrokenBodyError",
        "CallerError",
        "ForbiddenError",
        "KeysUnavailableError",
        "SlowBodyError",
        "TooLongBodyError",
        "UnauthenticatedError",
        "UnknownKeyError",
    }
    assert found - set(adjourn.__all__) == of_requests


def test_importing_adjourn_imports_nothing_of_google_and_no_web_framework():
    code = (
        "import sys, adjourn; adjourn.App();"
        "heavy = ('google.cloud.datastore', 'google.cloud.tasks_v2', 'grpc', 'flask');"
        "print([m for m in heavy if m in sys.modules])"
    )

    found = str(Path(adjourn.__file__).parents[1])

    said = subprocess.check_output(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"PYTHONPATH": found},
        text=True,
    )

    assert said.strip() == "[]"

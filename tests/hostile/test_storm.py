"""Hostile requests without end: nobody is let in, nothing fails, nothing runs but what may.

    HOSTILE=100000 .venv/bin/python -m pytest tests/hostile/test_storm.py -s

sends so many without a token and a fifth of it with a valid one. `HOSTILE_SEED` makes others.
"""

import os
import sys

import pytest

from tests.hostile.application import REGISTERED
from tests.hostile.deployment import Deployment
from tests.hostile.storm import Report, storm
from tests.hostile.wire import ask, head

COUNT = int(os.environ.get("HOSTILE", "3000"))
# gunicorn's answer to transfer codings that it does not know (RFC 9112, 6.1).
NOT_IMPLEMENTED = 501
MEGABYTES = 150


def told(report: Report) -> None:
    sys.stdout.write("\n" + "\n".join(report.lines()) + "\n")
    for shot, status in report.faults[:20]:
        sys.stdout.write(f"{status}: {shot}\n")


def faults(report: Report) -> list[object]:
    return [each for each in report.faults if each[1] != NOT_IMPLEMENTED]


def assert_well(deployment: Deployment, report: Report) -> None:
    """Assert that the functions hold no more than before, and still work."""
    for name, function in deployment.functions.items():
        assert ask(function.port, head("GET", "/")).status == 405
        before, after = report.before[name], report.after[name]
        assert after.threads <= before.threads + 12, name
        assert after.rss_mb <= before.rss_mb + MEGABYTES, name
        assert not [line for line in function.lines() if '"adjourn.fault"' in line]
        assert not [line for line in function.lines() if line.startswith("Traceback")]


def test_without_a_token_nobody_gets_in_and_nothing_fails(deployment: Deployment) -> None:
    before = deployment.executed()

    report = storm(deployment, COUNT, has_token=False)

    told(report)
    assert not faults(report)
    assert deployment.executed() == before
    assert_well(deployment, report)


@pytest.mark.usefixtures("deployment")
def test_with_a_token_nothing_fails_and_nothing_runs_but_what_is_registered(
    deployment: Deployment,
) -> None:
    report = storm(deployment, COUNT // 5, has_token=True)

    told(report)
    assert not faults(report)
    executed = deployment.executed()
    assert executed["plain"]  # some of it is good
    assert executed.keys() <= REGISTERED
    assert_well(deployment, report)

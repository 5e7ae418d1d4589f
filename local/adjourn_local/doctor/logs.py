"""What a function logs, told by one that is started here and refuses a request."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adjourn.log import LABELS
from adjourn_local.doctor.finding import Deployment, Finding, fault, summed_up

SUBJECT = "logs"

_MAIN = """
from adjourn.application.start import start
from adjourn.requests.http import function

wiring = start()
probe = function(wiring.receive_task, wiring.settings.project)
"""
# A client of the function that is served by nobody but this process: no port, no server.
_CALL = """
import sys
import functions_framework

client = functions_framework.create_app("probe", sys.argv[1]).test_client()
client.post("/probe", headers={"Function-Execution-Id": "doctor"})
"""
_TIMEOUT = 60
_EVENT, _EXECUTION = "caller.refused", "doctor"


def check(deployment: Deployment, source: Path) -> list[Finding]:
    """Return whether a function of this application logs as Cloud Logging reads it.

    Args:
        deployment: The deployment.
        source: The folder from which the application is imported.
    """
    with _probe(deployment, source) as (status, lines, errors):
        if status:
            said = " ".join(errors.split())[-300:]
            return [fault(SUBJECT, f"A function does not start: {said}", "mend what it says")]
        found = list(_faults(lines))
    return summed_up(SUBJECT, found, "A function's lines are read as events.")


@contextmanager
def _probe(deployment: Deployment, source: Path) -> Iterator[tuple[int, list[str], str]]:
    with tempfile.TemporaryDirectory(prefix="adjourn-") as folder:
        main = Path(folder) / "main.py"
        main.write_text(_MAIN)
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-c", _CALL, str(main)],
            env=_environment(deployment.environ, source),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        yield done.returncode, [*done.stdout.splitlines(), *done.stderr.splitlines()], done.stderr


def _environment(environ: Mapping[str, str], source: Path) -> Mapping[str, str]:
    paths = [str(source.resolve()), *filter(None, sys.path)]
    return {**environ, "LOG_EXECUTION_ID": "true", "PYTHONPATH": os.pathsep.join(paths)}


def _faults(lines: list[str]) -> Iterator[Finding]:
    fix = "leave the root logger to adjourn: no logging.config, no basicConfig in the application"
    entries = [_entry(each) for each in lines]
    found = next((each for each in entries if each and each.get("event") == _EVENT), None)
    if None in entries:
        text = lines[entries.index(None)][:80]
        yield fault(SUBJECT, f"A line is no JSON, so no alert sees it: {text}", fix)
    elif found is None:
        text = f"A refused request is not logged: the event {_EVENT} is missing."
        yield fault(SUBJECT, text, fix)
    elif found.get("severity") != "WARNING":
        yield fault(SUBJECT, "An event is logged without its severity.", fix)
    elif found.get(LABELS, {}).get("execution_id") != _EXECUTION:
        text = "A line lacks the id of its execution."
        yield fault(SUBJECT, text, "pip install --upgrade functions-framework")


def _entry(line: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None

"""What a function does at its start is paid for by every cold start."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.adjourn.test_settings import ENVIRONMENT

ROOT = Path(__file__).parents[3]
APP = """
import adjourn

app = adjourn.App()


@app.deferred
def task(): ...
"""
# What is needed only once something is delivered, enqueued, watched, given up, or declared.
LATER = {
    "adjourn.batches",
    "adjourn.debounce",
    "adjourn.execution.dead_letter",
    "adjourn.flow",
    "adjourn.gcp.bulk_change",
    "adjourn.gcp.cloudscheduler",
    "adjourn.gcp.cloudtasks",
    "adjourn.gcp.datastore_api",
    "adjourn.gcp.oidc",
    "adjourn.iteration.run_handle",
    "adjourn.iteration.shard_step",
    "adjourn.schedules",
    "adjourn.tasks.handle",
    "adjourn.tasks.results",
    "adjourn.telemetry",
    "adjourn.testing",
    "adjourn.viur",
    "adjourn.web",
    "google.api_core",
    "google.auth",
    "google.cloud.datastore",
    "google.cloud.tasks_v2",
    "grpc",
}
FIELDS = 8
START = """
import gc, json, sys, typing

import functions_framework

functions_framework.create_app(sys.argv[1], sys.argv[2])
ours = [module for name, module in sys.modules.items() if name.split(".")[0] == "adjourn"]
compiled = sorted({
    f"{value.__module__}.{value.__name__}"
    for module in ours
    for value in vars(module).values()
    if isinstance(value, type) and hasattr(value, "_fields")
    for annotations in [value.__dict__.get("__annotations__", {})]
    if sum(isinstance(each, typing.ForwardRef) for each in annotations.values()) >= int(sys.argv[3])
})
facts = {"modules": list(sys.modules), "compiled": compiled}
print(json.dumps({**facts, "frozen": gc.get_freeze_count(), "collects": gc.isenabled()}))
"""


@pytest.fixture(scope="module", params=["deferred", "cron", "queryiter"])
def started(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    (folder / "cold_app.py").write_text(APP)
    source = ROOT / "functions" / request.param / "main.py"
    path = os.pathsep.join(map(str, (folder, ROOT / "shared")))
    environment = {**os.environ, **ENVIRONMENT, "ADJOURN_APP": "cold_app:app", "PYTHONPATH": path}
    command = [sys.executable, "-c", START, request.param, str(source), str(FIELDS)]
    return json.loads(subprocess.check_output(command, env=environment, text=True))


def test_nothing_is_imported_that_a_plain_start_does_not_need(started):
    assert sorted(LATER & set(started["modules"])) == []


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="annotations are evaluated when asked for")
def test_the_annotations_of_large_named_tuples_are_not_compiled_one_by_one(started):
    assert started["compiled"] == []


def test_the_garbage_collector_leaves_what_was_loaded_alone_and_goes_on(started):
    assert started["frozen"] > 10_000
    assert started["collects"]

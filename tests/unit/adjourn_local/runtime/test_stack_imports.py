"""What the process of a stack imports before it is ready is waited for at every start."""

import json
import subprocess
import sys

LATER = {
    "adjourn.app",
    "adjourn.gcp.cloudtasks",
    "adjourn_local.console.site",
    "adjourn_local.tasks.queue_statistics",
    "google.cloud.datastore",
    "google.cloud.tasks_v2beta2",
    "google.cloud.tasks_v2beta3",
    "jinja2",
}
START = """
import asyncio, json, sys

from adjourn_local.commands import up
from adjourn_local.runtime.stack import Stack


async def main():
    async with Stack(None):
        print(json.dumps(list(sys.modules)))


asyncio.run(main())
"""


def test_a_stack_is_ready_before_it_imports_what_only_some_clients_need():
    said = subprocess.check_output([sys.executable, "-c", START], text=True)

    loaded = set(json.loads(said.splitlines()[-1]))
    assert sorted(LATER & loaded) == []
    assert "adjourn_local.tasks.older_versions" in loaded

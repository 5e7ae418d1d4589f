"""What the library itself imports is its own dependency, pinned with hashes."""

import re
import tomllib

import pytest

from tests.checkout import ROOT

DIRECT = {
    "flask": "flask",
    "functions-framework": "",  # it runs the functions
    "google-auth": "google.auth",
    "google-cloud-datastore": "google.cloud.datastore",
    "google-cloud-scheduler": "google.cloud.scheduler_v1",
    "google-cloud-tasks": "google.cloud.tasks_v2",
}


@pytest.mark.parametrize("name", DIRECT)
def test_what_is_imported_is_a_direct_dependency(name):
    project = tomllib.loads((ROOT / "shared" / "pyproject.toml").read_text())["project"]
    pinned = (ROOT / "requirements.txt").read_text()
    sources = "\n".join(path.read_text() for path in (ROOT / "shared" / "adjourn").rglob("*.py"))

    assert name in {re.split("[>=<]", each)[0] for each in project["dependencies"]}
    assert re.search(rf"^{name}==[0-9.]+ \\\n    --hash=sha256:[0-9a-f]+", pinned, re.MULTILINE)
    assert (
        re.search(rf"^ *from {re.escape(DIRECT[name])}[. ]", sources, re.MULTILINE)
        or not DIRECT[name]
    )

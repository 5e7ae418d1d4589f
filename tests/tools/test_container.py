"""The container file of the emulators: what it copies, installs and starts."""

import json
import re
import shutil
import subprocess
import tomllib

import pytest
import requests

from adjourn_local.cli import _parser
from adjourn_local.runtime.ports import find_free
from tests.checkout import ROOT

FILE = ROOT / "local" / "Dockerfile"
TEXT = FILE.read_text()
PIN = r"^[a-z0-9._-]+==[^ ;]+"


def test_what_it_copies_is_there_and_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [
        word for line in re.findall(r"^COPY (.*) \S+$", TEXT, re.MULTILINE) for word in line.split()
    ]

    assert copied
    assert all((ROOT / name).exists() for name in copied)
    assert {f"!{name}" for name in copied} == {line for line in ignored if line.startswith("!")}


def test_every_dependency_is_pinned():
    assert PIN in TEXT
    pinned = re.findall(PIN, (ROOT / "requirements-dev.txt").read_text(), re.MULTILINE)
    names = {pin.partition("==")[0] for pin in pinned}
    for package, key in (("shared", "project"), ("local", "tool")):
        content = tomllib.loads((ROOT / package / "pyproject.toml").read_text())
        part = content[key] if key == "project" else content[key]["hatch"]["metadata"]["hooks"]
        dependencies = (part if key == "project" else part["custom"])["dependencies"]
        assert {re.split("[>=<~]", each)[0] for each in dependencies} <= names


def test_what_it_starts_is_a_command_that_listens_for_others():
    program, *words = json.loads(re.search(r"^ENTRYPOINT (.*)$", TEXT, re.MULTILINE)[1])
    options = _parser(words).parse_args(words)

    assert program == "adjourn"
    assert (options.bind, options.port, str(options.state)) == ("0.0.0.0", 8710, "/state")
    assert re.search(r"^EXPOSE 8710 8711$", TEXT, re.MULTILINE)


def test_it_can_be_built_and_used():
    if not shutil.which("docker"):
        pytest.skip("building a container needs docker, not installed here")
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.skip("building a container needs a running docker daemon")
    build = ["docker", "build", "-q", "-f", str(FILE), str(ROOT)]
    image = subprocess.run(build, capture_output=True, text=True, check=True).stdout.strip()
    (port,) = find_free(1)
    run = ["docker", "run", "--rm", "-d", "-p", f"127.0.0.1:{port}:8711", image]
    container = subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    try:
        wait = 'until [ "$(docker inspect -f {{.State.Health.Status}} $0)" = healthy ]; do :; done'
        subprocess.run(["sh", "-c", wait, container], check=True, timeout=60)
        assert requests.get(f"http://127.0.0.1:{port}/", timeout=10).text == "Ok\n"
    finally:
        subprocess.run(["docker", "stop", container], capture_output=True, check=True)

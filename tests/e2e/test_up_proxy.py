"""Nothing that stays on this machine goes through a proxy."""

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.up_process import SHOP, up

NAMES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")
# The client at the top of the module also needs the variables while it is imported.
STORE = """
import urllib.request
from google.cloud import datastore

client = datastore.Client()


@app.deferred(once=True)
def store(url):
    client.put(datastore.Entity(client.key("Kept", "it")))
    say("stored", client.project, urllib.request.urlopen(url).status)
"""


class Proxy:
    """A proxy that nobody is to use."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0)
        url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.variables = {form: url for name in NAMES for form in (name, name.upper())}

    def is_unused(self) -> bool:
        try:
            self._listener.accept()
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    proxy = Proxy()
    for name, value in proxy.variables.items():
        monkeypatch.setenv(name, value)
    yield proxy
    proxy.close()


def adjourn(folder: Path, variables: Mapping[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "adjourn_local", *words],
        cwd=folder,
        env={**variables, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_stack_functions_and_commands_reach_each_other(tmp_path: Path, proxy: Proxy) -> None:
    (tmp_path / "shop.py").write_text(SHOP + STORE)
    with up(tmp_path, "--port", "0", "--memory") as stack:
        stack.ready()
        keys = stack.variables["ADJOURN_KEYS_URL"]
        stack.call("shop.store", keys)
        stack.find("stored adjourn-local 200")

        # As the user's shell has it, which has the proxies, but not what `up` has printed of them.
        printed = {k: v for k, v in stack.variables.items() if k.lower() != "no_proxy"}
        shell = {**proxy.variables, **printed}
        adjourn(tmp_path, shell, "clock", "show")
        adjourn(tmp_path, shell, "runs", "list")
        adjourn(tmp_path, shell, "dead", "list")
        adjourn(tmp_path, shell, "cron", "list", "--app", "shop:app")
        adjourn(tmp_path, {**shell, "ADJOURN_APP": "shop:app"}, "doctor")
        assert (
            stack.variables["no_proxy"] == stack.variables["NO_PROXY"] == "127.0.0.1,::1,localhost"
        )
        assert proxy.is_unused()

"""A stack whose shell allows few open files, and more clients than that."""

import re
import subprocess
import sys
from contextlib import ExitStack, closing

import pytest

from adjourn_local.http.http2_frames import HEADERS
from tests.http2_clients import Wire, request

FEW = 128
CLIENTS = 200
COMMAND = (sys.executable, "-m", "adjourn_local", "emulators", "--port", "0", "--memory")


@pytest.fixture
def address(tmp_path):
    limited = ("sh", "-c", f'ulimit -S -n {FEW} && exec "$0" "$@"', *COMMAND)
    with subprocess.Popen(limited, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout:
                if found := re.search(r"\(gRPC\) +(\S+:\d+)", line):
                    yield found[1]
                    break
        finally:
            process.terminate()
            process.communicate()


def test_more_clients_are_served_than_the_shell_allows_files(address):
    with ExitStack() as opened:
        clients = [opened.enter_context(closing(Wire(address))) for _ in range(CLIENTS)]
        for client in clients:
            client.send(request(1))
        for client in clients:
            client.until(HEADERS, 1)

"""Cloud Run: what it adds to a deployed function, and whom its front end lets in."""

import dataclasses
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from google.auth import jwt

from adjourn_local.http.sender import HandlerResponse, Outgoing
from adjourn_local.iam.policy import Binding
from adjourn_local.runtime.accounts import Accounts
from adjourn_local.runtime.stack import Stack, running
from tests.terraform.cloud import Cloud, Directory
from tests.terraform.deployed import DeployedFunction, Grant

TRACE = "0af7651916cd43dd8448eb211c80319c"
_SPAN = "b7ad6b7169203331"
_INVOKER = "roles/run.invoker"


class FrontEnd(Directory):
    """Lets in whoever has roles/run.invoker, and takes the signature off the token.

    Source: https://cloud.google.com/run/docs/troubleshooting#signature-removed.

    Attributes:
        invokers: The accounts that may call each address.
        certificates: Returns the keys of the tokens, as Google publishes them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.invokers: dict[str, set[str]] = {}
        self.certificates: Callable[[], Mapping[str, str]] = dict

    async def send(self, request: Outgoing, deadline: float) -> HandlerResponse:
        address = "/".join(request.url.split("/", 3)[:3])
        headers = dict(request.headers)
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        if not self._is_let_in(token, address):
            return HandlerResponse(status=403, error="", retry_after=None)
        headers["Authorization"] = f"Bearer {token.rpartition('.')[0]}.SIGNATURE_REMOVED_BY_GOOGLE"
        headers["traceparent"] = f"00-{TRACE}-{_SPAN}-01"
        passed = dataclasses.replace(request, headers=tuple(headers.items()))
        return await super().send(passed, deadline)

    def _is_let_in(self, token: str, address: str) -> bool:
        try:
            claims = jwt.decode(token, certs=self.certificates(), audience=address)
        except ValueError:
            return False
        return claims["email"] in self.invokers.get(address, ())


@contextmanager
def clouds(emails: list[str]) -> Iterator[Cloud]:
    """Serve Tasks, Scheduler and Datastore, with a port for each account."""
    front_end = FrontEnd()
    stack = Stack(None, sender=front_end, accounts=Accounts(emails))
    with running(stack):
        front_end.certificates = lambda: stack.issuer._certificates(None)
        yield Cloud(stack, front_end)


def enforce(cloud: Cloud, grants: Mapping[str, set[Grant]], urls: Mapping[str, str]) -> None:
    """Let accounts do what Terraform grants to them, and nothing else.

    Args:
        cloud: The services.
        grants: What `deployed.grants` returns.
        urls: The address of each service by its name.
    """
    cloud.stack.accounts.policy = dataclasses.replace(
        cloud.stack.accounts.policy,
        bindings=tuple(
            Binding(
                member=f"serviceAccount:{email}",
                role=grant.role,
                resource=grant.resource,
                condition=grant.condition,
            )
            for email, found in grants.items()
            for grant in found
        ),
    )
    for name, url in urls.items():
        cloud.directory.invokers[url] = {
            email
            for email, found in grants.items()
            for grant in found
            if grant.role == _INVOKER and grant.resource.endswith(f"/services/{name}")
        }


class Instance:
    """One instance of a function, started as the buildpack's image starts it.

    Source: the web process of GoogleCloudPlatform/buildpacks, cmd/python/functions_framework.
    """

    def __init__(self, function: DeployedFunction, code: Path, environment: Mapping[str, str]):
        self.function = function
        self._lines: list[str] = []
        self._grown = threading.Condition()
        self.process = subprocess.Popen(
            [str(Path(sys.executable).parent / "functions-framework")],
            cwd=code,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._grown:
                self._lines.append(line.rstrip("\n"))
                self._grown.notify_all()

    def find(self, is_wanted: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        """Return the first line that is wanted, waiting for it if need be."""
        with self._grown:
            self._grown.wait_for(lambda: any(map(is_wanted, self.entries())), timeout=30)
            found = next(filter(is_wanted, self.entries()), None)
        assert found, "\n".join(self._lines)
        return found

    def entries(self) -> list[Mapping[str, Any]]:
        """Return what Cloud Logging makes of the lines: JSON as it is, text as its message."""
        return [_entry(line) for line in list(self._lines)]

    @property
    def memory_mb(self) -> float:
        """The most memory that its processes have held at a time."""
        pids = [self.process.pid, *_children(self.process.pid)]
        return sum(_peak_kb(pid) for pid in pids) / 1024

    def stop(self) -> int:
        """Tell it to stop, as Cloud Run does, and return the exit status."""
        self.process.terminate()
        try:
            status = self.process.wait(10)  # then Cloud Run kills it
        finally:
            self.process.kill()
            self._reader.join(10)
            if self.process.stdout:
                self.process.stdout.close()
        return status


def environment(function: DeployedFunction, port: int, home: Path) -> dict[str, str]:
    """Return the variables of a container: Terraform's, Cloud Run's, and those of the image.

    Sources: https://cloud.google.com/run/docs/container-contract#env-vars and
    https://cloud.google.com/functions/docs/configuring/env-var#runtime_environment_variables_set_automatically.
    """
    platform = added(function.service, port) | {
        "CLOUD_RUN_TIMEOUT_SECONDS": str(function.timeout_seconds),
        "FUNCTION_SIGNATURE_TYPE": "http",
        "FUNCTION_TARGET": function.entry_point,
    }
    image = {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONUNBUFFERED": "TRUE",
    }
    both = function.environment.keys() & platform.keys()
    assert not both, f"{both} are set by the platform"
    return {**image, **function.environment, **platform}


def added(service: str, port: int) -> dict[str, str]:
    """Return the variables that Cloud Run adds to those of a service."""
    return {
        "K_CONFIGURATION": service,
        "K_REVISION": f"{service}-00001-xyz",
        "K_SERVICE": service,
        "PORT": str(port),
    }


def wait_for(port: int) -> None:
    give_up = time.monotonic() + 60
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert time.monotonic() < give_up, f"nothing answers at port {port}"
        time.sleep(0.05)


def _entry(line: str) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"textPayload": line}


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    found = [int(each) for each in text.split()]
    return [*found, *(grandchild for each in found for grandchild in _children(each))]


def _peak_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))

"""The laptop's services without functions, queues or jobs, for what Terraform makes there."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from adjourn import App
from adjourn_local.http.faults import FaultInjectingSender
from adjourn_local.http.sender import HandlerResponse, Outgoing
from adjourn_local.runtime.stack import Stack, running
from adjourn_local.timing.clocks import MachineClock
from tests.terraform.invented import PROJECT_NUMBER
from tests.terraform.workspace import Workspace


class Directory(FaultInjectingSender):
    """Finds the functions at home: it stands for the DNS, and for TLS, of their real addresses.

    Attributes:
        homes: Where each address really leads to.
    """

    def __init__(self) -> None:
        super().__init__(MachineClock())
        self.homes: dict[str, str] = {}

    def list_function(self, service: str, region: str, home: str) -> None:
        self.homes[f"https://{service}-{PROJECT_NUMBER}.{region}.run.app"] = home

    async def send(self, request: Outgoing, deadline: float) -> HandlerResponse:
        address = "/".join(request.url.split("/", 3)[:3])
        if address not in self.homes:
            return HandlerResponse(status=None, error="UNAVAILABLE", retry_after=None)
        url = request.url.replace(address, self.homes[address], 1)
        return await super().send(dataclasses.replace(request, url=url), deadline)


@dataclasses.dataclass(frozen=True)
class Cloud:
    """Services without anything in them.

    Attributes:
        stack: The services.
        directory: Where requests find the functions.
    """

    stack: Stack
    directory: Directory

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.stack.ports.grpc}"

    def emulators(self) -> dict[str, str]:
        """Return the variables that lead Google's clients here, and none of adjourn's settings."""
        environment = self.stack.ports.environment()
        return {
            name: environment[name]
            for name in ("CLOUDTASKS_EMULATOR_HOST", "DATASTORE_EMULATOR_HOST", "ADJOURN_KEYS_URL")
        }


@contextmanager
def clouds() -> Iterator[Cloud]:
    directory = Directory()
    stack = Stack(None, sender=directory)
    with running(stack):
        yield Cloud(stack, directory)


def lead(
    app: App, workspace: Workspace, cloud: Cloud, patch: pytest.MonkeyPatch, project: str
) -> None:
    """Let this process enqueue with the settings that Terraform hands to applications."""
    for name, value in (workspace.output("environment") | cloud.emulators()).items():
        patch.setenv(name, value)
    patch.setenv("GOOGLE_CLOUD_PROJECT", project)
    patch.setattr(app, "_wiring", None)  # others use this application elsewhere

"""Where a stack's servers and functions listen, and the variables that lead there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from adjourn_local.runtime.accounts import emulators
from adjourn_local.runtime.function_programs import NAMES
from adjourn_local.runtime.ports import HOST

PROJECT = "adjourn-local"
LOCATION = "europe-west1"
SERVICE_ACCOUNT = "tasks@adjourn-local.iam.gserviceaccount.com"
QUEUE = "default"
USER_AUDIENCE = "people.adjourn-local.apps.googleusercontent.com"


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports on loopback of the servers and the functions.

    Attributes:
        service: URL below which a server of the application's own serves the functions; "" if the
            stack does.
    """

    grpc: int
    http: int
    deferred: int
    cron: int
    queryiter: int
    service: str = ""

    @classmethod
    def at(cls, numbers: Sequence[int], service: str = "") -> Self:
        """Return five ports, given in the order of the fields."""
        grpc, http, deferred, cron, queryiter = numbers
        return cls(grpc, http, deferred, cron, queryiter, service)

    def numbers(self) -> Sequence[int]:
        """Return the five ports."""
        return self.grpc, self.http, self.deferred, self.cron, self.queryiter

    def url(self, name: str) -> str:
        """Return the base URL of a function, or of the HTTP server for the name `http`."""
        if self.service and name in NAMES:
            return f"{self.service}/{name}"
        return f"http://{HOST}:{getattr(self, name)}"

    def moved_from(self, former: "Ports") -> Mapping[str, str]:
        """Return the base URL of each function by the former one, if that was another."""
        moved = {former.url(name): self.url(name) for name in NAMES}
        return {before: now for before, now in moved.items() if before != now}

    def environment(self) -> Mapping[str, str]:
        """Return the variables that point adjourn and Google's clients to this stack."""
        return {
            "ADJOURN_PROJECT": PROJECT,
            "ADJOURN_LOCATION": LOCATION,
            "ADJOURN_QUEUE": QUEUE,
            "ADJOURN_DEFERRED_URL": self.url("deferred"),
            "ADJOURN_QUERYITER_URL": self.url("queryiter"),
            "ADJOURN_CRON_URL": self.url("cron"),
            **({"ADJOURN_SERVICE_URL": self.service} if self.service else {}),
            "ADJOURN_SERVICE_ACCOUNT": SERVICE_ACCOUNT,
            "ADJOURN_PEOPLE_AUDIENCES": USER_AUDIENCE,
            "ADJOURN_KEYS_URL": f"{self.url('http')}/oauth2/v1/certs",
            **emulators(f"{HOST}:{self.grpc}"),
            "CLOUD_TASKS_EMULATOR_HOST": f"{HOST}:{self.http}",  # of Firebase
            "DATASTORE_DATASET": PROJECT,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
        }

"""The queues and cron names of an application, for Terraform and compared with a Terraform plan."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from adjourn import App
from adjourn.state.cleanup import CRON_NAME
from adjourn_local.errors import PackageError

_QUEUE = "google_cloud_tasks_queue"
_JOB = "google_cloud_scheduler_job"
_FUNCTION = "google_cloudfunctions2_function"


@dataclass(frozen=True, slots=True)
class Names:
    """Names of queues, and cron names, which end the URLs that Cloud Scheduler jobs call."""

    queues: frozenset[str]
    crons: frozenset[str]

    @classmethod
    def declared(cls, app: App, default_queue: str) -> Self:
        """Return the names that an application declares."""
        return cls(app.queues(default_queue), app.cron_names())

    @classmethod
    def exported(cls, path: Path) -> Self:
        """Read a file with the text that `tfvars` has returned.

        Raises:
            PackageError: The file is not such a text.
        """
        variables = _mapping(path.read_text(encoding="utf-8"), str(path))
        try:
            return cls(frozenset(variables["queue_names"]), frozenset(variables["cron_names"]))
        except (KeyError, TypeError):
            raise PackageError(f"{path} was not written by `adjourn export tfvars`.") from None

    @classmethod
    def planned(cls, plan: str, where: str) -> Self:
        """Read the names that will exist after a plan, as `terraform show -json` prints it.

        Raises:
            PackageError: The text is not such a plan.
        """
        values = _mapping(plan, where).get("planned_values")
        if not isinstance(values, dict):
            raise PackageError(f"{where} is not a plan as `terraform show -json` prints it.")
        resources = list(_resources(values.get("root_module", {})))
        return cls(
            frozenset(each["values"]["name"] for each in resources if each["type"] == _QUEUE),
            frozenset(_cron(each) for each in resources if each["type"] == _JOB),
        )

    def tfvars(self) -> str:
        """Return the text of a Terraform variables file."""
        variables = {"cron_names": sorted(self.crons), "queue_names": sorted(self.queues)}
        return json.dumps(variables, indent=2) + "\n"

    def missing(self, planned: "Names") -> list[str]:
        """Return a sentence, with the fix, for each name that is missing in the plan."""
        return [
            *(
                f"There is no queue {name!r}; add it to queue_names or queues."
                for name in sorted(self.queues - planned.queues)
            ),
            *(
                f"No Cloud Scheduler job calls the cron name {name!r}; add it to cron_names"
                " or crons."
                for name in sorted(self.crons - planned.crons)
            ),
        ]

    def superfluous(self, planned: "Names") -> list[str]:
        """Return a sentence for each planned job whose cron name is not declared."""
        return [
            f"A Cloud Scheduler job calls the cron name {name!r}, which the application does"
            " not declare."
            for name in sorted(planned.crons - self.crons - {CRON_NAME})
        ]


def removals(plan: str, where: str) -> list[str]:
    """Return a sentence, with the fix, for every protected queue that a plan deletes.

    Terraform refuses it too, but only when the code has changed and the permissions are gone.

    Raises:
        PackageError: It is no plan as `terraform show -json` prints it.
    """
    changes = _mapping(plan, where).get("resource_changes", [])
    queues = (each["change"] for each in changes if each["type"] == _QUEUE)
    removed = (each["before"] for each in queues if "delete" in each["actions"])
    return [
        f"The queue {queue['name']!r} in {queue['location']} would be deleted; add it to"
        " retired_queues until it is empty."
        for queue in sorted(removed, key=lambda each: (each["location"], each["name"]))
        if queue.get("deletion_policy") == "PREVENT"
    ]


def removed_functions(plan: str, where: str) -> list[str]:
    """Return a sentence for every function that a plan removes and does not make again.

    Raises:
        PackageError: It is no plan as `terraform show -json` prints it.
    """
    changes = _mapping(plan, where).get("resource_changes", [])
    functions = (each["change"] for each in changes if each["type"] == _FUNCTION)
    removed = (each["before"]["name"] for each in functions if each["actions"] == ["delete"])
    return [
        f"The function {name} would be removed. Tasks that wait have its address, and would find"
        " nobody there: apply this once the queues are empty."
        for name in sorted(removed)
    ]


def _mapping(text: str, where: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise PackageError(f"{where} is not JSON of the expected form.")
    return value


def _resources(module: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from _resources(child)


def _cron(job: Mapping[str, Any]) -> str:
    """Return the cron name of a job; its key in Terraform if its URL is not yet known."""
    targets = job["values"].get("http_target") or [{}]
    path = urlsplit(targets[0].get("uri") or "").path
    return path.rpartition("/")[2] or str(job.get("index"))

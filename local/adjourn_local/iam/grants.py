"""The grants of a deployment, as Terraform makes them (terraform/iam.tf)."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from adjourn_local.iam.policy import Binding

RUNTIMES = ("deferred", "cron", "queryiter")
# Those that ask how a task stands: the last run of a periodic function, the step of a run.
VIEWERS = ("deferred", "cron")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What the grants are about.

    Attributes:
        project: The id of the project.
        database: The id of the database, `(default)` for the default one.
        queues: Full names of the queues.
        prefix: What the names of the accounts begin with.
        enqueuers: Members that enqueue beside the functions: the application.
    """

    project: str
    database: str
    queues: Collection[str]
    prefix: str = "adjourn-"
    enqueuers: Collection[str] = ()

    def email(self, name: str) -> str:
        """Return the address of an account: `deferred`, `cron`, `queryiter`, `tasks` or `jobs`."""
        return f"{self.prefix}{name}@{self.project}.iam.gserviceaccount.com"

    def bindings(self) -> Iterator[Binding]:
        """Yield the grants at the services whose calls are checked."""
        runtimes = {name: f"serviceAccount:{self.email(name)}" for name in RUNTIMES}
        enqueuers = (*runtimes.values(), *self.enqueuers)
        for queue in self.queues:
            for member in enqueuers:
                yield Binding(member=member, role="roles/cloudtasks.enqueuer", resource=queue)
            for name in VIEWERS:
                member = runtimes[name]
                yield Binding(member=member, role="roles/cloudtasks.viewer", resource=queue)
        tasks = f"projects/{self.project}/serviceAccounts/{self.email('tasks')}"
        for member in enqueuers:
            yield Binding(member=member, role="roles/iam.serviceAccountUser", resource=tasks)
        for member in runtimes.values():
            yield entities(member, self.project, self.database)


def entities(member: str, project: str, database: str) -> Binding:
    """Return the grant to read and write the entities of one database."""
    return Binding(
        member=member,
        role="roles/datastore.user",
        resource=f"projects/{project}",
        condition=f'resource.name == "projects/{project}/databases/{database}"',
    )

"""The accounts and grants of a laptop stack: those of a deployment, and the application's own."""

from collections.abc import Collection, Iterator

from adjourn_local.iam.grants import Deployment, entities
from adjourn_local.iam.policy import Binding

APPLICATION = "application"


def laptop(project: str, queues: Collection[str]) -> Deployment:
    """Return the deployment of a laptop stack, in which the application may enqueue.

    Args:
        project: The stack's project.
        queues: Full names of the queues.
    """
    named = Deployment(project=project, database="(default)", queues=queues, prefix="")
    application = f"serviceAccount:{named.email(APPLICATION)}"
    return Deployment(
        project=project,
        database="(default)",
        queues=queues,
        prefix="",
        enqueuers=[application],
    )


def bindings(deployment: Deployment) -> Iterator[Binding]:
    """Yield the grants; the application brings its own access to the database."""
    yield from deployment.bindings()
    for member in deployment.enqueuers:
        yield entities(member, deployment.project, deployment.database)

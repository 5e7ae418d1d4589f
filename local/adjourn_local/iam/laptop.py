"""The accounts and grants of a laptop stack: those of a deployment, and the application's own."""

from collections.abc import Collection, Iterable, Iterator

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


def emails(project: str, functions: Iterable[str]) -> Iterator[str]:
    """Yield the e-mail addresses of the accounts of the functions and of the application."""
    deployment = laptop(project, ())
    for name in (*functions, APPLICATION):
        yield deployment.email(name)


def bindings(deployment: Deployment) -> Iterator[Binding]:
    """Yield the grants; the application brings its own access to the database."""
    yield from deployment.bindings()
    for member in deployment.enqueuers:
        yield entities(member, deployment.project, deployment.database)

"""The queues that the application uses, against those that there are."""

from collections.abc import Iterator

from google.api_core.exceptions import (
    DeadlineExceeded,
    Forbidden,
    GoogleAPIError,
    NotFound,
    ServiceUnavailable,
)
from google.auth.exceptions import GoogleAuthError
from google.cloud.tasks_v2 import CloudTasksClient, Queue
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from adjourn.gcp.channels import local_channel
from adjourn.settings import Settings
from adjourn_local.doctor.finding import (
    Deployment,
    Finding,
    fault,
    summed_up,
    unknown,
    unreachable,
)
from adjourn_local.http.reachable import why_unreachable

SUBJECT = "queues"
_TIMEOUT = 20


def check(deployment: Deployment) -> list[Finding]:
    """Return what is wrong with the queues."""
    names, host = list(deployment.queues()), deployment.settings.tasks_host
    if reason := why_unreachable(host):
        return [unreachable(SUBJECT, "Cloud Tasks", host, reason)]
    try:
        client = tasks_client(deployment.settings)
        found = [each for name in names for each in _faults(deployment, client, name)]
    except (ServiceUnavailable, DeadlineExceeded) as error:
        return [unreachable(SUBJECT, "Cloud Tasks", host, error)]
    except (GoogleAPIError, GoogleAuthError) as error:
        reason = "may not be asked" if isinstance(error, Forbidden) else "did not answer"
        return [unknown(SUBJECT, f"Cloud Tasks {reason}: {error}")]
    return summed_up(SUBJECT, found, f"{len(names)} queues exist and run.")


def tasks_client(settings: Settings) -> CloudTasksClient:
    """Return a client for the real service or the settings' local one."""
    if not settings.tasks_host:
        return CloudTasksClient()
    channel = local_channel(settings.tasks_host)
    return CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))


def _faults(deployment: Deployment, client: CloudTasksClient, name: str) -> Iterator[Finding]:
    _, project, _, location, _, queue = name.split("/")
    place = f"{queue} --location={location} --project={project}"
    try:
        found = client.get_queue(name=name, retry=None, timeout=_TIMEOUT)
    except NotFound:
        text = f"The queue {queue} does not exist in {location}."
        yield fault(SUBJECT, text, f"terraform apply, or: gcloud tasks queues create {place}")
        return
    if found.state != Queue.State.RUNNING:
        text = f"The queue {queue} in {location} is {found.state.name}: its tasks wait."
        yield fault(SUBJECT, text, f"gcloud tasks queues resume {place}")
    wanted = deployment.settings.attempts_of(queue) or -1
    actual = found.retry_config.max_attempts
    if actual != wanted:
        yield fault(
            SUBJECT,
            f"The queue {queue} in {location} tries a task {_times(actual)}; ADJOURN_MAX_ATTEMPTS"
            f" says {_times(wanted)}, so calls are given up early or lost.",
            f"terraform apply, or: gcloud tasks queues update {place} --max-attempts={wanted}",
        )


def _times(count: int) -> str:
    return "without end" if count == -1 else f"{count} times"

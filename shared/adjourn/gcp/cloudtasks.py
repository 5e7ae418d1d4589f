"""Cloud Tasks through Google's own client."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from adjourn.errors import EnqueueError, QueueNotFoundError, TaskExistsError, UnavailableError
from adjourn.gcp.process import PerProcess
from adjourn.ports import NewTask, Target
from adjourn.settings import Settings

if TYPE_CHECKING:
    from google.cloud.tasks_v2 import CloudTasksClient, Task

# Cloud Tasks rejects a call whose deadline lies more than 30 s ahead (Google's own bridge,
# google/appengine/api/taskqueue/cloudtask.py, therefore waits 20 s).
_TIMEOUT = 20.0


class CloudTaskQueue:
    """Puts HTTP tasks for our functions on the queues of one project and region."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = PerProcess(self._connect)
        self._urls = {
            Target.DEFERRED: settings.deferred_url,
            Target.QUERYITER: settings.queryiter_url,
        }

    def enqueue(self, task: NewTask) -> str:
        """Create the task; it carries a token of the service account for the function's URL."""
        with _translated(task.queue):
            created = self._client().create_task(
                parent=self._queue(task.queue), task=self._message(task), timeout=_TIMEOUT
            )
        return created.name

    def full_name(self, queue: str, name: str) -> str:
        """Return `projects/…/locations/…/queues/…/tasks/…`."""
        return f"{self._queue(queue)}/tasks/{name}"

    def delete(self, full_name: str) -> bool:
        """Delete the task; False if the service does not have it any more."""
        from google.api_core.exceptions import NotFound

        with _translated(full_name):
            try:
                self._client().delete_task(name=full_name, timeout=_TIMEOUT)
            except NotFound:
                return False
        return True

    def _queue(self, queue: str) -> str:
        return (
            f"projects/{self._settings.project}/locations/{self._settings.location}/queues/{queue}"
        )

    def _message(self, task: NewTask) -> "Task":
        from google.cloud.tasks_v2 import HttpRequest, OidcToken, RetryConfig, Task

        url = self._urls[task.target]
        retries = RetryConfig(min_backoff=task.min_backoff, max_backoff=task.max_backoff)
        return Task(
            name=self.full_name(task.queue, task.name) if task.name else None,
            schedule_time=task.eta,
            dispatch_deadline=task.timeout,
            retry_config=retries if task.min_backoff or task.max_backoff else None,
            http_request=HttpRequest(
                url=f"{url}/{quote(task.label)}",
                headers={"Content-Type": "application/json"},
                body=task.body,
                oidc_token=OidcToken(
                    service_account_email=self._settings.service_account, audience=url
                ),
            ),
        )

    def _connect(self) -> "CloudTasksClient":
        from google.cloud.tasks_v2 import CloudTasksClient

        if not self._settings.tasks_host:
            return CloudTasksClient()
        # The client knows no emulator variable, so the channel is made here.
        import grpc
        from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

        channel = grpc.insecure_channel(self._settings.tasks_host)
        return CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))


@contextmanager
def _translated(queue: str) -> Iterator[None]:
    """Raise our own errors instead of Google's."""
    from google.api_core import exceptions as google
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except google.AlreadyExists as error:
        raise TaskExistsError(str(error)) from error
    except google.NotFound as error:
        raise QueueNotFoundError(f"Queue {queue!r} does not exist: {error.message}") from error
    except (
        google.Aborted,
        google.DeadlineExceeded,
        google.ResourceExhausted,
        google.RetryError,
        google.ServiceUnavailable,
    ) as error:
        raise UnavailableError(f"Cloud Tasks did not answer: {error}") from error
    except (google.GoogleAPIError, GoogleAuthError) as error:
        raise EnqueueError(f"Cloud Tasks refused the call: {error}") from error

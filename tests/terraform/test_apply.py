"""Applied queues and jobs are there, change, are put right and go, as Google's clients see it."""

from collections.abc import Callable

import grpc
import pytest
from google.api_core.exceptions import NotFound
from google.cloud import scheduler_v1, tasks_v2
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
)
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from tests.terraform.cloud import Cloud
from tests.terraform.workspace import Workspace

REGION = "europe-west1"
QUEUE = f'google_cloud_tasks_queue.main["{REGION}/mail"]'
JOB = 'google_cloud_scheduler_job.cron["nightly"]'


class World:
    """A project in the cloud, Terraform's view of it and Google's clients' view."""

    def __init__(self, cloud: Cloud, workspace: Workspace, project: str) -> None:
        tasks = CloudTasksGrpcTransport(channel=grpc.insecure_channel(cloud.host))
        jobs = CloudSchedulerGrpcTransport(channel=grpc.insecure_channel(cloud.host))
        self.tasks = tasks_v2.CloudTasksClient(transport=tasks)
        self.scheduler = scheduler_v1.CloudSchedulerClient(transport=jobs)
        self.workspace = workspace
        self.project = project
        self.queue = self.tasks.queue_path(project, REGION, "mail")
        self.job = self.scheduler.job_path(project, REGION, "adjourn-nightly")

    def configure(self, **variables: object) -> None:
        removable = {"deletion_policy": "DELETE"}
        fixed = {"project": self.project, "region": REGION, "monitoring": {"is_enabled": False}}
        self.workspace.configure(**fixed, **{"queue_defaults": removable, **variables})

    def queues(self) -> set[str]:
        found = self.tasks.list_queues(parent=f"projects/{self.project}/locations/{REGION}")
        return {queue.name.rpartition("/")[2] for queue in found}

    def jobs(self) -> set[str]:
        found = self.scheduler.list_jobs(parent=f"projects/{self.project}/locations/{REGION}")
        return {job.name.rpartition("/")[2] for job in found}


@pytest.fixture(scope="module")
def world(cloud: Cloud, new_workspace: Callable[[], Workspace]) -> World:
    """Return an applied project; each test leaves it as applied, and the last one destroys it."""
    world = World(cloud, new_workspace(), "shop-apply")
    world.configure()
    world.workspace.apply()
    return world


def test_what_was_applied_is_there_and_a_second_plan_changes_nothing(world: World) -> None:
    assert world.queues() == {"default", "mail"}
    assert world.jobs() == {"adjourn-default", "adjourn-nightly"}
    queue = world.tasks.get_queue(name=world.queue)
    assert queue.retry_config.max_attempts == 100
    assert queue.retry_config.max_retry_duration.total_seconds() == 604_800
    assert queue.stackdriver_logging_config.sampling_ratio == 1
    job = world.scheduler.get_job(name=world.job)
    assert job.http_target.uri.endswith(".europe-west1.run.app/nightly")
    assert job.http_target.oidc_token.audience == job.http_target.uri.removesuffix("/nightly")
    assert not world.workspace.has_changes()


def test_changes_are_made_in_place_and_nowhere_else(world: World) -> None:
    world.configure(
        queues={"mail": {"max_attempts": 7, "is_paused": True, "logging_ratio": 0}},
        crons={"nightly": {"schedule": "0 4 * * *", "is_paused": True}},
    )

    # The deferred function has to know how many attempts its queues have.
    deferred = 'google_cloudfunctions2_function.main["deferred"]'
    changed = {key: ["update"] for key in [QUEUE, JOB, deferred]}
    assert world.workspace.plan().actions() == changed
    world.workspace.apply_plan()

    queue = world.tasks.get_queue(name=world.queue)
    assert (queue.retry_config.max_attempts, queue.state.name) == (7, "PAUSED")
    assert queue.stackdriver_logging_config.sampling_ratio == 0
    job = world.scheduler.get_job(name=world.job)
    assert (job.schedule, job.state.name) == ("0 4 * * *", "PAUSED")
    assert not world.workspace.has_changes()

    world.configure()
    world.workspace.apply()

    assert world.tasks.get_queue(name=world.queue).state.name == "RUNNING"
    assert world.scheduler.get_job(name=world.job).state.name == "ENABLED"
    assert not world.workspace.has_changes()


def test_what_somebody_changed_by_hand_is_seen_and_put_right(world: World) -> None:
    queue = world.tasks.get_queue(name=world.queue)
    queue.rate_limits.max_dispatches_per_second = 1
    world.tasks.update_queue(queue=queue)
    world.scheduler.pause_job(name=world.job)

    assert world.workspace.plan().actions() == {QUEUE: ["update"], JOB: ["update"]}
    world.workspace.apply_plan()

    queue = world.tasks.get_queue(name=world.queue)
    assert queue.rate_limits.max_dispatches_per_second == 100
    assert world.scheduler.get_job(name=world.job).state.name == "ENABLED"


def test_what_somebody_deleted_by_hand_is_made_again(world: World) -> None:
    world.scheduler.delete_job(name=world.job)

    assert world.workspace.plan().actions() == {JOB: ["create"]}
    world.workspace.apply_plan()

    assert world.jobs() == {"adjourn-default", "adjourn-nightly"}


def test_a_function_that_is_made_anew_gets_its_permission_back(world: World) -> None:
    function = 'google_cloudfunctions2_function.main["cron"]'

    actions = world.workspace.plan(f"-replace={function}").actions()

    assert actions == {
        function: ["delete", "create"],
        'google_cloud_run_v2_service_iam_member.invoker["cron"]': ["delete", "create"],
    }


def test_another_prefix_makes_everything_anew_but_the_queues_and_what_is_in_them(
    world: World,
) -> None:
    world.configure(prefix="shop")

    actions = world.workspace.plan().actions()

    anew = {address.partition("[")[0] for address, what in actions.items() if "delete" in what}
    assert {
        "google_cloudfunctions2_function.main",
        "google_cloud_scheduler_job.cron",
        "google_service_account.main",
        "google_storage_bucket.source",
    } <= anew
    assert not [address for address in actions if address.startswith("google_cloud_tasks_queue.")]


def test_a_queue_is_not_destroyed_unless_that_is_allowed(world: World) -> None:
    world.configure(queue_defaults={})
    world.workspace.apply()

    said = world.workspace.refusal("destroy", "-auto-approve", f"-target={QUEUE}")

    assert "its deletion_policy is PREVENT" in said
    assert world.queues() == {"default", "mail"}
    world.configure()
    world.workspace.apply()


def test_what_the_service_refuses_is_told(world: World) -> None:
    world.tasks.delete_queue(name=world.queue)

    said = world.workspace.refusal("apply", "-auto-approve", "-input=false")

    assert "a queue with this name existed too recently" in said
    with pytest.raises(NotFound):
        world.tasks.get_queue(name=world.queue)


def test_nothing_is_left_when_it_was_destroyed(world: World) -> None:
    world.workspace.destroy()

    assert (world.queues(), world.jobs()) == (set(), set())

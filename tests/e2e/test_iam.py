"""Functions and application have what Terraform grants them; a grant that is missing shows."""

import datetime as dt
from collections.abc import Iterator

import pytest
from google.cloud import datastore

from adjourn.errors import EnqueueError
from adjourn_local.iam.policy import Policy
from adjourn_local.runtime.harness import RunningStack, running_for_tests
from tests.e2e.application import Sum, app, say
from tests.e2e.conftest import Ear, Log

EMAIL = "serviceAccount:{}@adjourn-local.iam.gserviceaccount.com"


@pytest.fixture(scope="module")
def log() -> Log:
    return Log()


@pytest.fixture(scope="module")
def ear(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ear]:
    """Return an ear of our own: another stack's bell rings too."""
    path = tmp_path_factory.mktemp("ear") / "ear"
    ear = Ear(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("E2E_EAR", str(path))
        yield ear
    ear.close()


@pytest.fixture(scope="module")
def laptop(ear: Ear, log: Log) -> Iterator[RunningStack]:  # noqa: ARG001 - the functions inherit it
    spec = "tests.e2e.application:app"
    with running_for_tests(app, spec, log.write, enforces_iam=True) as laptop:
        yield laptop


@pytest.fixture(autouse=True)
def _environment(laptop: RunningStack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in laptop.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def policy(laptop: RunningStack) -> Iterator[Policy]:
    """Return the grants in force, which are restored afterwards."""
    accounts = laptop._stack.accounts
    assert accounts
    before = accounts.policy
    yield before
    accounts.policy = before


def revoke(laptop: RunningStack, policy: Policy, name: str, role: str) -> None:
    """Take a role from an account."""
    accounts = laptop._stack.accounts
    left = [b for b in policy.bindings if (b.member, b.role) != (EMAIL.format(name), role)]
    assert accounts
    assert len(left) < len(policy.bindings)
    accounts.policy = Policy(left)


def lose_a_run(laptop: RunningStack) -> str:
    """Start an iteration, lose its task, and let ten minutes pass; return its id."""
    client = datastore.Client()
    for n in range(3):
        entity = datastore.Entity(client.key("Coin", f"c{n}"))
        entity["n"] = n
        client.put(entity)
    queue = f"projects/adjourn-local/locations/europe-west1/queues/{app.wiring().settings.queue}"
    owner = laptop._tasks
    owner.pause_queue(name=queue)
    run = Sum.start(client.query(kind="Coin"), {"sum": 0})
    for task in owner.list_tasks(parent=queue):
        owner.delete_task(name=task.name)
    owner.resume_queue(name=queue)
    laptop.travel(by=dt.timedelta(minutes=10))
    return run.id


def test_what_is_granted_is_enough(laptop: RunningStack, ear: Ear, log: Log) -> None:
    say("Ada")
    assert "Ada" in ear.hear()

    run = lose_a_run(laptop)

    log.find("iteration.revived", run)
    assert ear.hear() == "3 entities, sum 3"


def test_a_run_stays_lost_without_the_right_to_ask_for_tasks(
    laptop: RunningStack, policy: Policy, log: Log
) -> None:
    revoke(laptop, policy, "deferred", "roles/cloudtasks.viewer")

    run = lose_a_run(laptop)

    line = log.find("iteration.lost", run)
    assert 'lacks IAM permission \\"cloudtasks.tasks.get\\"' in line


@pytest.mark.parametrize(
    ("role", "permission"),
    [
        ("roles/cloudtasks.enqueuer", "cloudtasks.tasks.create"),
        ("roles/iam.serviceAccountUser", "iam.serviceAccounts.actAs"),
    ],
)
def test_an_application_without_a_grant_cannot_enqueue(
    laptop: RunningStack, policy: Policy, role: str, permission: str
) -> None:
    revoke(laptop, policy, "application", role)

    with pytest.raises(EnqueueError, match=permission):
        say("Ada")


def test_the_application_may_enqueue_and_not_ask(laptop: RunningStack) -> None:
    handle = say.options(delay=dt.timedelta(days=1)).defer("Ada")

    with pytest.raises(EnqueueError, match=r"cloudtasks\.tasks\.get"):
        handle.fetch()
    with pytest.raises(EnqueueError, match=r"cloudtasks\.tasks\.delete"):
        handle.cancel()
    laptop.purge()


def test_functions_without_a_database_say_so(
    laptop: RunningStack, policy: Policy, log: Log
) -> None:
    revoke(laptop, policy, "cron", "roles/datastore.user")

    laptop.travel(by=dt.timedelta(minutes=2))

    log.find("cron ", "service.unavailable", "Missing or insufficient permissions")
    assert laptop.environment["DATASTORE_EMULATOR_HOST"] != f"127.0.0.1:{laptop.ports.grpc}"

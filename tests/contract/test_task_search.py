"""What commands and console read of queues and tasks, through Google's clients from the stack."""

import datetime as dt

import grpc
import pytest
from google.cloud.tasks_v2 import CloudTasksClient
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from adjourn.errors import EnqueueError, UnknownNameError
from adjourn.gcp.datastore_values import DATASTORE_VALUES
from adjourn.iteration.runs import Step
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn_local.clients.queues import Queues
from adjourn_local.clients.task_search import TaskFilter, matching, search
from adjourn_local.errors import UsageError
from adjourn_local.iam import roles
from adjourn_local.iam.enforcement import Enforcement
from adjourn_local.iam.policy import Binding, Policy
from tests.contract.tasks_world import LOCATION, QUEUE, START, tasks_world
from tests.support import serving

LATER = START + dt.timedelta(hours=1)
ALL = TaskFilter()
ADA = "ada@shop.iam.gserviceaccount.com"


@pytest.fixture
def world(loop, tmp_path):
    with tasks_world(loop, tmp_path / "state.db") as world, world.running():
        world.make_queue()
        yield world


@pytest.fixture
def queues(world):
    return Queues(client=lambda: world.client, parent=LOCATION)


def body(task, *args):
    envelope = Envelope(id="c1", task=task, enqueued_at=START, args=args)
    return envelope.encode(Codec(extensions=DATASTORE_VALUES))


def create(world, name, task="shop.note", *args, at=LATER, queue=QUEUE):
    request = {"url": f"{world.worker.url}/{task}", "body": body(task, *args)}
    world.create(name, queue=queue, http_request=request, schedule_time=at)


def all_pages(queues, names, wanted, limit):
    """Return the ids of all pages, following the cursors."""
    cursor, found = "", []
    while True:
        page = search(queues, names, wanted, limit=limit, cursor=cursor)
        found.append([task.id for task in page.tasks])
        cursor = page.next
        if not cursor:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("wanted", [ALL, TaskFilter(task="shop.note")])
def test_every_task_is_on_exactly_one_page(world, queues, limit, wanted):
    other = f"{LOCATION}/queues/other"
    world.make_queue(other)
    world.make_queue(f"{LOCATION}/queues/nothing")
    for number in range(5):
        create(world, f"m{number}")
        create(world, f"o{number}", queue=other)
        if wanted is not ALL:
            create(world, f"x{number}", "shop.other")

    pages = all_pages(queues, queues.names(), wanted, limit)

    ids = [task_id for page in pages for task_id in page]
    assert ids == [f"{letter}{number}" for letter in "mo" for number in range(5)]
    assert all(len(page) <= limit for page in pages)


def test_what_ends_between_two_pages_hides_no_other_task(world, queues):
    for name in "abcdef":
        create(world, name)

    for wanted in (ALL, TaskFilter(task="shop.note")):
        first = search(queues, ["mail"], wanted, limit=2)
        last = first.tasks[-1].id
        queues.cancel("mail", last)
        second = search(queues, ["mail"], wanted, limit=2, cursor=first.next)

        left = [task.id for task in second.tasks]
        remaining = all_pages(queues, ["mail"], ALL, 100)[0]
        assert last not in remaining
        assert set(left) <= set(remaining)
        assert left[0] in {first.tasks[0].id, remaining[1]}


def test_failed_tasks_are_told_from_those_that_only_wait(world, queues):
    world.worker.answers.append(500)
    create(world, "failing", at=START)
    world.answered(attempts=1)
    create(world, "waiting")

    (failed,) = search(queues, ["mail"], TaskFilter(failed=True), limit=10).tasks

    assert (failed.id, failed.attempts, failed.answered, bool(failed.last_status)) == (
        "failing",
        1,
        1,
        True,
    )
    assert "500" in failed.last_status
    assert failed.last_attempt == START
    assert failed.next_attempt > START
    assert matching(queues, ["mail"], TaskFilter(failed=True)) == [("mail", "failing")]
    assert len(matching(queues, ["mail"], ALL)) == 2


def test_a_running_attempt_is_seen(world, queues):
    world.worker.answers.append(None)
    create(world, "running", at=START)
    world.worker.next()

    (task,) = search(queues, ["mail"], ALL, limit=10).tasks

    assert (task.is_running, task.attempts, task.answered) == (True, 1, 0)
    assert queues.task("mail", "running").is_running


@pytest.mark.parametrize("wanted", [ALL, TaskFilter(task="shop.note")])
def test_calls_and_steps_are_decoded(world, queues, wanted):
    create(world, "call", "shop.note", "a\x1b[31m", 7)
    step = Step(run_id="r1", shard=2, number=3, epoch=0)
    request = {"url": f"{world.worker.url}/shop.note", "body": step.encode()}
    world.create("step", http_request=request, schedule_time=LATER)

    call, step = search(queues, ["mail"], wanted, limit=10).tasks

    assert call.call[0] == r"shop.note('a\x1b[31m', 7)"
    assert step.call == ["step 3 of shard 2 of the run r1"]
    assert (call.task, call.is_whole) == ("shop.note", True)


def test_a_name_that_is_escaped_in_the_url_is_found(world, queues):
    request = {"url": f"{world.worker.url}/shop.caf%C3%A9"}
    world.create("it", http_request=request, schedule_time=LATER)

    (task,) = search(queues, ["mail"], TaskFilter(task="shop/café"), limit=10).tasks

    assert task.task == "shop.café"


def test_a_task_that_is_not_of_adjourn_is_shown_by_its_url(world, queues):
    world.create("it", http_request={"url": f"{world.worker.url}/x"}, schedule_time=LATER)

    task = queues.task("mail", "it")

    assert (task.call, task.url) == ((), f"{world.worker.url}/x")


@pytest.mark.parametrize("cursor", ["x", "bnVsbA==", "W10=", "WyJnb25lIiwiIiwiIl0="])
def test_a_cursor_of_something_else_is_refused(queues, cursor):
    with pytest.raises(UsageError, match="is no cursor"):
        search(queues, ["mail"], ALL, limit=1, cursor=cursor)


def test_without_queues_there_are_no_tasks(queues):
    assert search(queues, [], ALL, limit=1).tasks == []


def test_what_does_not_exist_is_said(queues):
    with pytest.raises(UnknownNameError):
        search(queues, ["nothing"], ALL, limit=1)
    with pytest.raises(UnknownNameError):
        queues.task("mail", "gone")


def test_queues_are_counted_by_the_service(world, queues):
    world.worker.answers.append(500)
    create(world, "failing", at=START)
    world.answered(attempts=1)
    for number in range(3):
        create(world, f"t{number}")

    (mail,) = queues.list()

    assert (mail.name, mail.state, mail.waiting, mail.failing, mail.running) == (
        "mail",
        "RUNNING",
        4,
        1,
        0,
    )
    assert (mail.last_minute, mail.rate, mail.at_once, mail.max_attempts) == (1, 500, 1000, 100)
    assert mail.oldest == START.replace(microsecond=0)
    assert mail.next_attempt is not None
    assert START < mail.next_attempt < LATER
    assert not mail.has_more


@pytest.fixture
def restricted(world, loop, monkeypatch):
    """Return queues as an account sees them that may see neither bodies nor all queues."""
    seen = roles.ROLES["roles/cloudtasks.viewer"] - {"cloudtasks.tasks.fullView"}
    monkeypatch.setitem(roles.ROLES, "roles/cloudtasks.viewer", seen)
    policy = Policy(
        (Binding(member=f"serviceAccount:{ADA}", role="roles/cloudtasks.viewer", resource=QUEUE),)
    )

    services = [Enforcement(each, ADA, lambda: policy) for each in world.server.grpc_services()]
    with serving(loop, *services) as address, grpc.insecure_channel(address) as channel:
        client = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        yield Queues(client=lambda: client, parent=LOCATION)


@pytest.mark.parametrize("wanted", [ALL, TaskFilter(task="shop.note")])
def test_without_the_permission_calls_are_not_shown_and_that_is_known(world, restricted, wanted):
    create(world, "call", "shop.note", "secret")

    page = search(restricted, ["mail"], wanted, limit=10)

    (task,) = page.tasks
    assert not page.is_whole
    assert (task.task, task.call, task.is_whole) == ("shop.note", (), False)
    assert not restricted.task("mail", "call").is_whole


def test_who_may_not_list_queues_is_told_to_name_one(restricted):
    with pytest.raises(EnqueueError, match=r"cloudtasks\.queues\.list.*--queue"):
        restricted.names()

"""How the adapter creates tasks when Cloud Tasks is slow, away or older than the batch calls."""

from collections import Counter
from dataclasses import replace

import grpc
import pytest
from google.cloud.tasks_v2.types import cloudtasks

from adjourn.errors import EnqueueError, QueueNotFoundError, TaskExistsError, UnavailableError
from adjourn.gcp.cloudtasks import CloudTaskQueue, UnavailableRetry
from adjourn.ports import NewTask, Target
from adjourn.testing import SETTINGS, FakeClock
from adjourn_local.http import rpc
from adjourn_local.http.sender import Sender
from adjourn_local.tasks import TasksOptions, TasksServer
from adjourn_local.timing.clocks import ManualClock
from tests.support import a_token, serving

AWAY = rpc.RpcError(grpc.StatusCode.UNAVAILABLE, "away")
FALLBACK = "europe-west4"
LOST = rpc.RpcError(grpc.StatusCode.DEADLINE_EXCEEDED, "answer lost")
REQUESTS = {
    "CreateTask": cloudtasks.CreateTaskRequest.pb(),
    "BatchCreateTasks": cloudtasks.BatchCreateTasksRequest.pb(),
}


def task(name=None, **changes):
    fields = {"target": Target.DEFERRED, "label": "send", "queue": "mail", "body": b"{}"}
    return NewTask(name=name, **{**fields, **changes})


class Service:
    """Cloud Tasks that, call after call, does as told: works, is AWAY, or has its answer LOST."""

    def __init__(self, loop, server):
        self.loop = loop
        self.server = server
        self.away = ""
        self.script = []
        self.calls = []

    def handler(self, method, work):
        def handle(request):
            self.calls.append(method)
            order = self.script.pop(0) if self.script else None
            if order is AWAY or (self.away and self.away in request.parent):
                raise AWAY
            answer = work(request)
            if order is not None:
                raise order
            return answer

        return REQUESTS[method], handle

    def served(self, *methods):
        tasks = self.server._tasks
        works = {"CreateTask": tasks.create, "BatchCreateTasks": tasks.batch_create}
        return rpc.service(
            "google.cloud.tasks.v2.CloudTasks",
            {method: self.handler(method, works[method]) for method in methods},
        )

    def count(self):
        return self.loop.call(self.server.counters).created


class Pauses(list):
    """Records the pauses, which pass at once."""

    def __init__(self):
        super().__init__()
        self.clock = FakeClock()

    def __call__(self, seconds):
        self.append(seconds)
        self.clock._monotonic += seconds


@pytest.fixture
def service(loop, tmp_path):
    async def start():
        sender = Sender(clock := ManualClock(FakeClock().now()))
        server = TasksServer(tmp_path / "state", clock, a_token, sender, TasksOptions(grace=0))
        for region in (SETTINGS.location, FALLBACK):
            server.ensure_queue(CloudTaskQueue(SETTINGS)._queue(region, "mail"))
        return sender, server

    sender, server = loop.run(start())
    yield Service(loop, server)
    loop.run(server.stop())
    loop.run(sender.close())


@pytest.fixture
def pauses():
    return Pauses()


@pytest.fixture
def connect(pauses):
    def to(address, **settings):
        retry = UnavailableRetry(clock=pauses.clock, sleep=pauses, chance=lambda: 1.0)
        return CloudTaskQueue(replace(SETTINGS, tasks_host=address, **settings), retry)

    return to


@pytest.fixture
def queue(loop, service, connect):
    with serving(loop, service.served("CreateTask", "BatchCreateTasks")) as address:
        yield connect(address)


@pytest.fixture
def older_queue(loop, service, connect):
    with serving(loop, service.served("CreateTask")) as address:
        yield connect(address)


@pytest.fixture
def two_regions(loop, service, connect):
    with serving(loop, service.served("CreateTask", "BatchCreateTasks")) as address:
        yield connect(address, fallback_location=FALLBACK)


def test_a_named_task_is_created_again_until_the_service_answers(queue, service, pauses):
    service.script = [AWAY, AWAY, AWAY]

    assert queue.enqueue(task("once")) == queue.full_name("mail", "once")

    assert pauses == [0.1, 0.2, 0.4]
    assert service.count() == 1


def test_a_task_whose_answer_was_lost_is_there_once_and_new(queue, service):
    service.script = [LOST]

    assert queue.enqueue(task("once")) == queue.full_name("mail", "once")

    assert service.calls == ["CreateTask"] * 2
    assert service.count() == 1


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNKNOWN,
    ],
)
def test_trouble_of_the_service_is_no_refusal(queue, service, code):
    service.script = [rpc.RpcError(code, "trouble")]

    assert queue.enqueue(task("once")) == queue.full_name("mail", "once")
    assert service.count() == 1


def test_a_name_that_is_taken_at_first_sight_is_not_ours(queue, service):
    queue.enqueue(task("once"))

    with pytest.raises(TaskExistsError):
        queue.enqueue(task("once"))
    assert service.calls == ["CreateTask"] * 2


def test_a_task_without_a_name_is_tried_once(queue, service, pauses):
    service.script = [LOST]

    with pytest.raises(UnavailableError, match="answer lost"):
        queue.enqueue(task())

    assert pauses == []
    assert service.count() == 1


def test_patience_has_an_end(queue, service, pauses):
    service.script = [AWAY] * 100

    with pytest.raises(UnavailableError, match="away"):
        queue.enqueue(task("once"))

    assert 18 < sum(pauses) < 20
    assert max(pauses) == 2.0
    assert len(service.calls) == len(pauses) + 1


def test_pauses_vary(service, loop, pauses):
    service.script = [AWAY]
    with serving(loop, service.served("CreateTask")) as address:
        retry = UnavailableRetry(clock=pauses.clock, sleep=pauses, chance=lambda: 0.0)
        CloudTaskQueue(replace(SETTINGS, tasks_host=address), retry).enqueue(task("once"))

    assert pauses == [0.05]


def test_what_is_refused_is_not_tried_again(queue, service):
    service.script = [rpc.RpcError(grpc.StatusCode.PERMISSION_DENIED, "no")]

    with pytest.raises(EnqueueError, match="refused the call: PERMISSION_DENIED: no"):
        queue.enqueue(task("once"))
    assert len(service.calls) == 1


def test_a_batch_is_one_request_for_a_hundred_tasks(queue, service):
    results = queue.enqueue_many([task(f"n{index}") for index in range(250)])

    assert results == [queue.full_name("mail", f"n{index}") for index in range(250)]
    assert service.calls == ["BatchCreateTasks"] * 3
    assert service.count() == 250


def test_a_batch_whose_answer_was_lost_makes_no_duplicates(queue, service):
    queue.enqueue(task("n1"))
    service.script = [None, LOST]

    results = queue.enqueue_many([task(f"n{index}") for index in (1, *range(3, 103))])

    assert type(results[0]) is TaskExistsError
    assert results[1:] == [queue.full_name("mail", f"n{index}") for index in range(3, 103)]
    assert service.count() == 102 - 1


def test_a_lost_batch_tries_only_what_has_a_name_again(queue, service):
    service.script = [AWAY]

    results = queue.enqueue_many([task("a"), task(), task("b")])

    assert [type(each) for each in results] == [str, UnavailableError, str]
    assert service.count() == 2


def test_a_service_without_batches_is_asked_for_one_only_once(older_queue, service):
    tasks = [task(f"n{index}") for index in range(3)]

    results = older_queue.enqueue_many(tasks)

    assert results == [older_queue.full_name("mail", each.name) for each in tasks]
    assert older_queue._has_batches is False
    again = older_queue.enqueue_many(tasks)
    assert [type(each) for each in again] == [TaskExistsError] * 3
    assert Counter(service.calls) == {"CreateTask": 6}


def test_without_batches_too_nothing_is_there_twice(older_queue, service):
    service.script = [None, LOST, None, AWAY]

    results = older_queue.enqueue_many([task(f"n{index}") for index in range(4)])

    assert all(isinstance(each, str) for each in results)
    assert service.count() == 4


def test_a_batch_that_fails_as_a_whole_fails_for_each(queue, service):
    service.script = [rpc.RpcError(grpc.StatusCode.PERMISSION_DENIED, "no")]

    results = queue.enqueue_many([task("a"), task("b")])

    assert [type(each) for each in results] == [EnqueueError] * 2


# Two regions


def test_the_fallback_takes_what_its_region_cannot(two_regions, service, pauses, caplog):
    service.away = SETTINGS.location

    name = two_regions.enqueue(task("once"))

    assert name == f"projects/sandbox/locations/{FALLBACK}/queues/mail/tasks/once"
    assert 9 < sum(pauses) < 10
    assert caplog.messages == ["Cloud Tasks is unavailable in europe-west1"]


def test_the_fallback_takes_a_batch(two_regions, service):
    service.away = SETTINGS.location

    results = two_regions.enqueue_many([task(f"n{index}") for index in range(3)])

    queue = f"projects/sandbox/locations/{FALLBACK}/queues/mail"
    assert results == [f"{queue}/tasks/n{index}" for index in range(3)]
    assert service.count() == 3


def test_the_fallback_is_left_alone_while_its_region_works(two_regions, service):
    service.script = [AWAY, LOST]

    name = two_regions.enqueue(task("once"))

    assert name == two_regions.full_name("mail", "once")
    assert service.count() == 1


def test_what_is_refused_is_not_tried_elsewhere(two_regions, service):
    service.script = [rpc.RpcError(grpc.StatusCode.PERMISSION_DENIED, "no")]

    with pytest.raises(EnqueueError, match="refused the call: PERMISSION_DENIED: no"):
        two_regions.enqueue(task("once"))
    assert len(service.calls) == 1


def test_when_both_regions_are_away_the_time_is_the_same(two_regions, service, pauses):
    service.away = "locations"

    with pytest.raises(UnavailableError, match="away"):
        two_regions.enqueue(task("once"))
    assert 18 < sum(pauses) < 20


def test_a_missing_queue_is_told_with_its_region(two_regions, service):
    service.away = SETTINGS.location

    with pytest.raises(QueueNotFoundError, match=f"{FALLBACK}/queues/fast"):
        two_regions.enqueue(task("once", queue="fast"))

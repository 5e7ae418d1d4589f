"""What the core asks of Cloud Tasks, of the twin in memory and of the adapter alike."""

import datetime as dt
import subprocess
import sys
from dataclasses import replace

import grpc
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from adjourn.errors import EnqueueError, QueueNotFoundError, TaskExistsError, UnavailableError
from adjourn.gcp.channels import google_channel
from adjourn.gcp.cloudtasks import CloudTaskQueue
from adjourn.ports import NewTask, Target, TaskState
from adjourn.testing import SETTINGS, FakeClock, MemoryQueue
from adjourn_local.http.sender import Sender
from adjourn_local.tasks import TasksOptions, TasksServer
from adjourn_local.timing.clocks import ManualClock
from tests.support import a_token, serving

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(days=1)
QUEUES = ("default", "mail")


def task(**changes):
    fields = {"target": Target.DEFERRED, "label": "send", "queue": "mail", "body": b"{}"}
    return NewTask(**{"eta": LATER, **fields, **changes})


class TaskQueueContract:
    """Subclasses give a `subject` with the two QUEUES, at NOW, and a way to `advance` its clock."""

    def test_a_task_has_the_full_name_of_its_queue(self, subject):
        name = subject.enqueue(task(name="once"))

        assert name == subject.full_name("mail", "once")
        assert name.endswith("/queues/mail/tasks/once")

    def test_a_task_without_a_name_is_given_one(self, subject):
        first, second = subject.enqueue(task()), subject.enqueue(task())

        assert first != second
        assert first.startswith(subject.full_name("mail", ""))

    def test_a_name_can_be_taken_once(self, subject):
        subject.enqueue(task(name="once"))

        with pytest.raises(TaskExistsError):
            subject.enqueue(task(name="once", body=b"other"))

    def test_names_belong_to_their_queue(self, subject):
        first = subject.enqueue(task(name="once"))
        second = subject.enqueue(task(name="once", queue="default"))

        assert first != second

    def test_a_name_stays_taken_for_an_hour_after_its_task(self, subject, advance):
        subject.delete(subject.enqueue(task(name="once")))

        advance(dt.timedelta(minutes=59))
        with pytest.raises(TaskExistsError):
            subject.enqueue(task(name="once"))

        advance(dt.timedelta(minutes=2))
        assert subject.enqueue(task(name="once"))

    def test_a_missing_queue_is_told(self, subject):
        with pytest.raises(QueueNotFoundError, match="fast"):
            subject.enqueue(task(queue="fast"))

    def test_many_tasks_have_their_results_in_order(self, subject):
        taken = subject.enqueue(task(name="taken"))
        names = [f"n{index}" for index in range(240)]
        tasks = [task(name=name, queue=QUEUES[len(name) % 2]) for name in names]
        tasks[7], tasks[130] = task(name="taken"), task(queue="fast")

        results = subject.enqueue_many(tasks)

        wanted = [subject.full_name(each.queue, each.name or "") for each in tasks]
        assert wanted.pop(130)
        assert type(results.pop(130)) is QueueNotFoundError
        assert wanted.pop(7) == taken
        assert type(results.pop(7)) is TaskExistsError
        assert results == wanted

    def test_many_tasks_that_all_fail_have_an_error_each(self, subject):
        subject.enqueue(task(name="taken"))

        results = subject.enqueue_many([task(name="taken")] * 2 + [task(queue="fast")] * 2)

        assert [type(each) for each in results] == [TaskExistsError] * 2 + [QueueNotFoundError] * 2

    def test_many_tasks_without_names_are_given_them(self, subject):
        results = subject.enqueue_many([task(), task(), task()])

        assert len({subject.delete(name) and name for name in results}) == 3

    def test_no_tasks_have_no_results(self, subject):
        assert subject.enqueue_many([]) == []

    @pytest.mark.parametrize("count", [1, 5])
    def test_many_large_bodies_are_accepted(self, subject, count):
        results = subject.enqueue_many([task(body=bytes(1_000_000))] * count)

        assert all(isinstance(each, str) for each in results)

    def test_a_waiting_task_is_told_of(self, subject):
        name = subject.enqueue(task(eta=LATER))

        assert subject.fetch(name) == TaskState(attempts=0, last_status="", next_start=LATER)

    def test_a_task_that_is_gone_is_not_told_of(self, subject):
        subject.delete(name := subject.enqueue(task()))

        assert subject.fetch(name) is None
        assert subject.fetch(subject.full_name("mail", "never")) is None

    def test_a_task_is_deleted_once(self, subject):
        name = subject.enqueue(task())

        assert subject.delete(name) is True
        assert subject.delete(name) is False

    def test_a_task_that_never_was_cannot_be_deleted(self, subject):
        assert subject.delete(subject.full_name("mail", "never")) is False

    @pytest.mark.parametrize("eta", [None, NOW - dt.timedelta(days=1), NOW, LATER])
    def test_any_start_within_reach_is_accepted(self, subject, eta):
        assert subject.enqueue(task(eta=eta))

    @pytest.mark.parametrize("size", [0, 1, 1_000_000])
    def test_a_body_of_any_size_that_an_envelope_may_have_is_accepted(self, subject, size):
        assert subject.enqueue(task(body=bytes(size)))


class TestMemoryQueue(TaskQueueContract):
    @pytest.fixture
    def clock(self):
        return FakeClock(NOW)

    @pytest.fixture
    def advance(self, clock):
        return clock.advance

    @pytest.fixture
    def subject(self, clock):
        return MemoryQueue(clock, QUEUES)

    def test_without_a_list_every_queue_exists(self, clock):
        assert MemoryQueue(clock).enqueue(task(queue="any"))

    def test_what_is_due_comes_in_the_order_of_its_time(self, clock, subject):
        late, early = task(eta=LATER, label="late"), task(eta=NOW, label="early")
        for each in (late, early):
            subject.enqueue(each)

        now = [q.task for q in subject.due()]
        clock.advance(dt.timedelta(days=1))

        assert now == [early]
        assert [q.task for q in subject.due()] == [early, late]


class TestCloudTaskQueue(TaskQueueContract):
    @pytest.fixture
    def clock(self):
        return ManualClock(NOW)

    @pytest.fixture
    def advance(self, loop, clock):
        return lambda by: loop.call(lambda: clock.advance(by.total_seconds()))

    @pytest.fixture
    def address(self, loop, clock, tmp_path):
        async def start():
            sender = Sender(clock)
            server = TasksServer(tmp_path / "state", clock, a_token, sender, TasksOptions(grace=0))
            for queue in QUEUES:
                server.ensure_queue(CloudTaskQueue(SETTINGS)._queue(SETTINGS.location, queue))
            return sender, server

        sender, server = loop.run(start())
        with serving(loop, *server.grpc_services()) as address:
            yield address
        loop.run(server.stop())
        loop.run(sender.close())

    @pytest.fixture
    def subject(self, address):
        return CloudTaskQueue(replace(SETTINGS, tasks_host=address))

    @pytest.fixture
    def client(self, address):
        with grpc.insecure_channel(address) as channel:
            yield tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))

    def fetch(self, client, name):
        return client.get_task({"name": name, "response_view": tasks_v2.Task.View.FULL})

    @pytest.mark.parametrize(
        ("target", "url"),
        [(Target.DEFERRED, SETTINGS.deferred_url), (Target.QUERYITER, SETTINGS.queryiter_url)],
    )
    def test_the_service_will_post_the_body_with_a_token_for_the_function(
        self, subject, client, target, url
    ):
        new = task(target=target, label="shop.Größe", body=b"{1}", timeout=dt.timedelta(minutes=2))

        told = self.fetch(client, subject.enqueue(new))

        request = told.http_request
        assert request.url == f"{url}/shop.Gr%C3%B6%C3%9Fe"
        assert (request.http_method, request.body) == (tasks_v2.HttpMethod.POST, b"{1}")
        assert request.headers["Content-Type"] == "application/json"
        assert request.oidc_token.service_account_email == SETTINGS.service_account
        assert request.oidc_token.audience == url
        assert told.dispatch_deadline == dt.timedelta(minutes=2)
        assert told.schedule_time == LATER

    @pytest.mark.parametrize(
        ("label", "path"),
        [("list", "/"), ("execute/x", "/execute.x"), ("execute", "/execute"), ("lists", "/lists")],
    )
    def test_no_task_is_delivered_where_people_ask(self, subject, client, label, path):
        told = self.fetch(client, subject.enqueue(task(label=label)))

        assert told.http_request.url == f"{SETTINGS.deferred_url}{path}"

    def test_a_start_is_the_same_moment_in_every_zone(self, subject, client):
        eta = LATER.astimezone(dt.timezone(-dt.timedelta(hours=7)))

        told = self.fetch(client, subject.enqueue(task(eta=eta)))

        assert told.schedule_time == LATER

    def test_what_the_service_refuses_is_told(self, subject):
        with pytest.raises(EnqueueError, match="Cloud Tasks refused the call") as caught:
            subject.enqueue(task(eta=NOW + dt.timedelta(days=31)))

        assert type(caught.value) is EnqueueError

    def test_a_service_out_of_reach_is_told(self):
        subject = CloudTaskQueue(replace(SETTINGS, tasks_host="127.0.0.1:1"))

        with pytest.raises(UnavailableError, match="Cloud Tasks is unavailable"):
            subject.enqueue(task())

    def test_a_service_that_does_not_know_the_call_is_told(self, loop):
        with serving(loop) as address:
            subject = CloudTaskQueue(replace(SETTINGS, tasks_host=address))

            with pytest.raises(EnqueueError, match="Cloud Tasks refused the call"):
                subject.delete(subject.full_name("mail", "once"))

    def test_connecting_loads_what_a_task_needs_and_not_googles_client(self):
        program = (
            "import sys\n"
            "from dataclasses import replace\n"
            "from adjourn.gcp.cloudtasks import CloudTaskQueue\n"
            "from adjourn.ports import NewTask, Target\n"
            "from adjourn.testing import SETTINGS\n"
            "queue = CloudTaskQueue(replace(SETTINGS, tasks_host='127.0.0.1:1'))\n"
            "queue.connect()\n"
            "before = set(sys.modules)\n"
            "queue._new('europe-west1', NewTask(Target.DEFERRED, 'send', 'mail', b'{}'))\n"
            "print('grpc' in before, set(sys.modules) - before,"
            " [m for m in sys.modules if m.startswith(('google.cloud.', 'google.api_core'))])\n"
        )

        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )

        assert done.stdout == "True set() []\n"

    def test_a_channel_has_the_credentials_of_the_environment(self, monkeypatch):
        made = []
        monkeypatch.setattr(
            "google.auth.transport.grpc.secure_authorized_channel",
            lambda credentials, _request, target: made.append((credentials, target)),
        )
        monkeypatch.setattr("google.auth.default", lambda **_: (AnonymousCredentials(), "shop"))

        google_channel("cloudtasks.googleapis.com")

        ((credentials, target),) = made
        assert isinstance(credentials, AnonymousCredentials)
        assert target == "cloudtasks.googleapis.com:443"

    def test_certificates_of_the_caller_are_left_to_googles_client(self, monkeypatch):
        monkeypatch.setenv("GOOGLE_API_USE_CLIENT_CERTIFICATE", "true")

        assert google_channel("cloudtasks.googleapis.com") is None

    def test_without_credentials_nothing_is_enqueued(self, monkeypatch, tmp_path):
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))

        with pytest.raises(EnqueueError, match=r"missing\.json was not found"):
            CloudTaskQueue(SETTINGS).enqueue(task())

"""Jobs of the embedded Cloud Scheduler, managed through Google's own client."""

import datetime as dt

import pytest
from google.cloud import scheduler_v1
from google.protobuf import duration_pb2, field_mask_pb2

from adjourn_local.http.rpc import RpcError
from adjourn_local.scheduler.job_store import JobEntry
from tests.contract.scheduler_stack import LOCATION, NOON, prepared
from tests.support import refused

State = scheduler_v1.Job.State
# Google's REST client does not send what has no path in the API.
over_grpc = pytest.mark.parametrize("stack", ["grpc"], indirect=True)
NAME = f"{LOCATION}/jobs/j"


@pytest.fixture(params=["grpc", "rest"])
def stack(loop, tmp_path, request):
    with prepared(loop, tmp_path, transport=request.param) as stack:
        yield stack


@pytest.fixture
def client(stack):
    with stack.running() as client:
        yield client


def create(client, job, parent=LOCATION):
    return client.create_job(parent=parent, job=job)


def update(client, job, *paths):
    mask = field_mask_pb2.FieldMask(paths=paths) if paths else None
    return client.update_job(job=job, update_mask=mask)


def test_a_new_job_is_complete(client, stack):
    job = create(client, stack.job(schedule="30 * * * *"))

    assert job == client.get_job(name=NAME)
    assert job.state == State.ENABLED
    assert job.time_zone == "UTC"
    assert job.schedule_time == NOON + dt.timedelta(minutes=30)
    assert job.user_update_time == NOON
    assert job.attempt_deadline == dt.timedelta(minutes=3)
    assert job.http_target.http_method == scheduler_v1.HttpMethod.POST
    assert job.retry_config.retry_count == 0
    assert job.retry_config.max_retry_duration == dt.timedelta()
    assert job.retry_config.min_backoff_duration == dt.timedelta(seconds=5)
    assert job.retry_config.max_backoff_duration == dt.timedelta(hours=1)
    assert job.retry_config.max_doublings == 5
    assert "status" not in job
    assert "last_attempt_time" not in job


def test_what_the_user_gave_is_kept(client, stack):
    job = create(
        client,
        stack.job(
            schedule="0 3 * * MON",
            time_zone="Europe/Berlin",
            description="d" * 500,
            retry_config={"retry_count": 5, "max_doublings": 2, "min_backoff_duration": "7s"},
            attempt_deadline=dt.timedelta(minutes=30),
            target={
                "http_method": "PUT",
                "headers": {"A": "1", "b": "ü"},
                "body": b"\0\xff",
                "oidc_token": {"service_account_email": "a@b", "audience": "c"},
            },
        ),
    )

    assert job.time_zone == "Europe/Berlin"
    assert job.description == "d" * 500
    assert (job.retry_config.retry_count, job.retry_config.max_doublings) == (5, 2)
    assert job.retry_config.min_backoff_duration == dt.timedelta(seconds=7)
    assert job.attempt_deadline == dt.timedelta(minutes=30)
    assert job.http_target.http_method == scheduler_v1.HttpMethod.PUT
    assert dict(job.http_target.headers) == {"A": "1", "b": "ü"}
    assert job.http_target.body == b"\0\xff"
    assert job.http_target.oidc_token.service_account_email == "a@b"
    assert job.schedule_time == dt.datetime(2026, 3, 9, 2, tzinfo=dt.UTC)


def test_what_only_the_service_sets_is_ignored(client, stack):
    given = stack.job(
        state=State.DISABLED,
        status={"code": 5},
        schedule_time=NOON - dt.timedelta(days=1),
        last_attempt_time=NOON,
    )

    job = create(client, given)

    assert job.state == State.ENABLED
    assert "status" not in job
    assert job.schedule_time == NOON + dt.timedelta(minutes=1)


def test_a_job_without_a_name_gets_one(client, stack):
    given = stack.job()
    given.name = ""

    first, second = create(client, given), create(client, given)

    assert first.name.startswith(f"{LOCATION}/jobs/")
    assert first.name != second.name


def test_a_name_is_taken_until_its_job_is_deleted(client, stack):
    create(client, stack.job())
    with refused("ALREADY_EXISTS", match=f"Job {NAME} already exists"):
        create(client, stack.job())

    client.delete_job(name=NAME)

    assert create(client, stack.job()).name == NAME


@pytest.mark.parametrize("call", ["get_job", "delete_job", "pause_job", "resume_job", "run_job"])
def test_a_job_that_is_not_there_is_not_found(client, call):
    with refused("NOT_FOUND", match=r"Job not found\."):
        getattr(client, call)(name=NAME)


def test_updating_a_job_that_is_not_there_does_not_create_it(client, stack):
    with refused("NOT_FOUND"):
        update(client, stack.job(), "description")


@over_grpc
@pytest.mark.parametrize(
    "name",
    ["", "j", f"{LOCATION}/jobs/", f"{LOCATION}/jobs/a b", f"{LOCATION}/jobs/" + "x" * 501,
     f"{LOCATION}/jobs/ü", f"{LOCATION}/queues/q", f"{LOCATION}/jobs/a/b", "projects/p/jobs/j"],
)  # fmt: skip
def test_a_malformed_name_is_refused_by_every_method(client, stack, name):
    job = stack.job()
    job.name = name
    for call in (client.get_job, client.delete_job, client.pause_job, client.run_job):
        with refused("INVALID_ARGUMENT", match="Job name must be formatted"):
            call(name=name)
    with refused("INVALID_ARGUMENT", match="Job name must be formatted"):
        update(client, job, "description")
    if name:
        with refused("INVALID_ARGUMENT", match="Job name must be formatted"):
            create(client, job)


def test_the_longest_name_is_accepted(client, stack):
    assert create(client, stack.job("x" * 500))


@over_grpc
def test_a_job_belongs_to_the_location_in_which_it_is_created(client, stack):
    with refused("INVALID_ARGUMENT", match="must start with the parent"):
        create(client, stack.job(), parent="projects/p/locations/us-east1")
    with refused("INVALID_ARGUMENT", match="Location name"):
        create(client, stack.job(), parent="projects/p")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schedule": ""}, "Schedule or time zone is invalid."),
        ({"schedule": "61 * * * *"}, "'61' is not a valid minute"),
        ({"schedule": "every 0 minutes"}, "'0 minutes' is not a number of minutes or hours"),
        ({"schedule": "every 5 minutes", "time_zone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"schedule": "every 6 hours mon,wed"}, 'comes "from 10:00 to 14:00"'),
        ({"schedule": "every 5 hours synchronized"}, "divide the day"),
        ({"schedule": "0 0 31 2 *"}, "no month has such a day"),
        ({"time_zone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"description": "d" * 501}, "description"),
        ({"attempt_deadline": dt.timedelta(seconds=14)}, "attempt deadline"),
        ({"attempt_deadline": dt.timedelta(minutes=30, seconds=1)}, "attempt deadline"),
        ({"attempt_deadline": dt.timedelta()}, "attempt deadline"),
        ({"retry_config": {"retry_count": 6}}, "retry count"),
        ({"retry_config": {"retry_count": -1}}, "retry count"),
        ({"retry_config": {"max_doublings": -1}}, "negative"),
        ({"retry_config": {"max_retry_duration": "-1s"}}, "negative"),
        ({"retry_config": {"min_backoff_duration": "3601s"}}, "backoff"),
        ({"target": {"http_method": "GET", "body": b"x"}}, "body is allowed only"),
        ({"target": {"http_method": "DELETE", "body": b"x"}}, "body is allowed only"),
        ({"target": {"http_method": 9}}, "unknown"),
        ({"target": {"headers": {"a b": "c"}}}, "header 'a b'"),
        ({"target": {"headers": {"": "c"}}}, "header ''"),
        ({"target": {"headers": {"a": "b\r\nc: d"}}}, "header 'a'"),
        ({"target": {"headers": {"a": "b" * 81920}}}, "80 KB"),
        ({"target": {"body": b"x" * (1 << 20)}}, "1 MB"),
        ({"target": {"oauth_token": {"scope": "x"}}}, "email of the OAuth token"),
        ({"target": {"oidc_token": {}}}, "email of the OIDC token"),
    ],
)  # fmt: skip
def test_what_the_service_would_not_take_is_refused(client, stack, change, reason):
    with refused("INVALID_ARGUMENT", match=reason):
        create(client, stack.job(**change))
    with refused("NOT_FOUND"):
        client.get_job(name=NAME)


@pytest.mark.parametrize(
    "uri",
    ["", "ftp://x/", "x", "/relative", "http://", "http:///x", "http://[::1", "http://x:99999/",
     "http://x/" + "a" * 2083],
)  # fmt: skip
def test_a_malformed_uri_is_refused(client, stack, uri):
    job = stack.job()
    job.http_target.uri = uri

    with refused("INVALID_ARGUMENT", match="URI"):
        create(client, job)


def test_other_targets_are_refused_by_name(client, stack):
    none, pubsub = stack.job(), stack.job()
    none.http_target = None
    pubsub.pubsub_target = {"topic_name": "projects/p/topics/t", "data": b"x"}

    with refused("INVALID_ARGUMENT", match="must have a target"):
        create(client, none)
    with refused("INVALID_ARGUMENT", match="pubsub_target is not supported"):
        create(client, pubsub)


def app_engine_job(stack, *, name="j", **target):
    job = stack.job(name)
    job.app_engine_http_target = target
    return job


@pytest.fixture
def with_app_engine(stack):
    stack._options["app_engine"] = {"default": "http://127.0.0.1:1/", "api": "http://127.0.0.1:2"}


@pytest.mark.usefixtures("with_app_engine")
class TestAppEngine:
    def test_a_new_job_is_complete(self, stack):
        with stack.running() as client:
            job = create(client, app_engine_job(stack, app_engine_routing={"service": "api"}))

        target = job.app_engine_http_target
        assert target.relative_uri == "/"
        assert target.http_method == scheduler_v1.HttpMethod.POST
        assert target.app_engine_routing.host == "api.p.appspot.com"
        assert job.attempt_deadline == dt.timedelta(minutes=10)

    @pytest.mark.parametrize(
        ("target", "reason"),
        [
            ({"relative_uri": "x"}, "relative URI"),
            ({"relative_uri": "/a b"}, "relative URI"),
            ({"relative_uri": "/" + "x" * 2083}, "2083"),
            ({"http_method": "PATCH"}, "PATCH is unknown or not permitted"),
            ({"http_method": "OPTIONS"}, "OPTIONS is unknown or not permitted"),
            ({"http_method": "GET", "body": b"x"}, "POST or PUT"),
            ({"headers": {"a b": "c"}}, "header 'a b'"),
        ],
    )
    def test_what_the_service_would_not_take_is_refused(self, stack, target, reason):
        with stack.running() as client, refused("INVALID_ARGUMENT", match=reason):
            create(client, app_engine_job(stack, **target))

    @pytest.mark.parametrize(("seconds", "is_good"), [(14, False), (86415, True), (86416, False)])
    def test_the_deadline_may_be_a_day(self, stack, seconds, is_good):
        job = app_engine_job(stack)
        job.attempt_deadline = dt.timedelta(seconds=seconds)

        with stack.running() as client:
            if is_good:
                assert create(client, job).attempt_deadline == job.attempt_deadline
            else:
                with refused("INVALID_ARGUMENT", match="24 hours and 15 seconds"):
                    create(client, job)

    def test_a_service_without_an_address_is_refused_with_the_option(self, stack):
        job = app_engine_job(stack, app_engine_routing={"service": "other"})

        with stack.running() as client:
            with refused("FAILED_PRECONDITION", match="--app-engine other=http://127.0.0.1:PORT"):
                create(client, job)
            before = create(client, stack.job())
            with refused("FAILED_PRECONDITION", match="--app-engine other"):
                update(client, job, "app_engine_http_target")
            assert client.get_job(name=NAME) == before


def fill(stack, count):
    """Put jobs into the store, which is faster than to create them."""

    def put():
        for number in range(count):
            job = scheduler_v1.Job.pb(stack.job(f"j{number}"))
            stack.server._store.put(JobEntry(job=job, tick=None))

    stack.call(put)


def test_a_page_has_five_hundred_jobs_at_most(client, stack):
    fill(stack, 501)

    pages = list(client.list_jobs(request={"parent": LOCATION, "page_size": 5000}).pages)

    assert [len(page.jobs) for page in pages] == [500, 1]


@over_grpc
def test_a_location_has_room_for_five_thousand_jobs(client, stack):
    elsewhere = LOCATION.replace("europe-west3", "us-central1")
    fill(stack, 5000)

    with refused("RESOURCE_EXHAUSTED", "A location of a project can have at most 5000 jobs."):
        create(client, stack.job("one-more"))
    job = stack.job()
    job.name = f"{elsewhere}/jobs/j"
    assert create(client, job, elsewhere).name == job.name


def test_jobs_are_listed_in_pages(client, stack):
    names = [create(client, stack.job(f"job-{n:02}")).name for n in range(7)]
    other = "projects/p/locations/europe-west33"
    job = stack.job()
    job.name = f"{other}/jobs/other"
    create(client, job, parent=other)

    pages = list(client.list_jobs(request={"parent": LOCATION, "page_size": 3}).pages)

    assert [[job.name for job in page.jobs] for page in pages] == [
        names[:3],
        names[3:6],
        names[6:],
    ]
    assert [job.name for job in client.list_jobs(parent=LOCATION)] == names
    assert [job.name for job in client.list_jobs(parent=other)] == [job.name]
    assert list(client.list_jobs(parent="projects/q/locations/l")) == []


def test_a_full_last_page_is_the_last(client, stack):
    for n in range(4):
        create(client, stack.job(f"j{n}"))

    pages = list(client.list_jobs(request={"parent": LOCATION, "page_size": 2}).pages)

    assert [len(page.jobs) for page in pages] == [2, 2]


@over_grpc
@pytest.mark.parametrize(
    "request_",
    [
        {"parent": "projects/p"},
        {"parent": LOCATION, "page_size": -1},
        {"parent": LOCATION, "page_token": "!"},
        {"parent": LOCATION, "page_token": "eA=="},
        {"parent": LOCATION, "page_token": "_w=="},
    ],
)
def test_a_malformed_list_request_is_refused(client, request_):
    with refused("INVALID_ARGUMENT"):
        client.list_jobs(request=request_)


def test_an_update_changes_what_its_mask_names(client, stack):
    create(client, stack.job(description="old", retry_config={"retry_count": 3}))
    stack.advance(5)

    job = update(
        client, stack.job(schedule="0 * * * *", description="new"), "description", "retry_config"
    )

    assert job.description == "new"
    assert job.schedule == "* * * * *"
    assert job.retry_config.retry_count == 0
    assert job.retry_config.max_doublings == 5
    assert job.user_update_time == NOON + dt.timedelta(seconds=5)
    assert client.get_job(name=NAME) == job


def test_an_update_reaches_into_messages(client, stack):
    create(
        client,
        stack.job(target={"headers": {"a": "1", "b": "2"}, "body": b"x"}, description="kept"),
    )
    given = scheduler_v1.Job(
        name=NAME,
        http_target={"uri": "http://other.example/", "headers": {"c": "3"}},
        retry_config={"retry_count": 4},
    )

    job = update(
        client, given, "http_target.uri", "http_target.headers", "retry_config.retry_count"
    )

    assert job.http_target.uri == "http://other.example/"
    assert dict(job.http_target.headers) == {"c": "3"}
    assert job.http_target.body == b"x"
    assert job.retry_config.retry_count == 4
    assert job.retry_config.min_backoff_duration == dt.timedelta(seconds=5)
    assert job.description == "kept"


def test_what_a_mask_names_and_the_job_lacks_goes_back_to_its_default(client, stack):
    create(
        client,
        stack.job(
            description="old",
            time_zone="Europe/Berlin",
            attempt_deadline=dt.timedelta(minutes=1),
            target={"body": b"x", "oidc_token": {"service_account_email": "a@b"}},
        ),
    )

    job = update(
        client,
        scheduler_v1.Job(name=NAME),
        "description",
        "time_zone",
        "attempt_deadline",
        "http_target.body",
        "http_target.oidc_token",
    )

    assert job.description == ""
    assert job.time_zone == "UTC"
    assert job.attempt_deadline == dt.timedelta(minutes=3)
    assert job.http_target.body == b""
    assert "oidc_token" not in job.http_target
    assert job.http_target.uri


@pytest.mark.parametrize("paths", [(), ("*",)])
def test_an_update_without_a_mask_replaces_everything_of_the_users(client, stack, paths):
    created = create(client, stack.job(description="old", retry_config={"retry_count": 3}))

    job = update(client, stack.job(schedule="5 * * * *"), *paths)

    assert job.description == ""
    assert job.retry_config.retry_count == 0
    assert job.schedule == "5 * * * *"
    assert job.schedule_time == NOON + dt.timedelta(minutes=5)
    assert job.state == created.state


def test_an_update_ignores_what_only_the_service_sets(client, stack):
    create(client, stack.job())

    job = update(client, stack.job(state=State.PAUSED, status={"code": 9}), "state", "status")

    assert job.state == State.ENABLED
    assert "status" not in job


@over_grpc
@pytest.mark.parametrize("path", ["nonsense", "http_target.nonsense", "timeZone", "schedule.x"])
def test_an_unknown_field_in_a_mask_is_refused(client, stack, path):
    create(client, stack.job())

    with refused("INVALID_ARGUMENT", match=f"Invalid mask for Job: {path}"):
        update(client, stack.job(), path)


def test_a_refused_update_changes_nothing(client, stack):
    before = create(client, stack.job(description="old"))

    for job, path in [
        (stack.job(schedule="nonsense"), "schedule"),
        (stack.job(retry_config={"retry_count": 9}), "retry_config"),
        (scheduler_v1.Job(name=NAME), "http_target"),
        (scheduler_v1.Job(name=NAME), "schedule"),
        (scheduler_v1.Job(name=NAME, pubsub_target={"topic_name": "t"}), "pubsub_target"),
    ]:
        with refused("INVALID_ARGUMENT"):
            update(client, job, "description", path)

    assert client.get_job(name=NAME) == before


def test_pausing_needs_an_enabled_job_and_resuming_one_is_done_already(client, stack):
    job = create(client, stack.job())
    assert client.resume_job(name=NAME) == job

    assert client.pause_job(name=NAME).state == State.PAUSED
    assert client.get_job(name=NAME).state == State.PAUSED
    with refused("FAILED_PRECONDITION", match=r"^Job\.state must be ENABLED for PauseJob\.$"):
        client.pause_job(name=NAME)
    with refused("FAILED_PRECONDITION", match=r"^Job\.state must be ENABLED for RunJob\.$"):
        client.run_job(name=NAME)

    assert client.resume_job(name=NAME).state == State.ENABLED


def test_an_update_leaves_a_paused_job_paused(client, stack):
    create(client, stack.job())
    client.pause_job(name=NAME)

    job = update(client, stack.job(schedule="5 * * * *"), "schedule")

    assert job.state == State.PAUSED
    assert "schedule_time" not in job


def test_a_duration_beyond_all_calendars_is_refused_and_not_an_internal_error(client, stack):
    endless = duration_pb2.Duration(seconds=315_576_000_000)

    with refused("INVALID_ARGUMENT"):
        create(client, stack.job(retry_config={"min_backoff_duration": endless}))


class TestEnsureJob:
    ARGUMENTS = {  # noqa: RUF012 - read only
        "name": NAME,
        "schedule": "0 3 * * *",
        "time_zone": "Europe/Berlin",
        "uri": "http://127.0.0.1:1111/cron",
        "service_account": "cron@p.iam.gserviceaccount.com",
        "audience": "http://127.0.0.1:1111",
    }

    def test_it_creates_a_job(self, client, stack):
        stack.ensure_job(**self.ARGUMENTS)

        job = client.get_job(name=NAME)
        assert (job.schedule, job.time_zone) == ("0 3 * * *", "Europe/Berlin")
        assert job.http_target.uri == "http://127.0.0.1:1111/cron"
        assert job.http_target.oidc_token.audience == "http://127.0.0.1:1111"
        assert job.state == State.ENABLED

    def test_it_follows_a_changed_port_and_keeps_what_the_user_changed(self, client, stack):
        stack.ensure_job(**self.ARGUMENTS)
        update(client, stack.job(schedule="5 * * * *", description="mine"), "schedule",
               "description")  # fmt: skip
        client.pause_job(name=NAME)

        moved = {"uri": "http://127.0.0.1:2222/cron", "audience": "http://127.0.0.1:2222"}
        stack.ensure_job(**{**self.ARGUMENTS, **moved})

        job = client.get_job(name=NAME)
        assert job.http_target.uri == moved["uri"]
        assert job.http_target.oidc_token.audience == moved["audience"]
        assert (job.schedule, job.description, job.state) == ("5 * * * *", "mine", State.PAUSED)

    def test_it_leaves_alone_what_is_right(self, client, stack):
        stack.ensure_job(**self.ARGUMENTS)
        before = client.get_job(name=NAME)
        stack.advance(60)

        stack.ensure_job(**self.ARGUMENTS)

        assert client.get_job(name=NAME) == before

    def test_it_may_come_before_the_start(self, stack):
        with stack.stopped():
            stack.ensure_job(**self.ARGUMENTS)

        with stack.running() as client:
            assert client.get_job(name=NAME)

    @pytest.mark.parametrize("mistake", [{"name": "j"}, {"time_zone": "Mars/Olympus"}])
    def test_a_mistake_is_refused_as_a_clients_would_be(self, stack, mistake):
        with stack.stopped(), pytest.raises(RpcError, match=r"must be formatted|not a time zone"):
            stack.ensure_job(**{**self.ARGUMENTS, **mistake})

"""What the embedded Cloud Scheduler sends, when, and what it makes of the answers."""

import datetime as dt
import logging
import sqlite3
import threading
from zoneinfo import ZoneInfo

import google.auth.jwt
import pytest
from google.cloud import scheduler_v1
from google.protobuf import field_mask_pb2
from google.rpc import code_pb2

from adjourn_local.timing.clocks import MachineClock
from tests.contract.scheduler_stack import LOCATION, NOON, prepared

NAME = f"{LOCATION}/jobs/j"
MINUTE, HOUR = 60, 3600
State = scheduler_v1.Job.State


@pytest.fixture
def stack(loop, tmp_path):
    with prepared(loop, tmp_path) as stack:
        yield stack


@pytest.fixture
def client(stack):
    with stack.running() as client:
        yield client


def create(client, job):
    return client.create_job(parent=LOCATION, job=job)


def after_noon(seconds):
    return NOON + dt.timedelta(seconds=seconds)


class TestRequest:
    def test_the_headers_of_the_service(self, client, stack):
        create(client, stack.job("nightly"))

        stack.advance(MINUTE)

        (call,) = stack.handler.calls
        assert (call.method, call.path, call.body) == ("POST", "/cron", b"")
        names = {name for name, _ in call.headers}
        assert call.header("User-Agent") == "Google-Cloud-Scheduler"
        assert call.header("X-CloudScheduler") == "true"
        assert call.header("X-CloudScheduler-JobName") == "nightly"
        assert call.scheduled == "2026-03-02T12:01:00Z"
        assert call.header("Authorization") is None
        assert call.header("Content-Type") is None
        assert names <= {
            "Host",
            "Content-Length",
            "User-Agent",
            "X-CloudScheduler",
            "X-CloudScheduler-JobName",
            "X-CloudScheduler-ScheduleTime",
        }

    def test_the_users_request(self, client, stack):
        job = stack.job(
            target={"http_method": "PATCH", "headers": {"X-Mine": "a, b"}, "body": b"\0\xffx"}
        )
        job.http_target.uri += "?a=%2F&b=1"
        create(client, job)

        stack.advance(MINUTE)

        (call,) = stack.handler.calls
        assert (call.method, call.path, call.body) == ("PATCH", "/cron?a=%2F&b=1", b"\0\xffx")
        assert call.header("X-Mine") == "a, b"
        assert call.header("Content-Type") == "application/octet-stream"

    def test_the_users_content_type_wins(self, client, stack):
        headers = {"content-type": "application/json"}
        create(client, stack.job(target={"headers": headers, "body": b"{}"}))

        stack.advance(MINUTE)

        assert stack.handler.calls[0].header("Content-Type") == "application/json"

    def test_headers_that_the_service_keeps_to_itself(self, client, stack):
        headers = {
            "host": "evil.example",
            "user-agent": "mine",
            "content-length": "5",
            "X-Google-Thing": "1",
            "x-appengine-cron": "true",
            "x-cloudscheduler": "false",
            "X-CloudScheduler-ScheduleTime": "never",
            "X-CloudScheduler-Other": "1",
            "authorization": "Bearer mine",
            "X-Kept": "1",
        }
        oidc = {"service_account_email": "a@b", "audience": "c"}
        create(client, stack.job(target={"headers": headers, "oidc_token": oidc}))

        stack.advance(MINUTE)

        (call,) = stack.handler.calls
        lower = [name.lower() for name, _ in call.headers]
        assert len(lower) == len(set(lower))
        assert call.header("Host") == stack.url.removeprefix("http://")
        assert call.header("User-Agent") == "Google-Cloud-Scheduler"
        assert call.header("X-CloudScheduler") == "true"
        assert call.scheduled == "2026-03-02T12:01:00Z"
        assert call.header("X-Kept") == "1"
        assert call.header("Authorization") != "Bearer mine"
        assert not {"x-google-thing", "x-appengine-cron", "x-cloudscheduler-other"} & set(lower)

    def test_the_users_own_authorization_is_sent_without_oidc(self, client, stack):
        create(client, stack.job(target={"headers": {"Authorization": "Basic eDp5"}}))

        stack.advance(MINUTE)

        assert stack.handler.calls[0].header("Authorization") == "Basic eDp5"

    @pytest.mark.parametrize("audience", ["https://fn.example", ""])
    def test_the_token_of_a_service_account(self, client, stack, audience):
        oidc = {"service_account_email": "cron@p.iam.gserviceaccount.com", "audience": audience}
        create(client, stack.job(target={"oidc_token": oidc}))

        stack.advance(MINUTE)

        scheme, _, token = stack.handler.calls[0].header("Authorization").partition(" ")
        claims = google.auth.jwt.decode(token, verify=False)
        assert scheme == "Bearer"
        assert claims["email"] == "cron@p.iam.gserviceaccount.com"
        assert claims["aud"] == (audience or f"{stack.url}/cron")
        assert claims["iat"] == after_noon(MINUTE).timestamp()

    def test_an_access_token_is_opaque(self, client, stack):
        oauth = {"service_account_email": "cron@p.iam.gserviceaccount.com"}
        create(client, stack.job(target={"oauth_token": oauth}))

        stack.advance(MINUTE)

        scheme, _, token = stack.handler.calls[0].header("Authorization").partition(" ")
        assert (scheme, token[:6]) == ("Bearer", "local.")
        assert len(token) == 70

    @pytest.mark.parametrize(
        ("zone", "expected"),
        [
            ("America/New_York", "2026-03-02T07:01:00-05:00"),
            ("Europe/London", "2026-03-02T12:01:00Z"),
            ("Asia/Kathmandu", "2026-03-02T17:46:00+05:45"),
        ],
    )
    def test_the_schedule_time_is_told_in_the_jobs_zone(self, client, stack, zone, expected):
        create(client, stack.job(time_zone=zone))

        stack.advance(MINUTE)

        assert stack.handler.calls[0].scheduled == expected


class TestSchedule:
    def test_a_day_passes(self, client, stack):
        create(client, stack.job(schedule="*/30 */4 * * *"))

        for _ in range(48):
            stack.advance(30 * MINUTE)

        assert stack.times == [
            n * 30 * MINUTE for n in range(1, 49) if (12 + n / 2) % 4 in (0, 0.5)
        ]

    def test_a_job_runs_by_itself_without_any_call(self, client, stack):
        create(client, stack.job())

        for n in (1, 2, 3):
            stack.advance_until_called(MINUTE, calls=n)

        assert stack.times == [60, 120, 180]

    def test_the_night_of_a_clock_change(self, loop, tmp_path):
        zone = ZoneInfo("Europe/Berlin")
        with prepared(loop, tmp_path) as stack:
            start = dt.datetime(2026, 10, 24, 22, tzinfo=dt.UTC)
            loop.call(lambda: stack.clock.advance((start - NOON).total_seconds()))
            with stack.running() as client:
                create(client, stack.job(schedule="30 2,3 * * *", time_zone=zone.key))
                for _ in range(12):
                    stack.advance(30 * MINUTE)

        assert [call.scheduled for call in stack.handler.calls] == [
            "2026-10-25T02:30:00+02:00",
            "2026-10-25T02:30:00+01:00",
            "2026-10-25T03:30:00+01:00",
        ]

    def test_several_jobs_keep_their_own_times(self, client, stack):
        create(client, stack.job("often", schedule="*/2 * * * *"))
        create(client, stack.job("seldom", schedule="*/3 * * * *"))

        for _ in range(6):
            stack.advance(MINUTE)

        names = [call.header("X-CloudScheduler-JobName") for call in stack.handler.calls]
        assert sorted(names) == ["often"] * 3 + ["seldom"] * 2

    def test_a_paused_job_does_not_run_and_does_not_catch_up(self, client, stack):
        create(client, stack.job())
        client.pause_job(name=NAME)
        stack.advance(HOUR)
        assert stack.handler.calls == []

        job = client.resume_job(name=NAME)
        assert job.schedule_time == after_noon(HOUR + MINUTE)

        stack.advance(MINUTE)
        assert stack.times == [HOUR + MINUTE]

    def test_a_deleted_job_does_not_run(self, client, stack):
        create(client, stack.job())

        client.delete_job(name=NAME)
        stack.advance(HOUR)

        assert stack.handler.calls == []

    def test_an_updated_schedule_counts_from_now(self, client, stack):
        create(client, stack.job(schedule="0 * * * *"))
        mask = field_mask_pb2.FieldMask(paths=["schedule", "time_zone"])

        job = client.update_job(
            job=stack.job(schedule="15 8 * * *", time_zone="America/New_York"), update_mask=mask
        )
        assert job.schedule_time == after_noon(HOUR + 15 * MINUTE)

        stack.advance(HOUR)
        stack.advance(15 * MINUTE)
        assert stack.times == [HOUR + 15 * MINUTE]

    def test_a_clock_that_jumps_ahead_makes_one_late_start(self, client, stack):
        create(client, stack.job(schedule="*/10 * * * *"))

        stack.advance(24 * HOUR + 5 * MINUTE)

        assert [call.scheduled for call in stack.handler.calls] == ["2026-03-03T12:00:00Z"]
        job = client.get_job(name=NAME)
        assert job.schedule_time == after_noon(24 * HOUR + 10 * MINUTE)

    def test_a_clock_that_is_set_back_does_not_silence_a_job(self, loop, client, stack):
        create(client, stack.job(schedule="*/10 * * * *"))
        loop.call(lambda: stack.clock.advance(-24 * HOUR))

        loop.call(stack.server.recover)
        assert client.get_job(name=NAME).schedule_time == after_noon(-24 * HOUR + 10 * MINUTE)
        stack.advance(10 * MINUTE)

        assert stack.times == [-24 * HOUR + 10 * MINUTE]

    def test_the_fields_that_tell_of_a_run(self, client, stack):
        create(client, stack.job())
        stack.handler.answers = [404, 200]

        stack.advance(MINUTE + 3)
        job = client.get_job(name=NAME)
        assert job.last_attempt_time == after_noon(MINUTE + 3)
        assert job.schedule_time == after_noon(2 * MINUTE)
        assert job.status.code == code_pb2.NOT_FOUND
        assert "404" in job.status.message

        stack.advance(MINUTE)
        job = client.get_job(name=NAME)
        assert job.last_attempt_time == after_noon(2 * MINUTE + 3)
        assert job.status.code == code_pb2.OK
        assert job.status.message == ""


class TestInterval:
    """`every 5 minutes` counts from the end of a run, as App Engine's documentation says."""

    def test_the_first_run_comes_one_interval_after_the_job_was_made(self, client, stack):
        stack.advance(7)

        job = create(client, stack.job(schedule="every 5 minutes"))

        assert job.schedule_time == after_noon(7 + 5 * MINUTE)
        for _ in range(6):
            stack.advance(2.5 * MINUTE)
        assert stack.times == [7 + n * 5 * MINUTE for n in (1, 2, 3)]

    def test_the_next_run_waits_until_the_last_has_ended(self, client, stack):
        create(
            client, stack.job(schedule="every 5 minutes", attempt_deadline=dt.timedelta(hours=0.5))
        )
        stack.handler.held = True
        stack.advance_until_called(5 * MINUTE, calls=1)

        stack._loop.call(lambda: stack.clock.advance(12 * MINUTE))
        stack.release()
        assert client.get_job(name=NAME).schedule_time == after_noon(22 * MINUTE)
        stack.advance(5 * MINUTE)

        assert stack.times == [5 * MINUTE, 22 * MINUTE]

    def test_retries_belong_to_the_run(self, client, stack):
        retries = {"retry_count": 2, "min_backoff_duration": "600s", "max_doublings": 1}
        create(client, stack.job(schedule="every 5 minutes", retry_config=retries))
        stack.handler.answers = [500, 500, 500]

        for _ in range(9):
            stack.advance(5 * MINUTE)

        assert stack.times == [n * MINUTE for n in (5, 15, 35, 40, 45)]

    def test_a_run_by_hand_leaves_the_interval_alone(self, client, stack):
        create(client, stack.job(schedule="every 1 hours"))
        stack.advance(10 * MINUTE)

        client.run_job(name=NAME)
        stack.advance(0)
        stack.advance(50 * MINUTE)

        assert stack.times == [10 * MINUTE, HOUR]

    def test_pausing_updating_and_a_restart_begin_the_interval_anew(self, stack):
        with stack.running() as client:
            job = create(client, stack.job(schedule="every 10 mins"))
            stack.advance(5 * MINUTE)
            client.pause_job(name=NAME)
            stack.advance(20 * MINUTE)
            assert client.resume_job(name=NAME).schedule_time == after_noon(35 * MINUTE)
            stack.advance(MINUTE)
            job.schedule = "every 2 hours"
            mask = field_mask_pb2.FieldMask(paths=["schedule"])
            job = client.update_job(job=job, update_mask=mask)
            assert job.schedule_time == after_noon(26 * MINUTE + 2 * HOUR)
        stack._loop.call(lambda: stack.clock.advance(3 * HOUR))

        with stack.running() as client:
            stack.advance(0)
            assert client.get_job(name=NAME).schedule_time == after_noon(26 * MINUTE + 5 * HOUR)

        assert stack.times == []


@pytest.mark.parametrize(
    ("schedule", "hours"),
    [
        ("every 12 hours from 05:00 to 17:00", [17, 29, 41]),
        ("every 8 hours synchronized", [16, 24, 32, 40]),
        ("every day 03:00", [27]),
        ("every tuesday 14:00", [38]),
        ("1st,third monday of month 14:00", [14]),
        ("2,4 of march 06:00", []),
        ("3 of jan,march 06:00", [30]),
    ],
)
def test_app_engines_times_of_the_day(client, stack, schedule, hours):
    create(client, stack.job(schedule=schedule))

    for _ in range(32):
        stack.advance(HOUR)

    assert stack.times == [(hour - 12) * HOUR for hour in hours if hour <= 12 + 32]


class TestOverlap:
    def test_a_start_waits_for_the_one_before(self, client, stack):
        create(client, stack.job())
        stack.handler.held = True
        stack.advance_until_called(MINUTE, calls=1)

        stack._loop.call(lambda: stack.clock.advance(90))
        assert len(stack.handler.calls) == 1
        stack.release()

        assert stack.times == [60, 150]
        assert [call.scheduled for call in stack.handler.calls] == [
            "2026-03-02T12:01:00Z",
            "2026-03-02T12:02:00Z",
        ]

    def test_starts_that_wait_are_merged(self, client, stack):
        create(client, stack.job(attempt_deadline=dt.timedelta(minutes=30)))
        stack.handler.held = True
        stack.advance_until_called(MINUTE, calls=1)

        for _ in range(5):
            stack._loop.call(lambda: stack.clock.advance(MINUTE))
        stack.release()
        stack.advance(MINUTE)

        assert stack.times == [60, 360, 420]

    def test_a_start_can_be_left_out_instead(self, loop, tmp_path):
        with (
            prepared(loop, tmp_path, skips_overlapping=True) as stack,
            stack.running() as client,
        ):
            create(client, stack.job())
            stack.handler.held = True
            stack.advance_until_called(MINUTE, calls=1)

            stack._loop.call(lambda: stack.clock.advance(90))
            stack.release()
            assert stack.times == [60]

            stack.advance(30)
            assert stack.times == [60, 180]

    def test_other_jobs_do_not_wait(self, client, stack):
        create(client, stack.job("slow"))
        stack.handler.held = True
        stack.advance_until_called(MINUTE, calls=1)
        create(client, stack.job("other"))

        stack.advance_until_called(MINUTE, calls=2)

        assert stack.handler.calls[1].header("X-CloudScheduler-JobName") == "other"


class TestRetries:
    def test_by_default_a_failed_job_waits_for_its_next_start(self, client, stack):
        create(client, stack.job(schedule="0 * * * *"))
        stack.handler.answers = [500]

        for _ in range(12):
            stack.advance(10 * MINUTE)

        assert stack.times == [HOUR, 2 * HOUR]

    def test_retries_follow_the_curve_and_carry_the_same_schedule_time(self, client, stack):
        create(client, stack.job(schedule="0 * * * *", retry_config={"retry_count": 3}))
        stack.handler.answers = [500, 404, 302, 500]
        stack.advance(HOUR)

        waits = []
        for _ in range(3):
            upcoming = client.get_job(name=NAME).schedule_time
            waits.append((upcoming - stack.clock.now()).total_seconds())
            stack.advance(waits[-1])

        assert waits == [5, 10, 20]
        assert stack.times == [HOUR, HOUR + 5, HOUR + 15, HOUR + 35]
        assert {call.scheduled for call in stack.handler.calls} == {"2026-03-02T13:00:00Z"}
        assert client.get_job(name=NAME).schedule_time == after_noon(2 * HOUR)

    def test_an_acknowledgement_ends_the_retries(self, client, stack):
        create(client, stack.job(schedule="0 * * * *", retry_config={"retry_count": 5}))
        stack.handler.answers = [503, 204]

        stack.advance(HOUR)
        for _ in range(20):
            stack.advance(60)

        assert stack.times == [HOUR, HOUR + 60]
        assert client.get_job(name=NAME).status.code == code_pb2.OK

    def test_a_retry_never_comes_after_the_next_start(self, client, stack):
        retries = {"retry_count": 5, "min_backoff_duration": "40s", "max_doublings": 1}
        create(client, stack.job(retry_config=retries))
        stack.handler.answers = [500, 500, 500]

        for _ in range(9):
            stack.advance(20)

        assert stack.times == [60, 100, 120, 160, 180]

    def test_retries_can_be_limited_by_time_alone(self, client, stack):
        retries = {
            "max_retry_duration": "25s",
            "min_backoff_duration": "10s",
            "max_backoff_duration": "10s",
        }
        create(client, stack.job(schedule="0 * * * *", retry_config=retries))
        stack.handler.answers = [500] * 9

        stack.advance(HOUR)
        for _ in range(10):
            stack.advance(10)

        assert stack.times == [HOUR, HOUR + 10, HOUR + 20, HOUR + 30]

    def test_a_missed_deadline_is_a_failure(self, client, stack):
        create(
            client,
            stack.job(
                schedule="0 * * * *",
                attempt_deadline=dt.timedelta(seconds=15),
                retry_config={"retry_count": 1},
            ),
        )
        stack.handler.held = True
        stack.advance_until_called(HOUR, calls=1)

        stack.handler.held = False
        stack.advance(15)
        assert client.get_job(name=NAME).status.code == code_pb2.DEADLINE_EXCEEDED

        stack.advance(5)
        assert stack.times == [HOUR, HOUR + 20]
        assert client.get_job(name=NAME).status.code == code_pb2.OK

    def test_a_handler_that_is_not_there_is_a_failure(self, client, stack):
        job = stack.job(schedule="0 * * * *", retry_config={"retry_count": 1})
        job.http_target.uri = "http://127.0.0.1:9/"
        create(client, job)

        stack.advance(HOUR)

        job = client.get_job(name=NAME)
        assert job.status.code == code_pb2.UNAVAILABLE
        assert job.schedule_time == after_noon(HOUR + 5)

    @pytest.mark.parametrize("end", ["pause", "update", "delete"])
    def test_pausing_updating_and_deleting_end_the_retries(self, client, stack, end):
        job = create(client, stack.job(schedule="0 * * * *", retry_config={"retry_count": 5}))
        stack.handler.answers = [500]
        stack.advance(HOUR)

        if end == "update":
            mask = field_mask_pb2.FieldMask(paths=["description"])
            job = client.update_job(job=job, update_mask=mask)
            assert job.schedule_time == after_noon(2 * HOUR)
        else:
            getattr(client, f"{end}_job")(name=NAME)
        stack.advance(5)
        stack.advance(60)

        assert stack.times == [HOUR]

    @pytest.mark.parametrize("end", ["pause", "delete"])
    def test_an_attempt_in_flight_is_not_retried_after_the_end(self, client, stack, end):
        create(client, stack.job(schedule="0 * * * *", retry_config={"retry_count": 5}))
        stack.handler.answers = [500]
        stack.handler.held = True
        stack.advance_until_called(HOUR, calls=1)

        getattr(client, f"{end}_job")(name=NAME)
        stack.release()
        stack.advance(60)

        assert stack.times == [HOUR]

    def test_a_job_made_anew_does_not_inherit_an_attempt_in_flight(self, client, stack):
        create(client, stack.job(schedule="0 * * * *", retry_config={"retry_count": 5}))
        stack.handler.answers = [500]
        stack.handler.held = True
        stack.advance_until_called(HOUR, calls=1)

        client.delete_job(name=NAME)
        create(client, stack.job(schedule="0 * * * *", retry_config={"retry_count": 5}))
        stack.release()

        job = client.get_job(name=NAME)
        assert "status" not in job
        assert job.schedule_time == after_noon(2 * HOUR)

    def test_trouble_within_the_stack_does_not_block_a_job(
        self, client, stack, caplog, monkeypatch
    ):
        def refuse(*_):
            raise RuntimeError("no key")

        oidc = {"service_account_email": "a@b"}
        create(client, stack.job(target={"oidc_token": oidc}))

        with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
            patch.setattr(stack.issuer, "token", refuse)
            stack.advance(MINUTE)
        assert "no key" in caplog.text
        assert client.get_job(name=NAME).status.code == code_pb2.UNAVAILABLE

        stack.advance(MINUTE)
        assert stack.times == [2 * MINUTE]


class TestAppEngine:
    @pytest.fixture
    def client(self, stack):
        stack._options["app_engine"] = {"default": f"{stack.url}/"}
        with stack.running() as client:
            yield client

    @staticmethod
    def job(stack, target, **fields):
        job = stack.job(schedule="0 * * * *", **fields)
        job.app_engine_http_target = {"relative_uri": "/x?y=%2F", **target}
        return job

    def test_the_headers_of_the_service(self, client, stack):
        headers = {"user-agent": "mine", "X-AppEngine-Cron": "false", "X-Kept": "1"}
        create(client, self.job(stack, {"headers": headers, "body": b"b", "http_method": "PUT"}))

        stack.advance(HOUR)

        (call,) = stack.handler.calls
        assert (call.method, call.path, call.body) == ("PUT", "/x?y=%2F", b"b")
        agent = "mine AppEngine-Google; (+http://code.google.com/appengine)"
        assert call.header("User-Agent") == agent
        assert call.header("X-AppEngine-Cron") == "true"
        assert call.header("X-CloudScheduler") == "true"
        assert call.header("X-CloudScheduler-JobName") == "j"
        assert call.header("Content-Type") == "application/octet-stream"
        assert call.header("X-Kept") == "1"
        assert call.scheduled == "2026-03-02T13:00:00Z"

    def test_a_503_is_tried_again_and_does_not_count(self, client, stack):
        create(client, self.job(stack, {}, retry_config={"retry_count": 1}))
        stack.handler.answers = [503, 503, 500, 503, 500, 200]

        stack.advance(HOUR)
        for _ in range(12):
            stack.advance(5)

        assert stack.times == [HOUR + 5 * n for n in range(5)]

    def test_another_failure_is_not_tried_again_by_default(self, client, stack):
        create(client, self.job(stack, {}))
        stack.handler.answers = [503, 500]

        stack.advance(HOUR)
        for _ in range(12):
            stack.advance(5)

        assert stack.times == [HOUR, HOUR + 5]


class TestRunJob:
    def test_it_starts_now_and_tells_the_next_scheduled_time(self, client, stack):
        create(client, stack.job(schedule="0 * * * *"))

        job = client.run_job(name=NAME)
        stack.advance(0)

        assert job.last_attempt_time == NOON
        assert job.schedule_time == after_noon(HOUR)
        assert stack.times == [0]
        assert stack.handler.calls[0].scheduled == "2026-03-02T13:00:00Z"
        assert client.get_job(name=NAME).status.code == code_pb2.OK

    def test_the_schedule_goes_on_regardless(self, client, stack):
        create(client, stack.job(schedule="0 * * * *"))
        client.run_job(name=NAME)
        stack.advance(0)

        stack.advance(HOUR)

        assert stack.times == [0, HOUR]

    def test_it_starts_a_job_that_is_under_way(self, client, stack):
        create(client, stack.job())
        stack.handler.held = True
        stack.advance_until_called(MINUTE, calls=1)

        client.run_job(name=NAME)
        client.run_job(name=NAME)

        stack.advance_until_called(calls=3)

    def test_a_manual_run_does_not_hold_up_the_schedule(self, client, stack):
        create(client, stack.job())
        stack.handler.held = True
        client.run_job(name=NAME)
        stack.advance_until_called(calls=1)

        stack.advance_until_called(MINUTE, calls=2)

    def test_its_retries_come_whatever_the_schedule_does(self, client, stack):
        create(client, stack.job(schedule="0 * * * *", retry_config={"retry_count": 1}))
        stack.handler.answers = [500]

        client.run_job(name=NAME)
        stack.advance(0)
        stack.advance(5)

        assert stack.times == [0, 5]
        assert [call.scheduled for call in stack.handler.calls] == ["2026-03-02T13:00:00Z"] * 2


class TestRestart:
    def test_jobs_survive(self, stack):
        with stack.running() as client:
            create(client, stack.job("a", schedule="0 * * * *", description="kept"))
            create(client, stack.job("b"))
            client.pause_job(name=f"{LOCATION}/jobs/b")
            before = list(client.list_jobs(parent=LOCATION))

        with stack.running() as client:
            assert list(client.list_jobs(parent=LOCATION)) == before
            stack.advance(HOUR)

        assert stack.times == [HOUR]

    def test_what_fell_due_while_the_stack_was_down_is_not_made_up_for(self, loop, stack):
        with stack.running() as client:
            create(client, stack.job(schedule="0 * * * *"))
        loop.call(lambda: stack.clock.advance(5 * HOUR + MINUTE))

        with stack.running() as client:
            stack.advance(0)
            assert stack.handler.calls == []
            assert client.get_job(name=NAME).schedule_time == after_noon(6 * HOUR)

    def test_a_clock_that_was_set_back_meanwhile_does_not_silence_a_job(self, loop, stack):
        with stack.running() as client:
            create(client, stack.job(schedule="0 * * * *"))
        loop.call(lambda: stack.clock.advance(-5 * HOUR))

        with stack.running() as client:
            assert client.get_job(name=NAME).schedule_time == after_noon(-4 * HOUR)

    def test_a_retry_that_waits_survives(self, loop, stack):
        with stack.running() as client:
            create(client, stack.job(schedule="0 * * * *", retry_config={"retry_count": 1}))
            stack.handler.answers = [500]
            stack.advance(HOUR)
        loop.call(lambda: stack.clock.advance(4))

        with stack.running():
            stack.advance(0)
            assert stack.times == [HOUR]
            stack.advance(1)

        assert stack.times == [HOUR, HOUR + 5]
        assert {call.scheduled for call in stack.handler.calls} == {"2026-03-02T13:00:00Z"}

    def test_a_retry_does_not_outlive_the_start_that_would_have_ended_it(self, loop, stack):
        with stack.running() as client:
            create(client, stack.job(schedule="0 * * * *", retry_config={"retry_count": 1}))
            stack.handler.answers = [500]
            stack.advance(HOUR)
        loop.call(lambda: stack.clock.advance(HOUR + MINUTE))

        with stack.running() as client:
            stack.advance(0)
            assert client.get_job(name=NAME).schedule_time == after_noon(3 * HOUR)

        assert stack.times == [HOUR]

    @pytest.mark.parametrize(("count", "times"), [(0, [HOUR]), (1, [HOUR, HOUR + 65])])
    def test_an_attempt_that_the_stop_cut_off_has_failed(self, loop, stack, count, times):
        with stack.running() as client:
            create(client, stack.job(schedule="0 * * * *", retry_config={"retry_count": count}))
            stack.handler.held = True
            stack.advance_until_called(HOUR, calls=1)
        loop.call(lambda: stack.clock.advance(60))
        stack.handler.held = False

        with stack.running() as client:
            assert client.get_job(name=NAME).status.code == code_pb2.UNAVAILABLE
            stack.advance(5)
            assert stack.times == times
            stack.advance(HOUR)

        assert len(stack.times) == len(times) + 1


def test_the_systems_clock_drives_it_too(loop, tmp_path):
    with prepared(loop, tmp_path) as stack:
        stack.clock = MachineClock()
        with stack.running() as client:
            # No minute may strike meanwhile.
            job = create(client, stack.job(schedule="0 0 29 2 *"))
            assert dt.datetime.now(dt.UTC) < job.schedule_time

            client.run_job(name=NAME)
            loop.run(stack.server.idle(), 20)

    assert len(stack.handler.calls) == 1


def test_trouble_with_the_state_does_not_end_the_schedule(client, stack, caplog, monkeypatch):
    create(client, stack.job())
    store = stack.server._runner._store
    begin, has_failed = store.begin, threading.Event()

    def fail_once(*arguments):
        if has_failed.is_set():
            return begin(*arguments)
        has_failed.set()
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(store, "begin", fail_once)
    with caplog.at_level(logging.ERROR):
        stack._loop.call(lambda: stack.clock.advance(MINUTE))
        assert has_failed.wait(10)
        stack.advance_until_called(5, calls=1)

    assert "database is locked" in caplog.text
    assert stack.handler.calls[0].scheduled == "2026-03-02T12:01:00Z"

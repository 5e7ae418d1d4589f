"""What the core asks of Cloud Scheduler, of the twin in memory and of the adapter alike."""

import datetime as dt
from dataclasses import replace

import grpc
import pytest
from google.cloud import scheduler_v1

from adjourn.errors import SchedulerError
from adjourn.gcp.cloudscheduler import CloudSchedulerJobs
from adjourn.ports import Job
from adjourn.testing import SETTINGS, MemoryJobs
from tests.contract.scheduler_stack import LOCATION, NOON, prepared
from tests.support import serving

ACCOUNT = SETTINGS.service_account


def job(name, url, **changes):
    fields = {
        "name": name,
        "cron_name": name,
        "schedule": "30 4 * * * (Europe/Berlin)",
        "state": "ENABLED",
        "method": "POST",
        "account": ACCOUNT,
        "audience": url,
    }
    return Job(**{**fields, **changes})


class JobSchedulerContract:
    """Subclasses give a `subject` with the jobs `nightly`, that runs, and `paused`; also `ran`."""

    def test_all_jobs_are_listed_by_their_names(self, subject):
        assert [each.name for each in subject.list()] == ["nightly", "paused"]
        assert [each.state for each in subject.list()] == ["ENABLED", "PAUSED"]

    def test_one_is_told_of(self, subject, url):
        found = subject.get("nightly")

        assert found._replace(next_start=None) == job("nightly", url)
        assert subject.get("missing") is None

    def test_one_that_is_paused_can_be_paused_and_resumed(self, subject):
        assert subject.pause("nightly").state == "PAUSED"
        assert subject.pause("nightly").state == "PAUSED"
        assert subject.get("nightly").state == "PAUSED"

        assert subject.resume("nightly").state == "ENABLED"
        assert subject.resume("nightly").state == "ENABLED"
        assert subject.get("nightly").state == "ENABLED"

    def test_one_can_be_run(self, subject, ran):
        assert subject.run("nightly").name == "nightly"

        assert ran() == ["nightly"]

    def test_one_that_is_paused_cannot_be_run(self, subject, ran):
        with pytest.raises(SchedulerError):
            subject.run("paused")

        assert ran() == []

    @pytest.mark.parametrize("verb", ["run", "pause", "resume"])
    def test_one_that_is_missing_is_said(self, subject, verb):
        with pytest.raises(SchedulerError, match="no job 'missing'"):
            getattr(subject, verb)("missing")


class TestMemoryJobs(JobSchedulerContract):
    @pytest.fixture
    def url(self):
        return "https://cron.example"

    @pytest.fixture
    def subject(self, url):
        return MemoryJobs([job("paused", url, state="PAUSED"), job("nightly", url)])

    @pytest.fixture
    def ran(self, subject):
        return lambda: subject.ran


class TestCloudSchedulerJobs(JobSchedulerContract):
    @pytest.fixture
    def world(self, loop, tmp_path):
        with (
            prepared(loop, tmp_path) as stack,
            stack.stopped(),
            serving(loop, *stack.server.grpc_services()) as address,
        ):
            loop.run(stack.server.start())
            yield stack, address

    @pytest.fixture
    def url(self, world):
        return world[0].url

    @pytest.fixture
    def subject(self, world, url):
        stack, address = world
        with grpc.insecure_channel(address) as channel:
            client = stack._client(channel)
            for name in ("nightly", "paused"):
                client.create_job(parent=LOCATION, job=self._wanted(name, url, f"{url}/{name}"))
            client.pause_job(name=f"{LOCATION}/jobs/paused")
            stranger = self._wanted("stranger", url, "https://elsewhere.example/nightly")
            client.create_job(parent=LOCATION, job=stranger)
        return CloudSchedulerJobs(
            replace(
                SETTINGS,
                project="p",
                job_location="europe-west3",
                cron_url=url,
                scheduler_host=address,
            )
        )

    def _wanted(self, name, url, uri):
        token = scheduler_v1.OidcToken(service_account_email=ACCOUNT, audience=url)
        return scheduler_v1.Job(
            name=f"{LOCATION}/jobs/{name}",
            schedule="30 4 * * *",
            time_zone="Europe/Berlin",
            http_target=scheduler_v1.HttpTarget(uri=uri, oidc_token=token),
        )

    @pytest.fixture
    def ran(self, world):
        stack, _ = world

        def calls():
            stack.advance()
            return [call.path.strip("/") for call in stack.handler.calls]

        return calls

    def test_it_says_when_a_job_calls_and_how_the_last_call_went(self, subject, world):
        stack, _ = world
        stack.handler.answers.append(403)

        subject.run("nightly")
        stack.advance()

        found = subject.get("nightly")
        assert found.last_attempt == NOON
        assert found.last_status == "PERMISSION_DENIED"
        assert found.next_start == dt.datetime(2026, 3, 3, 3, 30, tzinfo=dt.UTC)
        assert subject.get("paused").next_start is None

    def test_a_job_that_calls_somebody_else_is_none_of_ours(self, subject):
        assert subject.get("stranger") is None
        with pytest.raises(SchedulerError, match="calls the cron function"):
            subject.pause("stranger")

    def test_a_service_that_does_not_do_it_is_said(self, loop):
        with serving(loop) as address:
            subject = CloudSchedulerJobs(replace(SETTINGS, scheduler_host=address))
            with pytest.raises(SchedulerError, match="Cloud Scheduler has failed"):
                subject.list()

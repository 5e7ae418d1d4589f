"""Who may advance a run, and how it stands."""

import datetime as dt
from dataclasses import replace

import pytest

from adjourn.runs import Run, Status, Verdict, judge, key_of

NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


def run(**changes):
    fields = {
        "id": "r",
        "iteration": "shop.Reprice",
        "queue": "default",
        "query": b"{}",
        "custom_data": b"null",
        "total": 10,
        "started_at": NOON,
        "updated_at": NOON,
        "step": 5,
    }
    return Run(**fields | changes)


@pytest.mark.parametrize(
    ("changes", "step", "verdict"),
    [
        ({}, 5, Verdict.GRANTED),
        ({"status": Status.FINISHING}, 5, Verdict.GRANTED),
        ({}, 4, Verdict.STALE),
        ({}, -1, Verdict.STALE),
        ({}, 6, Verdict.EARLY),
        ({"lease_until": NOON + SECOND}, 5, Verdict.BUSY),
        ({"lease_until": NOON + SECOND}, 4, Verdict.STALE),
        ({"lease_until": NOON + SECOND}, 6, Verdict.EARLY),
        ({"lease_until": NOON}, 5, Verdict.GRANTED),
        ({"lease_until": NOON - SECOND}, 5, Verdict.GRANTED),
        ({"status": Status.FINISHED}, 5, Verdict.OVER),
        ({"status": Status.STOPPED}, 5, Verdict.OVER),
        ({"status": Status.FINISHED}, 4, Verdict.OVER),
        ({"status": Status.FINISHED, "lease_until": NOON + SECOND}, 6, Verdict.OVER),
    ],
)
def test_what_a_delivered_step_means(changes, step, verdict):
    assert judge(run(**changes), step, NOON) is verdict


def test_every_claim_has_a_fencing_token_of_its_own():
    first = run().leased(NOON, SECOND)
    second = first.leased(NOON + SECOND, SECOND)

    assert (first.token, second.token) == (1, 2)
    assert second.lease_until == NOON + 2 * SECOND


@pytest.mark.parametrize("status", Status)
def test_a_run_comes_back_from_its_record(status):
    before = run(status=status, cursor="abc", done=3, errors=1, last_error="x", token=2)

    assert Run.from_record("r", before.record()) == before


def test_properties_of_a_newer_version_are_ignored():
    record = {**run().record(), "shards": 8}

    assert Run.from_record("r", record) == run()


def test_properties_that_an_older_version_did_not_write_have_their_defaults():
    record = {name: value for name, value in run().record().items() if name != "last_error"}

    assert Run.from_record("r", record).last_error == ""


def test_the_key_is_the_id():
    assert (key_of("r").kind, key_of("r").name) == ("AdjournRun", "r")


@pytest.mark.parametrize(
    ("status", "is_live", "has_ended"),
    [
        (Status.RUNNING, True, False),
        (Status.FINISHING, True, False),
        (Status.FINISHED, False, True),
        (Status.STOPPED, False, True),
    ],
)
def test_a_run_is_live_until_it_has_ended(status, is_live, has_ended):
    subject = run(status=status)

    assert subject.is_live is is_live
    assert subject.state().has_ended is has_ended


def test_the_rate_and_the_time_left_follow_from_what_was_done():
    state = run(done=4, updated_at=NOON + 2 * SECOND).state()

    assert state.rate == 2
    assert state.time_left == 3 * SECOND


def test_the_time_left_is_unknown_before_anything_was_done():
    assert run().state().rate == 0
    assert run().state().time_left is None


def test_more_than_expected_leaves_no_time():
    state = run(done=20, updated_at=NOON + SECOND).state()

    assert state.time_left == dt.timedelta()


def test_a_run_that_has_ended_has_no_time_left():
    state = replace(run(done=4, status=Status.STOPPED), updated_at=NOON + SECOND).state()

    assert state.time_left == dt.timedelta()

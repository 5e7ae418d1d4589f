"""What may become of a run, and what a delivered step means for it."""

import datetime as dt

import pytest

from adjourn import Status
from adjourn.iteration.control import first_steps, steps_after
from adjourn.iteration.receiver import Decision, decide
from adjourn.iteration.runs import KEPT, UNINDEXED, Run, Step, run_key
from adjourn.iteration.shards import Shard

NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


def run(**changes):
    fields = {
        "id": "r",
        "iteration": "shop.Reprice",
        "queue": "default",
        "query": b"{}",
        "custom_data": b"null",
        "context": b"{}",
        "total": 10,
        "shards": 4,
        "next_shard": 2,
        "active": (0, 1),
        "started_at": NOON,
        "updated_at": NOON,
        "resumed_at": NOON,
        "epoch": 3,
        "step": 5,
    }
    return Run(**fields | changes)


def shard(**changes):
    return Shard(**{"run_id": "r", "number": 0, "query": b"{}", "updated_at": NOON} | changes)


def step(shard=0, number=5, epoch=3):
    return Step(run_id="r", shard=shard, number=number, epoch=epoch)


# Deliveries


@pytest.mark.parametrize(
    ("changes", "delivered", "lease", "decision"),
    [
        ({}, step(), None, Decision.CARRY_OUT),
        ({}, step(), NOON, Decision.CARRY_OUT),
        ({}, step(), NOON + SECOND, Decision.WAIT_FOR_LEASE),
        ({}, step(number=4), NOON + SECOND, Decision.REQUEUE_NEXT),
        ({}, step(number=6), None, Decision.WAIT_FOR_PREVIOUS),
        ({}, step(epoch=2), NOON + SECOND, Decision.REQUEUE_NEXT),
        ({}, step(epoch=2, number=6), None, Decision.REQUEUE_NEXT),
        ({}, step(epoch=4), None, Decision.WAIT_FOR_PREVIOUS),
        ({}, step(shard=2), None, Decision.REQUEUE_NEXT),
        ({}, step(shard=None), None, Decision.REQUEUE_NEXT),
        ({"status": Status.PAUSING}, step(), None, Decision.REST),
        ({"status": Status.CANCELLING}, step(), None, Decision.REST),
        ({"status": Status.PAUSING}, step(), NOON + SECOND, Decision.WAIT_FOR_LEASE),
        ({"status": Status.PAUSING, "active": ()}, step(), None, Decision.REQUEUE_NEXT),
        ({"status": Status.PAUSING, "active": ()}, step(shard=None), None, Decision.CARRY_OUT),
        ({"status": Status.FINISHING, "active": ()}, step(shard=None), None, Decision.CARRY_OUT),
        ({"status": Status.FINISHING, "active": ()}, step(None, 4), None, Decision.REQUEUE_NEXT),
        ({"status": Status.STARTING, "active": ()}, step(shard=None), None, Decision.CARRY_OUT),
        ({"status": Status.PAUSED}, step(), None, Decision.DROP),
        ({"status": Status.STOPPED}, step(), None, Decision.DROP),
        ({"status": Status.FINISHED}, step(number=4), NOON + SECOND, Decision.DROP),
        ({"status": Status.CANCELLED}, step(epoch=2), None, Decision.DROP),
    ],
)
def test_what_to_do_with_a_delivered_step(changes, delivered, lease, decision):
    assert decide(run(**changes), delivered, (5, lease), NOON) is decision


@pytest.mark.parametrize(
    ("changes", "of_shard", "due"),
    [
        ({}, {"step": 7}, [(step(0, 7), None)]),
        ({}, {"step": 7, "due_at": NOON}, [(step(0, 7), NOON)]),
        ({"active": (1, 2)}, {"is_ended": True, "successor": 2}, [(step(2, 0), None)]),
        ({"active": (1,)}, {"is_ended": True, "successor": 2}, []),
        ({"active": (1,)}, {"is_ended": True}, []),
        ({"active": (), "status": Status.FINISHING}, {"is_ended": True}, [(step(None, 5), None)]),
        ({"active": (), "status": Status.PAUSING}, {}, [(step(None, 5), None)]),
        ({"status": Status.PAUSED}, {"step": 7}, []),
        ({"status": Status.STOPPED}, {"step": 7}, []),
    ],
)
def test_what_has_to_be_enqueued_behind_a_shard(changes, of_shard, due):
    assert steps_after(run(**changes), shard(**of_shard)) == due


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({}, [(step(0, 0), None), (step(1, 0), None)]),
        ({"active": (), "status": Status.FINISHING}, [(step(None, 5), None)]),
        ({"status": Status.CANCELLED}, []),
    ],
)
def test_what_has_to_be_enqueued_for_a_whole_run(changes, due):
    assert first_steps(run(**changes)) == due


# Shards that end


def test_a_chain_goes_on_with_the_next_shard():
    after, successor = run().shard_finished(0)

    assert successor == 2
    assert (after.active, after.next_shard, after.status) == ((1, 2), 3, Status.RUNNING)


def test_the_last_chain_but_one_just_ends():
    after, successor = run(next_shard=4).shard_finished(0)

    assert successor is None
    assert (after.active, after.next_shard, after.status) == ((1,), 4, Status.RUNNING)


def test_the_last_chain_ends_the_run():
    after, _ = run(next_shard=4, active=(3,)).shard_finished(3)

    assert (after.active, after.status) == ((), Status.FINISHING)


@pytest.mark.parametrize("status", [Status.PAUSING, Status.CANCELLING])
def test_nothing_is_begun_while_a_run_comes_to_rest(status):
    after, successor = run(status=status, active=(0,)).shard_finished(0)

    assert successor == 2
    assert (after.active, after.resting, after.status) == ((), (2,), status)


@pytest.mark.parametrize("status", [Status.STOPPED, Status.CANCELLED])
def test_a_late_step_that_ends_its_shard_does_not_revive_the_run(status):
    after, _ = run(status=status, next_shard=4, active=(0,)).shard_finished(0)

    assert after.status is status


# People


def test_a_paused_run_keeps_its_chains_until_each_has_left():
    pausing = run().paused()

    assert (pausing.status, pausing.epoch, pausing.active) == (Status.PAUSING, 4, (0, 1))
    assert pausing.shard_rested(0).shard_rested(0).resting == (0,)
    assert pausing.shard_rested(0).active == (1,)


@pytest.mark.parametrize(
    "status", [Status.PAUSED, Status.CANCELLING, Status.CANCELLED, Status.FINISHING]
)
def test_what_is_not_running_cannot_be_paused(status):
    assert run(status=status).paused() is None


@pytest.mark.parametrize("status", [Status.PAUSED, Status.STOPPED])
@pytest.mark.parametrize("active", [(), (0,)])
def test_a_cancelled_run_waits_for_the_steps_that_may_be_under_way(status, active):
    cancelling = run(status=status, active=active, resting=(1,)).cancelled()

    assert (cancelling.status, cancelling.epoch) == (Status.CANCELLING, 4)
    assert (cancelling.active, cancelling.resting) == (active, (1,))


@pytest.mark.parametrize("status", [Status.FINISHING, Status.FINISHED, Status.CANCELLED])
def test_what_is_done_cannot_be_cancelled(status):
    assert run(status=status).cancelled() is None


@pytest.mark.parametrize(
    ("changes", "status", "active"),
    [
        ({"active": (), "resting": (1, 3)}, Status.RUNNING, (1, 3)),
        ({"active": (2,), "resting": (1,)}, Status.RUNNING, (2, 1)),
        ({"active": (), "resting": ()}, Status.FINISHING, ()),
        ({"active": (), "resting": (0, 1), "has_begun": False}, Status.STARTING, ()),
    ],
)
def test_a_run_goes_on_where_it_was(changes, status, active):
    resumed = run(status=Status.PAUSED, tries=3, revivals=2, **changes).resumed(NOON + SECOND, 7)

    assert (resumed.status, resumed.active, resumed.epoch) == (status, active, 4)
    assert (resumed.resumed_at, resumed.resumed_done) == (NOON + SECOND, 7)
    assert (resumed.tries, resumed.revivals) == (0, 0)


def test_an_entity_that_stops_a_run_does_not_stop_it_from_being_cancelled():
    assert run().shard_failed(0, "broken").status is Status.STOPPED
    assert run(status=Status.CANCELLING).shard_failed(0, "broken").status is Status.CANCELLING
    assert run(status=Status.CANCELLED).shard_failed(0, "broken").status is Status.CANCELLED


def test_each_transaction_of_a_start_counts():
    guarded = run(markers="a", marked_at=NOON)

    assert guarded.joined("b", NOON + SECOND).markers == "a b"
    assert guarded.joined("", NOON).markers == ""
    assert run().joined("b", NOON).markers == ""


def test_the_wait_for_a_commit_begins_anew_with_each_transaction():
    waiting = run(markers="a", waiting_since=NOON)

    assert waiting.joined("b", NOON).waiting_since is None


# Storing


@pytest.mark.parametrize("status", Status)
def test_a_run_comes_back_from_its_record(status):
    before = run(status=status, error="x", token=2, resting=(3,), markers="m")

    assert Run.from_record("r", before.record()) == before


def test_a_shard_comes_back_from_its_record():
    before = shard(cursor="abc", done=3, retries=b"[1]", successor=4, lease_until=NOON)

    assert Shard.from_record("r", 0, before.record()) == before


def test_properties_of_a_newer_version_are_ignored():
    assert Run.from_record("r", {**run().record(), "colour": 8}) == run()
    assert Shard.from_record("r", 0, {**shard().record(), "colour": 8}) == shard()


def test_properties_that_an_older_version_did_not_write_have_their_defaults():
    record = {name: value for name, value in run().record().items() if name != "error"}

    assert Run.from_record("r", record).error == ""


def test_a_run_is_stored_under_the_names_that_earlier_versions_read():
    stored = run(shards=8, next_shard=3).record()

    assert (stored["pieces"], stored["next_piece"]) == (8, 3)
    assert not {"shards", "next_shard"} & {*stored, *UNINDEXED}
    assert {"pieces", "next_piece"} <= UNINDEXED


@pytest.mark.parametrize("status", Status)
def test_only_runs_under_way_are_found_as_such(status):
    is_live = status in {"starting", "running", "pausing", "cancelling", "finishing"}

    assert ("live_since" in run(status=status).record()) is is_live
    assert run(status=status).is_live is is_live


@pytest.mark.parametrize("status", [Status.FINISHED, Status.CANCELLED])
def test_a_run_that_has_ended_expires(status):
    ended = run(lease_until=NOON).concluded(status, NOON)

    assert ended.record()["expires_at"] == NOON + KEPT
    assert (ended.step, ended.lease_until) == (6, None)
    assert "expires_at" not in run().concluded(Status.PAUSED, NOON).record()


def test_the_keys_tell_run_and_shard():
    assert (run_key("r").kind, run_key("r").name) == ("AdjournRun", "r")
    assert (shard(number=7).key.kind, shard(number=7).key.name) == ("AdjournShard", "r-0007")

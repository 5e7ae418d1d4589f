"""Runs of batches: earlier versions would tell their batch nothing, so they must not have them."""

import pytest

from adjourn import QueryIter, RowList
from adjourn.execution.delivery import Outcome
from adjourn.iteration import runs
from adjourn.iteration.runs import KIND, Run
from adjourn.testing.task_queue import Queued

PLACE = f"{'ba' * 16}-{'5a' * 16}-{'c0' * 16}"


@pytest.fixture
def run(shop):
    """Start a batch of one run, and return its class."""

    class Count(QueryIter):
        def handle_entry(self, entry, custom_data):  # noqa: ARG002
            shop.ran.append(entry["n"])

    count = shop.app.query_iter(Count, name="count")
    with shop.batch() as batch:
        batch.add(count, RowList([{"n": 1}]))
    return count


def step(box) -> Queued:
    (queued,) = box.queue.due()
    return queued


@pytest.fixture
def earlier(monkeypatch):
    """Return what makes this process one of a version without batches, until it is undone."""

    def earlier():
        monkeypatch.setattr(runs, "_IN_BATCH", "")

    return earlier


@pytest.mark.usefixtures("run")
def test_an_earlier_version_leaves_each_step_to_the_next_and_says_so(
    shop, box, earlier, monkeypatch, lines
):
    for _ in range(3):  # the shard, the run as a whole, and the call of the batch's end
        queued = step(box)
        if b'"run"' in queued.task.body:
            earlier()
            ran = list(shop.ran)
            assert box.deliver(queued) is Outcome.UNKNOWN
            assert shop.ran == ran
            monkeypatch.undo()
        assert box.deliver(step(box)) is Outcome.DONE

    assert (shop.ran, shop.counts()) == ([1], (1, 0, 0))
    refused = [each for each in lines() if each["event"] == "iteration.unknown"]
    assert len(refused) == 2
    assert "batch:count" in refused[0]["message"]
    assert all(each["severity"] == "ERROR" for each in refused)


@pytest.mark.usefixtures("run")
def test_a_run_is_known_by_the_name_of_its_class(shop):
    (stored,) = shop.stored(KIND)
    (state,) = shop.app.runs().find(iteration="count")

    assert stored["iteration"] == "batch:count"
    assert state.iteration == "count"


@pytest.mark.usefixtures("run")
def test_a_run_that_was_stored_without_the_prefix_goes_on(shop, box):
    (key,) = (key for key in box.store.records if key.kind == KIND)
    version, record = box.store.records[key]
    box.store.records[key] = (version, {**record, "iteration": "count"})
    box.drain()

    assert (shop.ran, shop.counts()) == ([1], (1, 0, 0))


@pytest.mark.parametrize(("run_id", "name"), [(PLACE, "batch:count"), ("0b1c", "count")])
def test_only_a_run_of_a_batch_has_the_prefix(box, run, run_id, name):
    (key,) = (key for key in box.store.records if key.kind == KIND)
    found = Run.from_record(key.name, box.store.records[key][1])._replace(id=run_id)

    assert found.record()["iteration"] == name
    assert Run.from_record(run_id, found.record()) == found._replace(iteration=run.registered_name)

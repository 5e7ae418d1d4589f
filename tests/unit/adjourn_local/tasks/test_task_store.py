"""Tasks are listed in the order of creation, near and far."""

import pytest
from google.cloud.tasks_v2.types import task as task_types

from adjourn_local.tasks import task_store
from adjourn_local.tasks.task_store import TaskStore

Task = task_types.Task.pb()


@pytest.fixture
def store(tmp_path):
    store = TaskStore(tmp_path / "state.db")
    yield store
    store.close()


def fill(store, queues):
    for number, queue in enumerate(queues):
        store.add(queue, [Task(name=f"{queue}/tasks/{number}")], created=number)


@pytest.mark.parametrize("portion", [1, 2, 3, 100])
@pytest.mark.parametrize("limit", [1, 2, 50])
def test_tasks_of_a_queue_are_listed_however_many_others_lie_between(
    store, monkeypatch, portion, limit
):
    monkeypatch.setattr(task_store, "_PORTION", portion)
    fill(store, ["a", "b", "b", "b", "a", "a", "b", "b", "b", "b", "a"])

    found, after = [], 0
    while page := list(store.tasks("a", after, limit)):
        found += [record.task_id for record in page]
        after = page[-1].id

    assert found == ["0", "4", "5", "10"]


def test_tasks_are_counted_with_the_earliest_schedule_time(store):
    assert store.count("a") == (0, None)
    fill(store, ["a", "b", "a"])
    assert store.count("a") == (2, 0)

"""Tasks that end the process of the function, or never end, beside tasks that are well."""

import os
from collections.abc import Iterator

import pytest
from google.cloud import datastore

from adjourn_local.http.faults import Faults
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.stack import Stack
from tests.chaos.application import die, plain, spin
from tests.chaos.world import Ear, dead_letters, settle

CALLS = int(os.environ.get("CHAOS_CALLS", "1000")) // 10


@pytest.fixture(autouse=True)
def _no_letters_are_left(stack: Stack) -> Iterator[None]:  # noqa: ARG001 - it has to run
    yield
    datastore.Client().delete_multi([letter.key for letter in dead_letters()])


def test_a_task_that_ends_its_process_is_given_up_and_takes_no_other_along(
    stack: Stack, ear: Ear, loop: LoopThread
) -> None:
    stack.sender.faults = Faults()
    killer = die(CALLS)
    assert all(handle.is_new for handle in plain.map(range(CALLS)))

    settle(stack, ear, loop)

    # Three executions, and the one before anything was suspected.
    assert 3 <= ear.told[CALLS] <= 4
    assert ear.told.keys() == set(range(CALLS + 1))
    (letter,) = dead_letters()
    assert letter.key.name == killer.id
    assert "died or ran out of time" in letter["error"]


def test_a_task_that_never_ends_is_ended_at_its_timeout(
    stack: Stack, ear: Ear, loop: LoopThread
) -> None:
    stack.sender.faults = Faults()
    endless = spin(1)

    settle(stack, ear, loop)

    assert ear.told[1] == 1
    letter = {each.key.name: each for each in dead_letters()}[endless.id]
    assert letter["error"].startswith("TaskTimeoutError: ")
    assert "spin" in letter["traceback"]

"""A sharded walk through the real functions, which are killed again and again."""

import os

from google.cloud import datastore

from adjourn import RunState, Status
from adjourn_local.runtime.stack import Stack
from tests.chaos.application import Walk
from tests.chaos.world import Ear, dead_letters, kill_workers, listen_until, needs_pgrep

ENTITIES = int(os.environ.get("CHAOS_ENTITIES", "1000"))
BETWEEN_KILLS = 300


def fill(client: datastore.Client) -> None:
    for start in range(0, ENTITIES, 500):
        entities = []
        for n in range(start, min(start + 500, ENTITIES)):
            entity = datastore.Entity(client.key("Number", f"{n * 7919 % ENTITIES:08}-{n}"))
            entity["n"] = n
            entities.append(entity)
        client.put_multi(entities)


@needs_pgrep
def test_a_walk_is_complete_exact_and_ends_once_when_its_workers_are_killed(
    stack: Stack, ear: Ear
) -> None:
    client = datastore.Client()
    fill(client)

    run = Walk.start(client.query(kind="Number"), {"sum": 0}, shards=8)
    for told in range(BETWEEN_KILLS, ENTITIES, BETWEEN_KILLS):
        listen_until(ear, lambda wanted=told: len(ear.told) >= wanted)
        kill_workers(stack, "queryiter")
    states: list[RunState] = []

    def has_ended() -> bool:
        ear.listen()
        state = run.fetch()
        assert state is not None
        states.append(state)
        return state.has_ended

    listen_until(ear, has_ended)
    while ear.listen():
        pass  # what was told before the end may still be unread

    assert ear.told.keys() == set(range(ENTITIES))
    state = states[-1]
    assert (state.status, state.done, state.errors) == (Status.FINISHED, ENTITIES, 0)
    assert len(state.shards) == 32
    (end,) = client.query(kind="WalkEnd").fetch()
    assert (end["total"], end["sum"]) == (ENTITIES, sum(range(ENTITIES)))
    assert stack.sender.injected["duplicate"]
    assert dead_letters() == []

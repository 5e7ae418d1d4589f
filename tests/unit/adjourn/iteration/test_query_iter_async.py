"""Hooks of iterations may be `async def`."""

import asyncio

import pytest

import adjourn
from adjourn.coroutines import LoopEndedError
from adjourn.testing import MemoryQuery

QUERY = MemoryQuery("Thing")


@pytest.fixture
def things(box):
    """Store six things."""
    box.queries.add("Thing", *({"number": number} for number in range(6)))


class Walk(adjourn.QueryIter):
    max_entry_retries = 0

    async def load(self, entity):
        await asyncio.sleep(0)
        return entity["number"]

    async def on_start(self, custom_data):
        await asyncio.sleep(0)
        custom_data["log"].append("start")

    async def handle_entry(self, entry, custom_data):
        await asyncio.sleep(0)
        if entry == 3:
            raise ValueError
        custom_data["log"].append(entry)

    async def handle_error(self, entry, custom_data, exception):
        await asyncio.sleep(0)
        custom_data["log"].append(f"{entry} {type(exception).__name__}")
        return True

    async def merge(self, first, second):
        await asyncio.sleep(0)
        return {"log": first["log"] + second["log"]}

    async def handle_finish(self, total_count, custom_data):
        await asyncio.sleep(0)
        custom_data["log"].append(total_count)


def test_all_hooks_run_in_their_order(app, box, things):  # noqa: ARG001 - they have to be there
    run = app.query_iter(name="walk")(Walk).start(QUERY, custom_data={"log": []})

    box.drain()

    log = ["start", 0, 1, 2, "3 ValueError", 4, 5, 6]
    assert run.fetch().status is adjourn.Status.FINISHED
    assert left(app, run)["log"] == log


def test_shards_are_merged(app, box, things):  # noqa: ARG001 - they have to be there
    run = app.query_iter(name="walk")(Walk).start(QUERY, custom_data={"log": []}, shards=2)

    box.drain()

    assert run.fetch().status is adjourn.Status.FINISHED
    assert {0, 1, 2, "3 ValueError", 4, 5} <= set(left(app, run)["log"])


def test_batches_and_pauses_may_be_async(app, box, things, ran):  # noqa: ARG001
    class Batches(adjourn.QueryIter):
        async def handle_batch(self, entries, custom_data):  # noqa: ARG002
            await asyncio.sleep(0)
            ran.append(len(entries))

        async def on_cancel(self, custom_data):  # noqa: ARG002
            await asyncio.sleep(0)
            ran.append("cancelled")

        async def dry_run_entry(self, entry, custom_data):  # noqa: ARG002
            await asyncio.sleep(0)
            return "handle"

    walk = app.query_iter(name="batches")(Batches)
    walk.start(QUERY)
    box.drain()
    assert ran == [6]

    walk.start(QUERY).cancel()
    box.drain()
    assert ran == [6, "cancelled"]

    dry = walk.start(QUERY, dry_run=True)
    box.drain()
    assert dry.fetch().dry_run.counts == {"handle": 6}


def left(app, run):
    """Return the data that a run has left."""
    wiring = app.wiring()
    return wiring._custom_data.load(wiring.runs.load(run.id).custom_data)


def test_a_hook_of_which_nothing_has_run_has_failed(app, box, things, ran):  # noqa: ARG001
    class Lazy(adjourn.QueryIter):
        max_entry_retries = 0

        def handle_entry(self, entry, custom_data):  # noqa: ARG002 - the signature of the hook
            return (ran.append(each) for each in [entry])

        def handle_error(self, entry, custom_data, exception):  # noqa: ARG002
            ran.append(type(exception))
            return True

    app.query_iter(name="lazy")(Lazy).start(QUERY)
    box.drain()

    assert ran == [TypeError] * 6


def test_an_entity_that_the_server_left_behind_is_handled_again(app, box, things, ran):  # noqa: ARG001
    class Left(adjourn.QueryIter):
        max_entry_retries = 0

        def handle_entry(self, entry, custom_data):  # noqa: ARG002 - the signature of the hook
            ran.append(entry["number"])
            if ran == [0, 1, 2]:
                raise LoopEndedError

        def handle_error(self, entry, custom_data, exception):  # noqa: ARG002
            ran.append(exception)
            return True

    run = app.query_iter(name="left")(Left).start(QUERY)
    with pytest.raises(LoopEndedError):
        box.drain()
    box.drain()

    assert run.fetch().status is adjourn.Status.FINISHED
    assert ran == [0, 1, 2, 2, 3, 4, 5]


def test_a_start_that_holds_up_a_loop_is_told_once_with_the_line_to_write(app, box, lines):  # noqa: ARG001
    walk = app.query_iter(name="walk")(Walk)

    async def main():
        walk.start(QUERY, {"log": []})
        walk.start(QUERY, {"log": []})
        await asyncio.to_thread(walk.start, QUERY, {"log": []})

    asyncio.run(main())

    (line,) = [each for each in lines() if each.get("event") == "call.blocking"]
    assert line["message"].endswith("write: await asyncio.to_thread(Walk.start, ...)")

"""Calls that are made on an event loop, without holding it up."""

import asyncio

import pytest

from adjourn import DeclarationError, EncodeError, TaskHandle
from adjourn.execution.delivery import Outcome


@pytest.fixture
def note(app, ran):
    @app.deferred(name="note")
    def note(word):
        ran.append(word)

    return note


def test_a_call_is_enqueued(note, box, ran):
    async def main():
        handle = await note.options(queue="mail").adefer("a")
        return handle, await handle.afetch()

    handle, state = asyncio.run(main())

    assert (handle.is_new, handle.queue, state.attempts) == (True, "mail", 0)
    assert box.drain() == [Outcome.DONE]
    assert ran == ["a"]


def test_a_call_can_be_cancelled(note, box):
    async def main():
        handle = await note.adefer("a")
        return await handle.acancel(), await handle.afetch()

    assert asyncio.run(main()) == (True, None)
    assert box.drain() == []


def test_the_loop_goes_on_meanwhile(note, box):
    enqueue, goes_on = box.queue.enqueue, asyncio.Event()

    async def main():
        loop = asyncio.get_running_loop()

        def slow(task):
            asyncio.run_coroutine_threadsafe(goes_on.wait(), loop).result(10)
            return enqueue(task)

        box.queue.enqueue = slow
        call = asyncio.create_task(note.adefer("a"))
        await asyncio.sleep(0)
        goes_on.set()
        return await call

    assert asyncio.run(main()).is_new


def test_what_is_wrong_is_told_where_it_is_awaited(note, box):  # noqa: ARG001 - it has to be there
    with pytest.raises(EncodeError):
        asyncio.run(note.adefer(object()))


def test_many_calls_are_enqueued_in_order(note, box, ran):
    async def main():
        return [each async for each in note.amap(range(250))]

    results = asyncio.run(main())

    assert all(isinstance(each, TaskHandle) and each.is_new for each in results)
    box.drain()
    assert ran == [*range(250)]


def test_calls_depend_on_the_transaction_that_is_open_where_they_are_made(note, box, ran):
    async def enqueue(word):
        await note.adefer(word)
        return [each async for each in note.amap([f"{word}, too"])]

    def undo():
        with box.transactions.begin():
            asyncio.run(enqueue("undone"))
            raise LookupError

    with box.transactions.begin():
        asyncio.run(enqueue("done"))
    with pytest.raises(LookupError):
        undo()

    box.travel(by=600)
    box.drain()

    assert sorted(ran) == ["done", "done, too"]


def test_a_call_that_holds_up_a_loop_is_told_once_with_the_line_to_write(note, box, lines):  # noqa: ARG001
    async def main():
        note("a")
        note("b")

    asyncio.run(main())
    note("c")

    (line,) = [each for each in lines() if each.get("event") == "call.blocking"]
    assert line["message"].endswith("note.adefer(...)")
    assert "write: await " in line["message"]


def test_so_is_a_map(note, box, lines):  # noqa: ARG001 - it has to be there
    async def main():
        note.map(["a"])

    asyncio.run(main())

    (line,) = [each for each in lines() if each.get("event") == "call.blocking"]
    assert "async for result in " in line["message"]


def test_asynchronous_items_are_collected_first(note, box):  # noqa: ARG001 - it has to be there
    async def words():
        yield "a"

    async def main():
        return [each async for each in note.amap(words())]

    with pytest.raises(DeclarationError, match="read no asynchronous iterable"):
        asyncio.run(main())


def test_items_that_can_be_read_both_ways_are_read(note, box):
    class QuerySet(list):  # such as one of Django
        def __aiter__(self):
            raise AssertionError

    note.map(QuerySet(["a", "b"]))

    assert len(box.enqueued()) == 2


def test_methods_are_enqueued_so_too(app, box, ran):
    class Shop:
        @app.deferred(name="shop.sell")
        async def sell(self, what):
            ran.append(what)

    shop = Shop()
    app.add_object("shop", shop)

    async def main():
        await shop.sell.adefer("tea")
        return [each async for each in shop.sell.amap(["ham"])]

    asyncio.run(main())
    box.drain()

    assert ran == ["tea", "ham"]


def test_unique_calls_are_not_mapped(app, box):  # noqa: ARG001 - it has to be there
    task = app.deferred(name="unique", unique_by="task")(lambda: None)

    async def main():
        return [each async for each in task.amap(["a"])]

    with pytest.raises(DeclarationError):
        asyncio.run(main())

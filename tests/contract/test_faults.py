"""Faults, as a handler on a socket meets them."""

import asyncio
import logging
from collections import Counter

import pytest
from aiohttp import web

from adjourn_local.http.faults import FaultInjectingSender, parse
from adjourn_local.http.sender import Outgoing
from adjourn_local.timing.clocks import MachineClock, ManualClock
from tests.contract.scheduler_stack import NOON
from tests.support import serving_others

DELIVERIES = 400


class Handler:
    """Notes the numbers it gets, and how many it has at once; answers 200, or 201 to a repeat."""

    def __init__(self):
        self.got = []
        self.present = Counter()
        self.at_once = set()
        self.is_called, self.never = asyncio.Event(), asyncio.Event()

    async def answer(self, request):
        number = int(await request.text())
        if request.path == "/never":
            self.is_called.set()
            await self.never.wait()
            return web.Response()
        self.got.append(number)
        self.present[number] += 1
        await asyncio.sleep(0.01)
        if self.present[number] > 1:
            self.at_once.add(number)
        self.present[number] -= 1
        return web.Response(status=200 + (self.got.count(number) > 1))


@pytest.fixture
def handler():
    return Handler()


@pytest.fixture
def url(loop, handler):
    with serving_others(loop, [web.post("/{path:.*}", handler.answer)]) as url:
        yield url


@pytest.fixture
def send(loop, url):
    """Send numbers, so many at a time, and return what the services see as their answers."""

    def send(spec, count=DELIVERIES, *, width=8):
        async def work():
            sender = FaultInjectingSender(MachineClock(), parse(spec))
            gate = asyncio.Semaphore(width)

            async def one(number):
                async with gate:
                    return await sender.send(task(url, number), 30)

            try:
                return await asyncio.gather(*map(one, range(count))), sender.injected
            finally:
                await sender.close()

        return loop.run(work())

    return send


def task(url, number, path=""):
    headers = (("X-CloudTasks-TaskName", f"task-{number}"),)
    return Outgoing(method="POST", url=f"{url}/{path}", headers=headers, body=b"%d" % number)


def test_without_faults_each_delivery_is_made_once(send, handler):
    answers, injected = send("none")

    assert sorted(handler.got) == list(range(DELIVERIES))
    assert {answer.status for answer in answers} == {200}
    assert not injected


def test_errors_never_reach_the_handler(send, handler):
    answers, injected = send("errors=0.2,seed=1")

    refused = {number for number, answer in enumerate(answers) if answer.status == 503}
    assert len(refused) == injected["error"] == pytest.approx(DELIVERIES * 0.2, rel=0.3)
    assert sorted(handler.got) == sorted(set(range(DELIVERIES)) - refused)


def test_lost_answers_are_lost_after_the_handler_ran(send, handler):
    answers, injected = send("lost-answers=0.2,seed=1")

    lost = [answer for answer in answers if answer.status is None]
    assert len(lost) == injected["lost-answer"] == pytest.approx(DELIVERIES * 0.2, rel=0.3)
    assert {answer.error for answer in lost} == {"UNAVAILABLE"}
    assert sorted(handler.got) == list(range(DELIVERIES))


def test_duplicates_come_at_once_and_one_after_the_other_and_either_answer_counts(send, handler):
    answers, injected = send("duplicates=0.3,seed=1")

    doubled = {number for number, times in Counter(handler.got).items() if times == 2}
    assert len(doubled) == injected["duplicate"] == pytest.approx(DELIVERIES * 0.3, rel=0.3)
    assert len(handler.got) == DELIVERIES + len(doubled)
    assert len(doubled) * 0.3 < len(handler.at_once) < len(doubled) * 0.7
    apart = [answers[number].status for number in doubled - handler.at_once]
    assert set(apart) == {200, 201}


@pytest.mark.parametrize("share", ["reorder", "reorder=0.1", "reorder=1"])
def test_held_deliveries_are_overtaken_by_the_next(send, handler, share):
    _, injected = send(f"{share},seed=1", 100)

    places = {number: place for place, number in enumerate(handler.got)}
    overtaken = [n for n in range(99) if places[n] > places[n + 1]]
    assert sorted(handler.got) == list(range(100))
    assert injected["reorder"] >= len(overtaken) * 0.8
    assert len(overtaken) >= {"reorder": 20, "reorder=0.1": 3, "reorder=1": 40}[share]


def test_a_delivery_that_nothing_overtakes_goes_on_by_itself(send, handler):
    answers, injected = send("reorder=1,seed=1", 1)

    assert injected == {"reorder": 1}
    assert [answer.status for answer in answers] == [200]
    assert handler.got == [0]


def test_a_delay_is_by_the_stacks_clock_and_leaves_the_deadline_alone(loop, url, handler):
    async def work():
        clock = ManualClock(NOON)
        sender = FaultInjectingSender(clock, parse("delay=3..5s,seed=1"))
        late = asyncio.create_task(sender.send(task(url, 1), 30))
        never = asyncio.create_task(sender.send(task(url, 2, "never"), 4))
        await asyncio.sleep(0)
        clock.advance(2.9)
        await asyncio.sleep(0.05)
        assert handler.got == []
        clock.advance(2.1)
        assert (await late).status == 200
        assert not never.done()
        await handler.is_called.wait()
        clock.advance(4)
        assert (await never).error == "DEADLINE_EXCEEDED"
        handler.never.set()
        await sender.close()

    loop.run(work())

    assert handler.got == [1]


def test_faults_can_be_changed_between_deliveries(loop, url, handler):
    async def work():
        sender = FaultInjectingSender(MachineClock(), parse("errors=1"))
        statuses = [(await sender.send(task(url, 1), 30)).status]
        sender.faults = parse("none")
        statuses.append((await sender.send(task(url, 2), 30)).status)
        assert not sender.injected
        await sender.close()
        return statuses

    assert loop.run(work()) == [503, 200]
    assert handler.got == [2]


def test_the_log_tells_of_every_fault_and_names_the_task(send, caplog):
    with caplog.at_level(logging.INFO, "adjourn_local.http.faults"):
        send("duplicates=1,lost-answers=1,delay=0.001s,seed=1", 2)
        send("duplicates=1,errors=1,seed=1", 1)

    told = [record.message for record in caplog.records]
    assert len(told) == 3
    assert told[0].startswith("fault_injected delay=0.001s duplicate lost-answer: POST http://127")
    assert told[0].endswith(" task-0")
    assert told[2].startswith("fault_injected error: ")
    assert caplog.records[0].task == "task-0"

"""Spans and metrics of deliveries, from the caller to what the task itself does."""

import asyncio
import datetime as dt
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from adjourn import Discard, Flow, QueryIter, RetryLater, Snooze, current_task
from adjourn.execution.delivery import Outcome
from adjourn.testing import SETTINGS, MemoryQuery
from adjourn.web import asgi

CONSUMED = "messaging.client.consumed.messages"
UNSAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
MINUTE = dt.timedelta(minutes=1)

tracer = trace.get_tracer("shop")


@contextmanager
def span(name):
    with tracer.start_as_current_span(name) as current:
        yield current.get_span_context()


@pytest.fixture
def work(app, ran):
    """Return a task that raises what it is told, one error for each attempt."""

    @app.deferred(name="work", max_retries=2)
    def work(*errors):
        ran.append(current_task().attempt)
        with span(f"charge {len(ran)}"):
            if len(ran) <= len(errors) and errors[len(ran) - 1]:
                raise {
                    "fail": RuntimeError("no money"),
                    "snooze": Snooze(MINUTE),
                    "later": RetryLater(60),
                    "discard": Discard("not wanted"),
                }[errors[len(ran) - 1]]

    return work


def outcomes(observed):
    return [
        (attributes["adjourn.outcome"], attributes.get("error.type"), count)
        for attributes, count in observed.points(CONSUMED)
    ]


# Calls


def test_a_delivery_belongs_to_the_trace_of_its_caller_and_is_linked_to_it(work, box, observed):
    with span("checkout") as checkout:
        handle = work()
    box.drain()

    send, process = observed.span("send work"), observed.span("process work")
    assert send.kind is SpanKind.PRODUCER
    assert send.parent.span_id == checkout.span_id
    assert process.kind is SpanKind.CONSUMER
    assert process.parent.span_id == send.context.span_id
    assert process.context.trace_id == checkout.trace_id
    assert [each.context.span_id for each in process.links] == [send.context.span_id]
    assert observed.span("charge 1").parent.span_id == process.context.span_id
    assert dict(process.attributes) == {
        "messaging.system": "gcp_cloud_tasks",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "default",
        "messaging.message.id": handle.name.rsplit("/")[-1],
        "messaging.gcp_cloud_tasks.message.retry_count": 0,
        "messaging.gcp_cloud_tasks.message.execution_count": 0,
        "adjourn.task": "work",
        "adjourn.call.id": handle.id,
        "adjourn.attempt": 1,
        "adjourn.outcome": "done",
    }
    assert dict(send.attributes) == {
        "messaging.system": "gcp_cloud_tasks",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "default",
        "messaging.message.id": handle.name.rsplit("/")[-1],
        "adjourn.task": "work",
        "adjourn.call.id": handle.id,
    }
    assert process.status.status_code is send.status.status_code is StatusCode.UNSET


def test_a_failed_attempt_is_an_error_and_the_next_one_tells_that_it_is_the_second(
    work, box, observed
):
    work("fail")
    box.drain()
    box.drain()

    first, second = observed.spans("process work")
    (event,) = first.events
    assert first.status.status_code is StatusCode.ERROR
    assert first.status.description == "RuntimeError: no money"
    assert first.attributes["error.type"] == "RuntimeError"
    assert first.attributes["adjourn.outcome"] == "failed"
    assert event.name == "exception"
    assert event.attributes["exception.type"] == "RuntimeError"
    assert "RuntimeError: no money" in event.attributes["exception.stacktrace"]
    assert second.status.status_code is StatusCode.UNSET
    assert second.attributes["adjourn.attempt"] == 2
    assert second.attributes["messaging.gcp_cloud_tasks.message.retry_count"] == 1
    assert second.parent.span_id == first.parent.span_id


def test_attempts_are_counted_by_outcome(work, box, observed):
    work("fail", "fail", "fail")
    for _ in range(3):
        box.drain()

    assert outcomes(observed) == [("failed", "RuntimeError", 2), ("dead", "RuntimeError", 1)]


def test_dead_letters_are_counted(work, box, observed):
    work("fail", "fail", "fail")
    for _ in range(3):
        box.drain()

    ((attributes, count),) = observed.points("adjourn.dead_letters")
    assert (attributes["adjourn.task"], attributes["messaging.destination.name"], count) == (
        "work",
        "default",
        1,
    )


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        ("snooze", [("resumed", None, 1)]),
        ("later", [("resumed", "adjourn.errors.RetryLater", 1)]),
        ("discard", [("done", None, 1)]),
    ],
)
def test_a_call_that_comes_back_is_told_from_one_that_failed(work, box, observed, error, counted):
    work(error)
    box.drain()

    assert outcomes(observed) == counted


def test_a_call_that_waits_for_its_flow_is_not_done(app, box, observed):
    @app.deferred(name="limited", flow=Flow(key="tenant", concurrency=1))
    def limited(tenant):  # noqa: ARG001 - its key
        if len(box.queue.due()) > 1:
            box.deliver(next(each for each in box.queue.due() if each is not first))

    limited("a")
    limited("a")
    first = box.queue.due()[0]
    box.deliver(first)

    assert sorted(outcomes(observed)) == [("done", None, 1), ("resumed", None, 1)]


def test_the_lag_of_first_attempts_is_measured(work, box, observed):
    work.options(delay=MINUTE).defer("fail")
    box.travel(by=90)
    box.drain()
    box.drain()

    assert [total for _, total in observed.points("adjourn.delivery.lag")] == [30.0]


def test_a_coroutine_has_the_span_of_its_delivery(app, box, observed):
    @app.deferred(name="later")
    async def later(depth):
        await asyncio.sleep(0)
        with span(f"charge {depth}"):
            if depth:
                await later.adefer(depth - 1)

    later(1)
    box.drain()

    first, second = observed.spans("process later")
    assert observed.span("charge 1").parent.span_id == first.context.span_id
    assert observed.spans("send later")[1].parent.span_id == (
        observed.span("charge 1").context.span_id
    )
    assert second.parent.span_id == observed.spans("send later")[1].context.span_id
    assert second.context.trace_id == first.context.trace_id


def test_deliveries_in_parallel_have_spans_of_their_own(app, box, observed):
    both = threading.Barrier(2, timeout=30)

    @app.deferred(name="meet")
    def meet(name):
        with span(name):
            both.wait()

    for name in ("one", "another"):
        meet(name)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(box.deliver, box.queue.due())) == [Outcome.DONE, Outcome.DONE]

    parents = {observed.span(name).parent.span_id for name in ("one", "another")}
    assert parents == {each.context.span_id for each in observed.spans("process meet")}
    assert len(parents) == 2


def test_within_the_span_of_a_web_framework_a_delivery_is_its_child(app, box, observed):
    @app.deferred(name="greet")
    def greet(): ...

    greet()
    (queued,) = box.queue.due()
    delivery = box.delivery(SETTINGS.deferred_url, queued.task.body)
    with span("POST /deferred") as server:
        box.wiring.receive_task(delivery)

    process = observed.span("process greet")
    assert process.parent.span_id == server.span_id
    assert process.links[0].context.span_id == observed.span("send greet").context.span_id


def test_under_asgi_a_coroutine_has_the_span_of_its_delivery_within_that_of_the_server(
    app, box, observed
):
    @app.deferred(name="greet")
    async def greet():
        await asyncio.sleep(0)
        with span("smtp"):
            pass

    greet()
    (queued,) = box.queue.due()
    (token,) = box.delivery(SETTINGS.deferred_url, b"").authorization
    served, answers = asgi(app), []

    async def receive():
        return {"type": "http.request", "body": queued.task.body}

    async def send(message):
        answers.append(message)

    async def request():
        headers = [(b"authorization", token.encode())]
        scope = {"type": "http", "method": "POST", "path": "/_adjourn/deferred"}
        with span("POST /_adjourn/deferred") as server:
            await served({**scope, "headers": headers}, receive, send)
        return server

    server = asyncio.run(request())

    process = observed.span("process greet")
    assert answers[0]["status"] == 204
    assert process.parent.span_id == server.span_id
    assert observed.span("smtp").parent.span_id == process.context.span_id
    assert not trace.get_current_span().get_span_context().is_valid


def test_what_the_caller_does_not_sample_is_not_sampled_further_on(work, box, observed):
    enqueuer = box.wiring.enqueuer
    call = enqueuer.envelope(work, (), {})._replace(context={"traceparent": UNSAMPLED})
    enqueuer.put(call, "unsampled")
    box.drain()

    assert observed.spans("process work") == []
    assert outcomes(observed) == [("done", None, 1)]


def test_lines_of_a_task_belong_to_its_span(app, box, observed, lines):
    @app.deferred(name="talk")
    def talk():
        logging.getLogger("shop").warning("hello")

    talk()
    box.drain()

    context = observed.span("process talk").context
    (line,) = (each for each in lines() if each["message"] == "hello")
    assert line["logging.googleapis.com/trace"].endswith(f"/traces/{context.trace_id:032x}")
    assert line["logging.googleapis.com/spanId"] == f"{context.span_id:016x}"


def test_a_body_that_cannot_be_read_is_seen(box, observed):
    delivery = box.delivery(SETTINGS.deferred_url, b"nothing")._replace(queue="mail")

    assert box.wiring.receive_task(delivery) is Outcome.DEAD

    found = observed.span("process mail")
    assert found.status.status_code is StatusCode.ERROR
    assert found.events[0].name == "exception"
    assert found.attributes["error.type"] == "adjourn.errors.DecodeError"


def test_strangers_make_no_spans(box, observed):
    delivery = box.delivery(SETTINGS.deferred_url, b"")._replace(authorization=[])

    assert box.wiring.receive_task(delivery) is Outcome.UNAUTHENTICATED

    assert observed.spans() == []
    assert observed.points(CONSUMED) == []


@pytest.mark.parametrize("method", ["on_start", "on_end"])
def test_an_error_of_the_sdk_breaks_neither_calls_nor_deliveries(  # noqa: PLR0917 - fixtures
    app, box, observed, lines, ran, monkeypatch, method
):
    @app.deferred(name="work")
    def work():
        ran.append(1)

    def fail(*_):
        raise RuntimeError("the collector is on fire")

    monkeypatch.setattr(observed.provider._active_span_processor, method, fail)

    handle = work()
    assert handle.is_new
    assert box.drain() == [Outcome.DONE]
    assert ran == [1]
    assert "telemetry.failed" in {each.get("event") for each in lines()}


def test_the_attempt_of_a_moved_call_counts_on(work, box, observed):
    work("later", "fail")
    box.drain()
    box.travel(by=60)
    box.drain()

    assert [each.attributes["adjourn.attempt"] for each in observed.spans("process work")] == [1, 2]


# Iterations


def test_a_step_has_a_trace_of_its_own_that_is_linked_to_the_start(app, box, observed):
    class Walk(QueryIter):
        batch_size = 2

        def handle_entry(self, *_):
            with span("handle"):
                pass

        def handle_finish(self, *_):
            with span("finish"):
                pass

    app.query_iter(name="walk")(Walk)
    for number in range(5):
        box.queries.add("Order", number)
    with span("request") as request:
        handle = Walk.start(MemoryQuery("Order"))
    box.drain()

    start, (first, last) = observed.span("start walk"), observed.spans("step walk")
    assert start.parent.span_id == request.span_id
    assert start.attributes["adjourn.run"] == handle.id
    for step in (first, last):
        assert step.kind is SpanKind.CONSUMER
        assert step.parent is None
        assert step.context.trace_id != request.trace_id
        assert [each.context.span_id for each in step.links] == [start.context.span_id]
        assert step.attributes["adjourn.run"] == handle.id
        assert step.attributes["messaging.operation.name"] == "step"
    assert first.attributes["adjourn.entities"] == 5
    assert {each.parent.span_id for each in observed.spans("handle")} == {first.context.span_id}
    assert observed.span("finish").parent.span_id == last.context.span_id
    assert observed.points("adjourn.iteration.entities") == [({"adjourn.task": "walk"}, 5)]


# Cron


def test_a_tick_is_the_root_of_the_runs_that_it_enqueues(app, box, observed):
    @app.periodic(interval=MINUTE, name="sweep", cron_name="nightly")
    def sweep(): ...

    due = box.clock.now()
    delivery = box.delivery(SETTINGS.cron_url, b"", "/nightly")._replace(scheduled=due)
    assert box.wiring.receive_tick(delivery) is Outcome.DONE
    box.drain()

    tick, send = observed.span("tick nightly"), observed.span("send sweep")
    assert tick.kind is SpanKind.CONSUMER
    assert tick.attributes["messaging.system"] == "gcp_cloud_scheduler"
    assert tick.attributes["faas.trigger"] == "timer"
    assert tick.attributes["faas.time"] == due.isoformat()
    assert send.parent.span_id == tick.context.span_id
    assert observed.span("process sweep").parent.span_id == send.context.span_id

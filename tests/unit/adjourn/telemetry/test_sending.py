"""Spans and metrics of what is enqueued."""

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from adjourn.errors import EncodeError

SENT = "messaging.client.sent.messages"

tracer = trace.get_tracer("shop")


@pytest.fixture
def work(app):
    @app.deferred(name="work")
    def work(*_): ...

    return work


def test_one_span_stands_for_all_calls_of_a_map_and_each_is_linked_to_it(work, box, observed):
    with tracer.start_as_current_span("import") as parent:
        handles = list(work.map([1, 2, 3]))
        inside = trace.get_current_span()
    box.drain()

    send = observed.span("send work")
    assert inside is parent
    assert send.kind is SpanKind.PRODUCER
    assert send.parent.span_id == parent.get_span_context().span_id
    assert send.attributes["messaging.batch.message_count"] == len(handles) == 3
    assert "messaging.message.id" not in send.attributes
    parents = [each.parent.span_id for each in observed.spans("process work")]
    assert parents == [send.context.span_id] * 3
    assert [count for _, count in observed.points(SENT)] == [3]


@pytest.mark.usefixtures("box")
def test_what_a_map_could_not_enqueue_is_told(work, observed):
    results = list(work.imap([1, object()]))

    send = observed.span("send work")
    assert isinstance(results[1], EncodeError)
    assert send.status.status_code is StatusCode.ERROR
    assert send.attributes["error.type"] == "adjourn.errors.EncodeError"
    assert send.attributes["messaging.batch.message_count"] == 1


@pytest.mark.usefixtures("box")
def test_what_is_queued_already_is_not_counted(work, observed):
    handles = [work.options(unique_by="arguments", unique_for=60).defer(1) for _ in range(2)]

    assert [each.is_new for each in handles] == [True, False]
    assert len(observed.spans("send work")) == 2
    assert [count for _, count in observed.points(SENT)] == [1]


@pytest.mark.usefixtures("box")
def test_a_map_that_nobody_wants_to_the_end_has_a_span_all_the_same(work, observed):
    results = work.imap(range(10))
    next(results)
    results.close()

    assert observed.span("send work").status.status_code is StatusCode.UNSET
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.usefixtures("box")
def test_a_call_that_is_not_enqueued_is_an_error(work, observed):
    with pytest.raises(EncodeError):
        work(object())

    send = observed.span("send work")
    assert send.status.status_code is StatusCode.ERROR
    assert send.attributes["error.type"] == "adjourn.errors.EncodeError"
    assert observed.points(SENT) == []

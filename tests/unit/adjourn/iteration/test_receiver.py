"""Which outcome a delivered step has, and who is notified of it."""

import datetime as dt

import pytest

from adjourn import QueryIter
from adjourn.execution.attempt import Attempt
from adjourn.execution.dead_letters import KIND
from adjourn.execution.delivery import Outcome
from adjourn.iteration.runs import Step
from adjourn.testing import SETTINGS, MemoryQuery

GONE = Step(run_id="gone", shard=0, number=3, epoch=0).encode()


@pytest.mark.parametrize("body", [GONE, b"no step"])
def test_the_application_is_told_of_a_step_that_was_given_up(app, box, ran, body):
    app.on_dead(ran.append)

    outcome = box.app.wiring().receive_step(box.delivery(SETTINGS.queryiter_url, body))

    assert outcome is Outcome.DEAD
    assert [letter.task_id for letter in ran] == [
        key.name for key in box.store.records if key.kind == KIND
    ]


def test_a_step_that_is_retried_too_often_is_warned_about_once(app, box, ran):
    app.on_retry_warning(ran.append)
    delivery = box.delivery(SETTINGS.queryiter_url, GONE)

    for retries in (24, 25, 26):
        attempt = Attempt(retry_count=retries)
        box.app.wiring().receive_step(delivery._replace(attempt=attempt))

    (warning,) = ran
    assert (warning.task, warning.retry_count) == ("step", 25)


def test_calls_within_a_step_are_enqueued_with_their_options(app, box, ran):
    send = app.deferred(name="send")(lambda entry="": ran.append(entry))

    class Walk(QueryIter):
        def handle_entry(self, entry, custom_data):  # noqa: ARG002
            send.options(queue="mail", delay=60)(entry)
            send()

    Walk.__qualname__ = "Walk"
    app.query_iter(Walk)
    box.queries.add("Order", "a")
    Walk.start(MemoryQuery("Order"))

    box.drain()
    assert ran == [""]
    (waiting,) = box.queue.tasks.values()
    assert waiting.task.queue == "mail"
    box.clock.advance(dt.timedelta(minutes=1))
    box.drain()
    assert ran == ["", "a"]

"""What goes along with a call, from where it is made to where it runs."""

import logging
import re
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import pytest

from adjourn import App, DeclarationError, EncodeError, QueryIter, Status, current_task
from adjourn.execution.delivery import Outcome
from adjourn.serialization.context import propagating
from adjourn.testing import MemoryQuery, sandbox

CONCEPTS = Path(__file__).resolve().parents[4] / "docs" / "concepts.md"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

tenant: ContextVar[str] = ContextVar("tenant", default="nobody's")


class Tenancy:
    """Carries the tenant, as an application would."""

    def serialize(self):
        return {"tenant": tenant.get()}

    @contextmanager
    def restore(self, value):
        token = tenant.set(value["tenant"])
        try:
            yield
        finally:
            tenant.reset(token)


def app_with(seen, **carried):
    app = App(**carried)

    @app.deferred(name="look")
    def look(depth=0):
        task = current_task()
        seen.append((task.user, task.language, tenant.get()))
        if depth:
            look(depth - 1)

    return app, look


def test_user_language_and_environment_arrive():
    seen = []
    app, look = app_with(seen, user=lambda: "u-1", language=lambda: "de", environment=Tenancy())
    with sandbox(app) as box:
        token = tenant.set("acme's")
        look()
        tenant.reset(token)

        assert box.drain() == [Outcome.DONE]

    assert seen == [("u-1", "de", "acme's")]
    assert tenant.get() == "nobody's"


def test_a_call_without_any_context_carries_none():
    seen = []
    app, look = app_with(seen, user=lambda: None)
    with sandbox(app) as box:
        look()
        assert b"context" not in box.queue.due()[0].task.body
        box.drain()

    assert seen == [(None, None, "nobody's")]


def test_what_a_task_enqueues_carries_the_tasks_own_context_on():
    people = ["u-1"]
    seen = []
    app, look = app_with(seen, user=lambda: people.pop() if people else None)
    with sandbox(app) as box:
        look(2)
        box.drain()

    assert [user for user, _, _ in seen] == ["u-1"] * 3


def test_the_trace_goes_along():
    seen = []
    app, look = app_with(seen)
    with sandbox(app) as box:
        with propagating({"traceparent": TRACE}):
            look(1)
        first = box.queue.due()[0].task.body
        box.deliver(box.queue.due()[0])

        assert TRACE.encode() in first
        assert TRACE.encode() in box.queue.due()[0].task.body


def test_a_user_that_is_no_text_is_refused_at_the_call():
    app, look = app_with([], user=lambda: 5)
    with sandbox(app) as box:
        with pytest.raises(EncodeError, match="the user in the context of a call must be a str"):
            look()
        assert box.queue.tasks == {}


def test_an_environment_that_cannot_be_restored_is_a_failure_of_the_task():
    class Broken(Tenancy):
        def restore(self, value):
            raise RuntimeError(value)

    app, look = app_with([], environment=Broken())
    with sandbox(app) as box:
        look()

        assert box.drain() == [Outcome.FAILED]


# Former names


def test_a_call_under_a_former_name_still_runs():
    seen = []
    old, look = app_with(seen)
    with sandbox(old) as box:
        look()
        body = box.queue.due()[0].task.body

    new = App()
    new.deferred(name="watch", aliases=["look", "see"])(lambda_free(seen))
    with sandbox(new) as box:
        delivery = box.delivery("https://deferred.example", body)

        assert new.wiring().receive_task(delivery) is Outcome.DONE

    assert seen == ["ran"]


def lambda_free(seen):
    def watch():
        seen.append("ran")

    return watch


@pytest.mark.parametrize(
    "aliases", [["taken"], ["watch"], ["twice", "twice"], [""], "see", ["former"]]
)
def test_a_former_name_must_be_free(aliases):
    app = App()
    app.deferred(name="taken", aliases=["former"])(lambda_free([]))

    with pytest.raises(DeclarationError):
        app.deferred(name="watch", aliases=aliases)(lambda_free([]))

    app.deferred(name="watch")(lambda_free([]))


def test_what_an_iteration_cannot_restore_is_no_fault_of_ours(lines):
    class Moved(Tenancy):
        is_gone = True

        def restore(self, value):
            if self.is_gone:
                raise LookupError("the tenant has moved")
            return super().restore(value)

    seen, environment = [], Moved()
    app = App(environment=environment)

    @app.query_iter(name="walk")
    class Walk(QueryIter):
        def handle_entry(self, entry, custom_data):  # noqa: ARG002
            seen.append(entry)

    with sandbox(app) as box:
        box.queries.add("Order", 1, 2)
        run = Walk.start(MemoryQuery("Order"))

        assert box.drain() == [Outcome.FAILED]
        assert "iteration.failed" in [line.get("event") for line in lines()]

        environment.is_gone = False
        box.drain()
        assert (run.fetch().status, seen) == (Status.FINISHED, [1, 2])


def test_threads_as_the_documentation_starts_them_know_their_task(lines):
    blocks = re.findall(r"```python\n(.*?)```", CONCEPTS.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = [each for each in blocks if "copy_context" in each]
    app, seen, both = App(user=lambda: None), [], threading.Barrier(2)

    @app.deferred(name="send")
    def send(order):
        seen.append((order, current_task().user))

    def notify_one(order):
        both.wait(10)  # each in a thread of its own
        logging.getLogger("shop").warning("notified")
        seen.append((current_task().id, threading.get_ident()))
        send(order)

    names = {"app": app, "notify_one": notify_one}
    exec(block, names)
    with sandbox(app) as box:
        with propagating({"user": "u-1", "traceparent": TRACE}):
            handle = names["notify"](["A-1", "A-2"])
        box.drain()

    threads = {thread for call, thread in seen if call == handle.id}
    assert len(threads) == 2
    assert threading.get_ident() not in threads
    assert sorted(each for each in seen if "A-" in each[0]) == [("A-1", "u-1"), ("A-2", "u-1")]
    notified = [line for line in lines() if line["message"] == "notified"]
    assert [line["task_id"] for line in notified] == [handle.id] * 2
    assert TRACE.split("-")[1] in notified[0]["logging.googleapis.com/trace"]

"""What may be declared as a flow, and which key a call has."""

import datetime as dt
import uuid

import pytest

from adjourn import DeclarationError, EncodeError, Flow
from adjourn.serialization.envelope import Envelope


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "needs a limit"),
        ({"concurrency": 0}, "concurrency=0 must be a whole number from 1"),
        ({"concurrency": True}, "concurrency=True must be"),
        ({"concurrency": 2, "key": 5}, "must be the name of an argument or a function"),
        ({"concurrency": 2, "name": 5}, "Flow(name=5)"),
    ],
)
def test_a_wrong_flow_is_refused_with_the_fix(fields, said):
    with pytest.raises(DeclarationError) as refused:
        Flow(**fields)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("tenant", "must be an adjourn.Flow"),
        ([], "must be an adjourn.Flow"),
        ([5], "must be an adjourn.Flow"),
        (Flow(key="tenent", concurrency=1), "no argument 'tenent'"),
        ([Flow(concurrency=1, name="x")] * 2, "names a flow twice"),
    ],
)
def test_a_wrong_option_is_refused_at_the_declaration(app, option, said):
    with pytest.raises(DeclarationError) as refused:

        @app.deferred(name="work", flow=option)
        def work(tenant): ...

    assert said in str(refused.value)


def test_two_limits_of_the_same_name_are_refused(app):
    app.deferred(name="one", flow=Flow(concurrency=1, name="x"))(lambda: None)

    with pytest.raises(DeclarationError, match="declared twice"):
        app.deferred(name="two", flow=Flow(concurrency=2, name="x"))(lambda: None)


def test_a_key_for_a_task_without_a_flow_is_refused(app):
    task = app.deferred(name="plain")(lambda: None)

    with pytest.raises(DeclarationError, match="flow_key needs a flow"):
        task.options(flow_key="x")


def test_a_flow_is_declared_not_given_with_a_call(app):
    task = app.deferred(name="plain")(lambda: None)

    with pytest.raises(DeclarationError, match="option of the declaration"):
        task.options(flow=Flow(concurrency=1))


def test_waiting_until_done_is_not_seen_by_unique_calls(app):
    with pytest.raises(DeclarationError, match="does not see calls that wait"):
        app.deferred(flow=Flow(concurrency=1), unique_by="task", unique_until="done")(print)


def keys(box, app, flow, *args, **options):
    @app.deferred(name="work", flow=flow)
    def work(tenant, size=5): ...

    (work.options(**options) if options else work)(*args)
    (queued,) = box.queue.tasks.values()
    return Envelope.decode(queued.task.body, box.wiring.enqueuer.codec).flow


@pytest.mark.parametrize(
    ("key", "argument", "expected"),
    [
        (None, "acme", ""),
        ("tenant", "acme", "acme"),
        ("size", "acme", "5"),
        (lambda tenant, size=0: f"{tenant}/{size}", "acme", "acme/5"),
        ("tenant", dt.date(2026, 1, 1), '{"$date": "2026-01-01"}'),
        ("tenant", None, "null"),
    ],
)
def test_a_key_is_a_constant_an_argument_or_what_a_function_returns(
    box, app, key, argument, expected
):
    assert keys(box, app, Flow(key=key, concurrency=1), argument) == (expected,)


def test_equal_values_have_the_same_key(box, app):
    first = uuid.UUID(int=1)
    (key,) = keys(box, app, Flow(key="tenant", concurrency=1), first)

    assert key == '{"$uuid": "00000000-0000-0000-0000-000000000001"}'


def test_a_long_key_is_its_digest(box, app):
    (key,) = keys(box, app, Flow(key="tenant", concurrency=1), "x" * 5000)

    assert len(key) == 32


def test_what_cannot_be_encoded_is_refused_at_the_call(box, app):
    flow = Flow(key=lambda *_, **__: object(), concurrency=1)

    with pytest.raises(EncodeError, match="its flow's key cannot be encoded"):
        keys(box, app, flow, "acme")


def test_several_flows_need_as_many_keys(box, app):
    flows = [Flow(key="tenant", concurrency=1), Flow(concurrency=5, name="all")]

    with pytest.raises(DeclarationError, match="2 flows, so flow_key needs as many"):
        keys(box, app, flows, "acme", flow_key="other")

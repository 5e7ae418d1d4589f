"""What is set live is found, and what is not known is refused."""

import pytest

from adjourn import DeclarationError, Flow, UnknownNameError
from adjourn.flow.control import Flows


@pytest.fixture
def flows(app, box):  # noqa: ARG001 - it is active
    app.deferred(name="work", flow=Flow(key="tenant", concurrency=3))(lambda tenant: tenant)
    return app.flows()


def test_a_flow_that_nobody_knows_is_refused_with_the_nearest(flows):
    with pytest.raises(UnknownNameError, match="'work'"):
        flows.pause("works")


@pytest.mark.usefixtures("flows")
def test_the_command_line_knows_the_flows_that_have_records(box, app):
    elsewhere = Flows(adapters=box.wiring.adapters, settings=box.wiring.settings)
    with pytest.raises(UnknownNameError):
        elsewhere.get("work")
    app.wiring().tasks.get("work")("acme")
    box.drain()

    assert elsewhere.get("work", "acme").limits == "concurrency=3"


@pytest.mark.parametrize("limit", [0, -1, True, 2.5])
def test_a_wrong_limit_is_refused(flows, limit):
    with pytest.raises(DeclarationError):
        flows.limit("work", concurrency=limit)


def test_a_key_comes_before_its_flow_and_that_before_the_declaration(flows, box, app):
    task = app.wiring().tasks.get("work")

    def limits(key):
        task(key)
        box.drain()
        return flows.get("work", key).limits

    assert limits("a") == "concurrency=3"
    flows.limit("work", concurrency=5)
    flows.limit("work", "b", concurrency=7)
    assert (limits("c"), limits("b")) == ("concurrency=5", "concurrency=7")
    flows.limit("work", "b", concurrency=None)
    flows.limit("work", concurrency=None)
    assert (limits("d"), limits("b")) == ("concurrency=3", "concurrency=3")
    assert {(view.flow, view.key) for view in flows.find("work")} == {
        ("work", each) for each in (None, "a", "b", "c", "d")
    }
    assert list(flows.find("other")) == []

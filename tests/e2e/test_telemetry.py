"""Spans and metrics of processes that set OpenTelemetry up as the documentation says.

The SDK's own threads export nothing within the time of the tests, as those of an instance that has
no CPU between requests. So what arrives was exported before deliveries were answered.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise

import grpc
import pytest
from google.cloud import scheduler_v1
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
)

from adjourn_local.runtime.addresses import LOCATION, PROJECT
from adjourn_local.runtime.stack import Stack, running
from tests.checkout import ROOT
from tests.e2e import telemetry_application
from tests.e2e.application import imported
from tests.e2e.collector import Collector, Received, collecting
from tests.e2e.conftest import Ear

MODULE = telemetry_application.__name__
PRODUCER, CONSUMER = 4, 5  # as the protocol numbers the kinds of spans
ERROR = 2
AN_HOUR = "3600000"
IMPORT = f"from {MODULE} import *"


class Shop:
    """A stack whose functions export to a collector, and processes that call them."""

    def __init__(self, collector: Collector, environment: Mapping[str, str]) -> None:
        self.collector = collector
        self.environment = environment

    def run(self, *lines: str) -> None:
        """Run lines of Python within a span `checkout`, in a process of the application's own."""
        body = "\n".join(f"    {line}" for line in lines)
        code = f"{IMPORT}\nwith tracer.start_as_current_span('checkout {lines[0]}'):\n{body}"
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def tick(self) -> None:
        with grpc.insecure_channel(self.environment["CLOUDSCHEDULER_EMULATOR_HOST"]) as channel:
            client = scheduler_v1.CloudSchedulerClient(
                transport=CloudSchedulerGrpcTransport(channel=channel)
            )
            client.run_job(name=f"projects/{PROJECT}/locations/{LOCATION}/jobs/traced")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("telemetry")
    page = (ROOT / "docs" / "opentelemetry.md").read_text()
    (block,) = re.findall(
        r'^```python\n("""Sends the spans.*?)^```', page, re.DOTALL | re.MULTILINE
    )
    (folder / "telemetry.py").write_text(block)
    with collecting() as (collector, url), pytest.MonkeyPatch.context() as patch:
        collector.write_account(folder / "account.json")
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_BSP_SCHEDULE_DELAY": AN_HOUR,
            "OTEL_METRIC_EXPORT_INTERVAL": AN_HOUR,
            "GOOGLE_APPLICATION_CREDENTIALS": str(folder / "account.json"),
            "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]),
        }
        for name, value in {**variables, "K_SERVICE": "shop-functions"}.items():
            patch.setenv(name, value)
        patch.setenv("ADJOURN_TELEMETRY_FLUSH", "30")  # on a loaded machine, too
        stack = Stack(f"{MODULE}:app")
        with running(stack):
            patch.undo()
            yield Shop(collector, {**variables, **stack.ports.environment()})


def parent(span: Received) -> bytes:
    found: bytes = span.what.parent_span_id
    return found


def test_one_trace_leads_from_a_caller_through_all_that_followed(shop: Shop) -> None:
    shop.run("order(1)")

    found = shop.collector
    checkout, send, process = map(found.span, ("checkout order(1)", "send order", "process order"))
    charge, inner, mail = map(found.span, ("charge", "send mail", "process mail"))
    chain = [checkout, send, process, charge, inner, mail, found.span("smtp 1")]
    for above, below in pairwise(chain):
        assert parent(below) == above.what.span_id
        assert below.what.trace_id == checkout.what.trace_id
    assert [each.span_id for each in process.what.links] == [send.what.span_id]
    assert (send.what.kind, process.what.kind) == (PRODUCER, CONSUMER)
    assert process.attributes["messaging.message.id"] == send.attributes["messaging.message.id"]
    assert process.attributes["messaging.destination.name"] == "default"
    assert checkout.resource["service.name"] == "shop"
    assert process.resource["service.name"] == "shop-functions"
    assert process.resource["gcp.project_id"] == PROJECT
    assert found.refused == 0


def test_a_failed_attempt_is_an_error_and_the_next_one_is_not(shop: Shop) -> None:
    shop.run("stumble()")

    first, second = shop.collector.spans("process stumble", 2)
    assert first.what.status.code == ERROR
    assert first.attributes["error.type"] == "RuntimeError"
    assert first.what.events[0].name == "exception"
    assert second.what.status.code != ERROR
    assert second.attributes["messaging.gcp_cloud_tasks.message.retry_count"] == 1
    assert parent(first) == parent(second) == shop.collector.span("send stumble").what.span_id


def test_steps_are_linked_to_the_start_of_their_run(shop: Shop) -> None:
    shop.run("begin()")

    start = shop.collector.span("start reprice")
    walk, finish = shop.collector.spans("step reprice", 2)
    assert parent(start) == shop.collector.span("process begin").what.span_id
    for step in (walk, finish):
        assert [each.span_id for each in step.what.links] == [start.what.span_id]
        assert step.attributes["adjourn.run"] == start.attributes["adjourn.run"]
    assert walk.attributes["adjourn.entities"] == 3
    prices = shop.collector.spans("price", 3)
    assert {parent(each) for each in prices} == {walk.what.span_id}


def test_a_tick_leads_to_the_runs_that_it_enqueues(shop: Shop) -> None:
    shop.tick()

    tick, send = shop.collector.span("tick traced"), shop.collector.span("send sweep")
    assert tick.attributes["faas.trigger"] == "timer"
    assert tick.attributes["messaging.system"] == "gcp_cloud_scheduler"
    assert parent(send) == tick.what.span_id
    assert parent(shop.collector.span("process sweep")) == send.what.span_id


def test_metrics_arrive(shop: Shop) -> None:
    """They are exported with the first delivery of a process, and then once a minute."""
    shop.run("mail(2)")

    for name in ("messaging.client.consumed.messages", "messaging.process.duration"):
        exported = shop.collector.metric(name)
        assert {each.resource["service.name"] for each in exported} == {"shop-functions"}
    sent = shop.collector.metric("messaging.client.sent.messages")
    assert "shop" in {each.resource["service.name"] for each in sent}  # as their processes ended


@pytest.mark.usefixtures("environment")
def test_a_function_whose_application_sets_nothing_up_imports_nothing_of_it(ear: Ear) -> None:
    imported("opentelemetry.sdk", "adjourn.telemetry")

    assert ear.hear() == "imported: none"

"""An application that sets OpenTelemetry up as the documentation says, given a collector."""

import datetime as dt
import os
from typing import Any

from google.cloud import datastore

import adjourn

if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
    import telemetry  # noqa: F401 # the block of docs/opentelemetry.md

from opentelemetry import trace

app = adjourn.App()
tracer = trace.get_tracer("shop")


@app.deferred(name="order")
def order(number: int) -> None:
    with tracer.start_as_current_span("charge"):
        mail(number)


@app.deferred(name="mail")
async def mail(number: int) -> None:
    with tracer.start_as_current_span(f"smtp {number}"):
        pass


@app.deferred(name="stumble", min_backoff=dt.timedelta(milliseconds=1))
def stumble() -> None:
    if adjourn.current_task().attempt == 1:
        raise RuntimeError("no money")


@app.query_iter(name="reprice")
class Reprice(adjourn.QueryIter[datastore.Entity]):
    def handle_entry(self, entry: datastore.Entity, custom_data: Any) -> None:  # noqa: ARG002
        with tracer.start_as_current_span("price"):
            pass


@app.deferred(name="begin")
def begin() -> None:
    client = datastore.Client()
    client.put_multi([datastore.Entity(client.key("Traced", n)) for n in range(1, 4)])
    Reprice.start(client.query(kind="Traced"))


@app.periodic(interval=dt.timedelta(days=1), name="sweep", cron_name="traced")
def sweep() -> None: ...

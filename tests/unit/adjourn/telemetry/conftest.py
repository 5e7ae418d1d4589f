"""OpenTelemetry's SDK, in use for the time of a test only: others run in the same process."""

import sys
from typing import Any, NamedTuple

import pytest


class Observed(NamedTuple):
    """What the SDK has recorded."""

    exporter: Any
    reader: Any
    provider: Any

    def spans(self, name: str = "") -> list[Any]:
        """Return the spans that have ended, in the order in which they began."""
        found = [each for each in self.exporter.get_finished_spans() if name in each.name]
        return sorted(found, key=lambda span: span.start_time)

    def span(self, name: str) -> Any:
        """Return the only span of a name."""
        (found,) = (each for each in self.spans() if each.name == name)
        return found

    def points(self, metric: str) -> list[tuple[dict[str, Any], float]]:
        """Return attributes and value, or sum, of what was measured since this was last asked."""
        found = []
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data else []:
            for scope in resource.scope_metrics:
                for each in scope.metrics:
                    if each.name == metric:
                        found += each.data.data_points
        return [
            (dict(each.attributes), each.value if hasattr(each, "value") else each.sum)
            for each in found
        ]


@pytest.fixture(scope="session")
def sdk() -> tuple[Observed, Any]:
    from opentelemetry import metrics, trace  # noqa: PLC0415 - as the docstring says
    from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import (  # noqa: PLC0415
        AggregationTemporality,
        InMemoryMetricReader,
    )
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (  # noqa: PLC0415
        InMemorySpanExporter,
    )

    delta = AggregationTemporality.DELTA
    reader = InMemoryMetricReader({Counter: delta, Histogram: delta})
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([reader]))
    return Observed(exporter, reader, provider), sys.modules.pop("opentelemetry.sdk")


@pytest.fixture
def observed(sdk: tuple[Observed, Any], monkeypatch: pytest.MonkeyPatch) -> Observed:
    found, module = sdk
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", module)
    found.exporter.clear()
    found.reader.get_metrics_data()
    return found

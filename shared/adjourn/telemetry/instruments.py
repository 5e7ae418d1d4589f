"""The metrics of deliveries, enqueued calls and iterations."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial

from opentelemetry import metrics

Attributes = Mapping[str, str]

# The conventions', and what tasks take longer than messages.
_SECONDS = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
    *(30, 60, 300, 600, 1800, 3600),
)


class Instruments:
    """The instruments, of the meter provider that is set when they are first used."""

    def __init__(self) -> None:
        meter = metrics.get_meter("adjourn")
        seconds = partial(
            meter.create_histogram, unit="s", explicit_bucket_boundaries_advisory=_SECONDS
        )
        self.sent = meter.create_counter(
            "messaging.client.sent.messages", "{message}", "Tasks that were enqueued."
        )
        self.sending = seconds(
            "messaging.client.operation.duration", description="How long it took to enqueue."
        )
        self.consumed = meter.create_counter(
            "messaging.client.consumed.messages", "{message}", "Attempts, by outcome."
        )
        self.duration = seconds("messaging.process.duration", description="How long attempts took.")
        self.lag = seconds(
            "adjourn.delivery.lag", description="How long after they were due first attempts began."
        )
        self.dead_letters = meter.create_counter(
            "adjourn.dead_letters", "{letter}", "Tasks that were given up."
        )
        self.entities = meter.create_counter(
            "adjourn.iteration.entities", "{entity}", "Entities that iterations have handled."
        )


@cache
def instruments() -> Instruments:
    """Return the instruments of this process."""
    return Instruments()

"""What the steps of iterations are carried out with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from adjourn.execution.current_task import CurrentTask, running
from adjourn.execution.delivery import TIMEOUT, Delivery
from adjourn.iteration.control import Runs
from adjourn.iteration.custom_data import Baggage
from adjourn.iteration.query_iter import QueryIter
from adjourn.iteration.runs import Run
from adjourn.iteration.walk import Surroundings
from adjourn.log import bound, trace_fields
from adjourn.registry import Registry
from adjourn.serialization.context import LANGUAGE, TRACEPARENT, USER, ContextPropagator, text


@dataclass(kw_only=True, eq=False, repr=False)
class Means:
    """The application's classes, and the outside world."""

    registry: Registry[type[QueryIter[Any]]]
    runs: Runs
    baggage: Baggage
    carrier: ContextPropagator
    surroundings: Surroundings
    project: str

    def now(self) -> dt.datetime:
        """Return the time."""
        return self.surroundings.clock.now()

    def loaded(self, kept: bytes) -> Any:
        """Return the data that an entity keeps.

        Raises:
            DecodeError: They cannot be read, or are gone.
            StoreError: They could not be read now.
        """
        return self.surroundings.codec.loads(self.baggage.unpack(kept))

    @contextmanager
    def around(self, run: Run, delivery: Delivery) -> Iterator[None]:
        """Restore what the start of a run brought along for the time that its hooks run."""
        packed = self.surroundings.codec.loads(run.context)
        current = CurrentTask(
            id=run.id,
            task=run.iteration,
            name=delivery.task_name,
            queue=run.queue,
            attempt=delivery.attempt.number,
            retry_count=delivery.attempt.retry_count,
            is_last_attempt=False,
            enqueued_at=run.started_at,
            eta=None,
            user=text(packed, USER),
            language=text(packed, LANGUAGE),
            deadline=self.now() + TIMEOUT,
            _clock=self.surroundings.clock,
            _settle=None,
        )
        trace = trace_fields(self.project, text(packed, TRACEPARENT))
        with bound(**trace), running(current), self.carrier.restored(packed):
            yield

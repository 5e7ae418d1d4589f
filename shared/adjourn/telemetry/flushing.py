"""The export of spans and metrics before a delivery is answered.

Where Cloud Run bills by request, an instance has next to no CPU between requests
(https://cloud.google.com/run/docs/configuring/billing-settings). What waits for the SDK's own
threads then stays in memory until another request comes, and is lost if none does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from opentelemetry import metrics, trace

from adjourn.concurrency import PerProcess
from adjourn.telemetry.trace_context import guarded

# Cloud Monitoring refuses points of a time series that follow each other within 5 seconds
# (https://cloud.google.com/monitoring/quotas). The SDK's own interval is a minute, too.
_METRICS_EVERY = 60.0


class Exporting:
    """Exports what has ended: spans each time, and metrics once a minute."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._metrics_at = -_METRICS_EVERY

    def __call__(self) -> None:
        """Export, and wait until that is done, however long it takes."""
        _flush(trace.get_tracer_provider())
        if self._now() - self._metrics_at >= _METRICS_EVERY:
            self._metrics_at = self._now()
            _flush(metrics.get_meter_provider())


def _flush(provider: object) -> None:
    # Only providers of an SDK have it, and its own timeout is not kept by all of them.
    flush: Callable[[], object] | None = getattr(provider, "force_flush", None)
    if flush is not None:
        guarded(flush)


class Flusher:
    """Exports in a thread for those that wait for it: one export serves all that wait by then.

    While an export takes longer than somebody would wait, nobody else waits: a collector that is
    out of reach costs one delivery its time, not all of them.
    """

    def __init__(self, export: Callable[[], object]) -> None:
        self._export = export
        self._changed = threading.Condition()
        self._asked = 0
        self._done = 0
        self._is_late = False

    def flush(self, seconds: float) -> bool:
        """Have everything exported that has ended; wait for it, for some seconds at most.

        Returns:
            Whether that is done.
        """
        with self._changed:
            self._asked += 1
            mine = self._asked
            self._changed.notify_all()
            if self._is_late or seconds <= 0:
                return False
            is_done = self._changed.wait_for(lambda: self._done >= mine, seconds)
            if not is_done:
                self._is_late = True
            return is_done

    def work(self) -> None:
        """Export whenever somebody asks for it, for ever."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asked > self._done)
                asked = self._asked
            self._export()
            with self._changed:
                self._done, self._is_late = asked, False
                self._changed.notify_all()


def _working() -> Flusher:
    flusher = Flusher(Exporting())
    threading.Thread(target=flusher.work, name="adjourn-telemetry", daemon=True).start()
    return flusher


_flusher = PerProcess(_working)


def flush(seconds: float) -> bool:
    """Have what has ended in this process exported; see `Flusher.flush`."""
    return _flusher().flush(seconds)

"""The calls of Datastore's API, each of which ends within some seconds."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from adjourn.retrying import doubling, retry

# Of a lookup, https://cloud.google.com/datastore/docs/concepts/limits
MOST_KEYS = 1000
# What Google's client repeats by itself, for a minute
# (`google/cloud/datastore_v1/services/datastore/transports/base.py`).
_REPEATED = frozenset({"lookup", "reserve_ids", "run_query", "run_aggregation_query"})
# It reads one index entry for each thousand that it counts, and Google lets it go on for a minute.
_SLOW = {"run_aggregation_query": 60.0}
# What is not rolled back expires, and nobody waits for it.
_BRIEF = {"rollback": 1.0}

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


class LimitedDatastore:
    """Google's client of the API, with a limit to what a call and its repetitions take together.

    Google's own limits are a minute for each attempt, and a minute for the repetitions.

    Attributes:
        api: The client without the limit.
    """

    def __init__(
        self,
        api: Any,
        seconds: float,
        *,
        time: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Limit the calls of a client.

        Args:
            api: Google's client, over gRPC or HTTP.
            seconds: How long a call may take.
            time: Returns a time in seconds.
            sleep: Waits for some seconds.
            jitter: Returns random numbers from 0 to 1.
        """
        self.api = api
        self._seconds = seconds
        self._time = time
        self._sleep = sleep
        self._jitter = jitter

    def over(self, api: Any) -> LimitedDatastore:
        """Return another client with the same limit."""
        return LimitedDatastore(
            api, self._seconds, time=self._time, sleep=self._sleep, jitter=self._jitter
        )

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self.api, name)
        if name in _REPEATED:
            return partial(self._repeated, call, _SLOW.get(name, 0.0))
        return partial(
            call, retry=None, timeout=min(self._seconds, _BRIEF.get(name, self._seconds))
        )

    def _repeated(self, call: Callable[..., Any], least: float, request: Any) -> Any:
        from google.api_core.exceptions import ServiceUnavailable

        until = self._time() + self._seconds

        def attempt() -> Any:
            left = until - self._time()
            return call(request=request, retry=None, timeout=max(left, least))

        def pauses() -> Iterator[float]:
            for longest in doubling(_FIRST_PAUSE, _LONGEST_PAUSE):
                pause = longest * self._jitter()
                if self._time() + pause >= until:
                    return
                yield pause

        return retry(
            attempt,
            pauses=pauses(),
            is_transient=lambda error: isinstance(error, ServiceUnavailable),
            sleep=self._sleep,
        )

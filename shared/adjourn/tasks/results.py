"""Read the results that calls keep, and wait for them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from adjourn.coroutines import is_on_loop, off_loop
from adjourn.errors import DeclarationError, ResultNotKeptError, ResultNotReadyError
from adjourn.names import CallIdentity
from adjourn.ports import Adapters
from adjourn.serialization.codec import Codec
from adjourn.serialization.envelope import Envelope
from adjourn.state.call_results import CallResult, CallResults, PendingResult
from adjourn.tasks.blocking import tell_blocking
from adjourn.tasks.plain_values import plain_duration

# Each look is a read or two of Datastore, so it is soon made less often.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0  # seconds

Wait = dt.timedelta | float


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Results:
    """The results of calls that were made with `keep_result`; `app.results`.

    What was kept is read anew each time, as long as it is kept.
    """

    _adapters: Adapters
    _codec: Codec
    _told: set[str]

    def get(self, call: str, wait: Wait = 0) -> Any:
        """Return what the call with this id returned.

        Args:
            call: The id of the call, as `TaskHandle.id` tells it. Whoever may ask for the result
                is for the application to check.
            wait: How long to wait for it, as a timedelta or in seconds.

        Raises:
            ResultNotReadyError: There is no result: it has not ended yet, keeps none, or the time
                for which it was kept is over.
            ResultError: It returned nothing that is kept; the class says why.
            DecodeError: What it returned cannot be read here, such as for a type that is not
                registered.
            StoreError: Datastore could not be reached.
        """
        return self.wait_for(CallIdentity(call, ""), wait)

    async def aget(self, call: str, wait: Wait = 0) -> Any:
        """Return what a call returned without holding up the event loop; see `get`."""
        return await self.await_for(CallIdentity(call, ""), wait)

    def find(self, calls: Sequence[str]) -> list[CallResult | None]:
        """Return how calls have ended, by one request for up to a thousand that all have.

        Args:
            calls: The ids of the calls.

        Returns:
            For each, in order: how it ended, or None if there is no result.

        Raises:
            StoreError: Datastore could not be reached.
        """
        return self.records.read([CallIdentity(call, "") for call in calls])

    @property
    def records(self) -> CallResults:
        """The results as they are stored."""
        adapters = self._adapters
        return CallResults(
            store=adapters.store, clock=adapters.clock, sealer=adapters.sealer, codec=self._codec
        )

    def pending(self, envelope: Envelope) -> PendingResult | None:
        """Return the result of a call that is being executed; None if it keeps none."""
        if envelope.keep_result is None:
            return None
        return PendingResult(
            results=self.records,
            call=envelope.identity,
            task=envelope.task,
            kept=envelope.keep_result,
        )

    def wait_for(
        self, call: CallIdentity, wait: Wait, is_gone: Callable[[], bool] = lambda: False
    ) -> Any:
        """Return what a call returned, once it has.

        Args:
            call: The call.
            wait: How long to wait for it.
            is_gone: Whether no task of the call is there, as far as that is known.

        Raises:
            ResultNotKeptError: The call is gone without a result.
            ResultError: As for `get`.
        """
        if is_on_loop():
            line = "await handle.aresult(...), or await app.results.aget(...)"
            tell_blocking("A result", "waited for", self._told, line)
        for pause in _pauses(wait):
            result = self._look(call)
            if result is not None:
                return result.returned()
            self._adapters.sleep(pause)
        return self._last_look(call, is_gone).returned()

    async def await_for(
        self, call: CallIdentity, wait: Wait, is_gone: Callable[[], bool] = lambda: False
    ) -> Any:
        """Return what a call returned without holding up the event loop; see `wait_for`."""
        for pause in _pauses(wait):
            result = await off_loop(partial(self._look, call))
            if result is not None:
                return result.returned()
            await self._adapters.asleep(pause)
        return (await off_loop(partial(self._last_look, call, is_gone))).returned()

    def _look(self, call: CallIdentity) -> CallResult | None:
        return self.records.read([call])[0]

    def _last_look(self, call: CallIdentity, is_gone: Callable[[], bool]) -> CallResult:
        result = self._look(call)
        if result is not None:
            return result
        if is_gone():
            result = self._look(call)  # it may have been written just before the task went
            if result is not None:
                return result
            raise ResultNotKeptError(
                f"The call {call.id} has ended and there is no result: the time for which it was"
                " kept is over, its task was deleted, or it could not be read."
            )
        raise ResultNotReadyError(
            f"There is no result of the call {call.id}: it has not ended yet"
            + ("." if call.fingerprint else ", keeps none, or the time is over.")
        )


def _pauses(wait: Wait) -> Iterator[float]:
    """Yield the pauses between the looks, which together are as long as `wait`.

    Raises:
        DeclarationError: It is no time, or negative.
    """
    longest = plain_duration("wait", wait) or dt.timedelta()
    if longest < dt.timedelta():
        raise DeclarationError(f"wait={wait!r} must not be negative.")
    left, pause = longest.total_seconds(), _FIRST_PAUSE
    while left > 0:
        yield min(pause, left)
        left -= pause
        pause = min(2 * pause, _LONGEST_PAUSE)

"""A sender whose deliveries go wrong as often as it is told."""

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import replace

from adjourn_local.http.faults import NONE, Dice, Fate, Faults
from adjourn_local.http.sender import Answer, Outgoing, Sender
from adjourn_local.timing.clock import Clock

_log = logging.getLogger(__name__)

_REFUSED = Answer(status=503, error="", retry_after=None)
_LOST = Answer(status=None, error="UNAVAILABLE", retry_after=None)
_LONGEST_HOLD = 1.0  # second, by the machine's clock: what is held back must not wait for good
_NAMES = frozenset({"x-cloudtasks-taskname", "x-appengine-taskname", "x-cloudscheduler-jobname"})


class FaultySender(Sender):
    """Sends as its parent does while there are no faults, and they can be changed at any time.

    Attributes:
        injected: How often each fault has happened since the faults were last set.
    """

    def __init__(self, clock: Clock, faults: Faults = NONE) -> None:
        super().__init__(clock)
        self.faults = faults
        self._overtaken: asyncio.Event | None = None

    @property
    def faults(self) -> Faults:
        """What goes wrong, and how often."""
        return self._dice.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._dice = Dice(faults)
        self.injected: Counter[str] = Counter()

    async def send(self, request: Outgoing, deadline: float) -> Answer:
        """Send a request, unless its fate is another."""
        if not self.faults:
            return await super().send(request, deadline)
        behind, self._overtaken = self._overtaken, None
        fate = self._dice.throw()
        if behind is not None:
            fate = replace(fate, is_held=False)
        self._tell(request, fate)
        try:
            if fate.is_held:
                await self._let_one_pass()
            # Only so does a delivery become late: its deadline counts from when it leaves.
            await self._clock.sleep(fate.delay)
            return await self._meet(fate, request, deadline)
        finally:
            if behind is not None:
                behind.set()

    async def _meet(self, fate: Fate, request: Outgoing, deadline: float) -> Answer:
        if fate.is_refused:
            return _REFUSED
        answer = await self._deliver(fate, request, deadline)
        return _LOST if fate.is_lost else answer

    async def _deliver(self, fate: Fate, request: Outgoing, deadline: float) -> Answer:
        send = super().send
        if not fate.is_doubled:
            return await send(request, deadline)
        if fate.at_once:
            both = await asyncio.gather(send(request, deadline), send(request, deadline))
            return both[fate.second_counts]
        first = await send(request, deadline)
        second = await send(request, deadline)
        return second if fate.second_counts else first

    async def _let_one_pass(self) -> None:
        self._overtaken = passed = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_HOLD):
                await passed.wait()
        if self._overtaken is passed:
            self._overtaken = None

    def _tell(self, request: Outgoing, fate: Fate) -> None:
        told = str(fate)
        if not told:
            return
        self.injected.update(word.partition("=")[0] for word in told.split())
        name = next((text for key, text in request.headers if key.lower() in _NAMES), "")
        _log.info(
            "fault_injected %s: %s %s %s",
            told,
            request.method,
            request.url,
            name,
            extra={"event": "fault_injected", "faults": told, "task": name},
        )

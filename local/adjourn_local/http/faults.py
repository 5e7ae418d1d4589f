"""Fault injection: duplicate, lose, refuse, delay or reorder deliveries on purpose."""

import asyncio
import logging
import math
import random
import re
import secrets
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import Any

from adjourn_local.http.sender import HandlerResponse, Outgoing, Sender
from adjourn_local.timing.clocks import StackClock

_log = logging.getLogger(__name__)

_REFUSED = HandlerResponse(status=503, error="", retry_after=None)
_LOST = HandlerResponse(status=None, error="UNAVAILABLE", retry_after=None)
_LONGEST_HOLD = 1.0  # seconds of real time, so that a held delivery never waits for ever
_NAMES = frozenset({"x-cloudtasks-taskname", "x-appengine-taskname", "x-cloudscheduler-jobname"})
_SECONDS = r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+"
_DELAY = re.compile(rf"(?:({_SECONDS})s?\.\.)?({_SECONDS})s")
_SHARES = ("duplicates", "lost-answers", "errors", "reorder")
_HALF = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """The faults to inject, and how often; none by default.

    Attributes:
        duplicates: Share of the deliveries that are made twice, at once or one after the other; the
            answer to either counts.
        lost_answers: Share of the answers that are lost after the handler ran.
        errors: Share of the deliveries that are answered 503 and never reach their handler.
        delay: Seconds by which each delivery is late, at least and at most.
        reorder: Share of the deliveries that are held back until a later one has been answered, for
            a second at most.
        seed: Of the randomness; with the same one the n-th delivery always meets the same drawn.
    """

    duplicates: float = 0.0
    lost_answers: float = 0.0
    errors: float = 0.0
    delay: tuple[float, float] = (0.0, 0.0)
    reorder: float = 0.0
    seed: int = field(default_factory=lambda: secrets.randbits(32))

    def __bool__(self) -> bool:
        return any((self.duplicates, self.lost_answers, self.errors, self.delay[1], self.reorder))

    def __str__(self) -> str:
        values = {each.name.replace("_", "-"): getattr(self, each.name) for each in fields(self)}
        values["delay"] = "{:g}..{:g}s".format(*self.delay) if self.delay[1] else 0
        return ",".join(f"{name}={value}" for name, value in values.items() if value)


NO_FAULTS = Faults(seed=0)


def parse(text: str) -> Faults:
    """Parse `duplicates=0.05,lost-answers=0.02,errors=0.05,delay=0.1..2s,reorder,seed=7`.

    `reorder` without a value means half of the deliveries; an empty text or `none` means no faults.

    Raises:
        ValueError: The text is malformed; the message says what to write.
    """
    if text.strip() in {"", "none"}:
        return NO_FAULTS
    words = [word.partition("=")[::2] for word in text.replace(" ", "").split(",")]
    values: dict[str, Any] = {name: _value(name, value) for name, value in words}
    if len(values) < len(words):
        raise ValueError(f"{text!r} names a fault twice")
    return Faults(**{name.replace("-", "_"): value for name, value in values.items()})


def _value(name: str, text: str) -> float | tuple[float, float]:
    if name == "delay":
        return _range(text)
    if name == "seed":
        if not re.fullmatch("[0-9]{1,20}", text):
            raise ValueError(f"seed={text} is not a whole number")
        return int(text)
    if name not in _SHARES:
        known = ", ".join(("delay", "seed", *_SHARES))
        raise ValueError(f"{name!r} is not a fault; the faults are {known}")
    return _HALF if name == "reorder" and not text else _share(name, text)


def _share(name: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ValueError(f"{name}={text} is not a share from 0 to 1, such as {name}=0.05")
    return share


def _range(text: str) -> tuple[float, float]:
    match = _DELAY.fullmatch(text)
    least, most = (float(match[1] or match[2]), float(match[2])) if match else (1.0, 0.0)
    if least > most:
        raise ValueError(f"delay={text} is not a duration such as 2s or 0.1..2s")
    return least, most


@dataclass(frozen=True, slots=True)
class DeliveryFaults:
    """The faults of one delivery."""

    is_refused: bool
    is_doubled: bool
    at_once: bool
    second_counts: bool
    is_lost: bool
    is_held: bool
    delay: float

    def __str__(self) -> str:
        active = {
            f"delay={self.delay:.3f}s": self.delay,
            "reorder": self.is_held,
            "error": self.is_refused,
            "duplicate": self.is_doubled and not self.is_refused,
            "lost-answer": self.is_lost and not self.is_refused,
        }
        return " ".join(word for word, is_active in active.items() if is_active)


class FaultGenerator:
    """Draws the faults of deliveries, one after the other."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        # Reproducible, not secret.
        self._random = random.Random(faults.seed)  # noqa: S311

    def draw(self) -> DeliveryFaults:
        """Return the drawn of the next delivery; each takes as many random numbers."""
        faults, (least, most) = self.faults, self.faults.delay
        error, double, together, second, lost, held, late = (
            self._random.random() for _ in range(7)
        )
        return DeliveryFaults(
            is_refused=error < faults.errors,
            is_doubled=double < faults.duplicates,
            at_once=together < _HALF,
            second_counts=second < _HALF,
            is_lost=lost < faults.lost_answers,
            is_held=held < faults.reorder,
            delay=least + late * (most - least),
        )


class FaultInjectingSender(Sender):
    """A sender that injects faults into deliveries; they can be changed at any time.

    Attributes:
        injected: How often each fault was injected since the faults were last set.
    """

    def __init__(self, clock: StackClock, faults: Faults = NO_FAULTS) -> None:
        super().__init__(clock)
        self.faults = faults
        self._overtaken: asyncio.Event | None = None

    @property
    def faults(self) -> Faults:
        """The faults to inject, and how often."""
        return self._generator.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._generator = FaultGenerator(faults)
        self.injected: Counter[str] = Counter()

    async def send(self, request: Outgoing, deadline: float) -> HandlerResponse:
        """Send a request, unless its drawn is another."""
        if not self.faults:
            return await super().send(request, deadline)
        held, self._overtaken = self._overtaken, None
        drawn = self._generator.draw()
        if held is not None:
            drawn = replace(drawn, is_held=False)
        self._log_faults(request, drawn)
        try:
            if drawn.is_held:
                await self._wait_to_be_overtaken()
            # The delay comes before sending: the deadline counts from when the request is sent.
            await self._clock.sleep(drawn.delay)
            return await self._send_with(drawn, request, deadline)
        finally:
            if held is not None:
                held.set()

    async def _send_with(
        self, drawn: DeliveryFaults, request: Outgoing, deadline: float
    ) -> HandlerResponse:
        if drawn.is_refused:
            return _REFUSED
        response = await self._deliver(drawn, request, deadline)
        return _LOST if drawn.is_lost else response

    async def _deliver(
        self, drawn: DeliveryFaults, request: Outgoing, deadline: float
    ) -> HandlerResponse:
        send = super().send
        if not drawn.is_doubled:
            return await send(request, deadline)
        if drawn.at_once:
            both = await asyncio.gather(send(request, deadline), send(request, deadline))
            return both[drawn.second_counts]
        first = await send(request, deadline)
        second = await send(request, deadline)
        return second if drawn.second_counts else first

    async def _wait_to_be_overtaken(self) -> None:
        self._overtaken = passed = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_HOLD):
                await passed.wait()
        if self._overtaken is passed:
            self._overtaken = None

    def _log_faults(self, request: Outgoing, drawn: DeliveryFaults) -> None:
        injected = str(drawn)
        if not injected:
            return
        self.injected.update(word.partition("=")[0] for word in injected.split())
        name = next((text for key, text in request.headers if key.lower() in _NAMES), "")
        _log.info(
            "fault_injected %s: %s %s %s",
            injected,
            request.method,
            request.url,
            name,
            extra={"event": "fault_injected", "faults": injected, "task": name},
        )

"""What goes wrong with deliveries on purpose, and how it is asked for."""

import math
import random
import re
import secrets
from dataclasses import dataclass, field, fields
from typing import Any

_SECONDS = r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+"
_DELAY = re.compile(rf"(?:({_SECONDS})s?\.\.)?({_SECONDS})s")
_SHARES = ("duplicates", "lost-answers", "errors", "reorder")
_HALF = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How often what goes wrong; nothing does by default.

    Attributes:
        duplicates: Share of the deliveries that are made twice, at once or one after the other; the
            answer to either counts.
        lost_answers: Share of the answers that are lost after the handler ran.
        errors: Share of the deliveries that are answered 503 and never reach their handler.
        delay: Seconds by which each delivery is late, at least and at most.
        reorder: Share of the deliveries that are held back until a later one has been answered, for
            a second at most.
        seed: Of the randomness; with the same one the n-th delivery always meets the same fate.
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


NONE = Faults(seed=0)


def parse(text: str) -> Faults:
    """Read `duplicates=0.05,lost-answers=0.02,errors=0.05,delay=0.1..2s,reorder,seed=7`.

    `reorder` alone means half of the deliveries; nothing at all, or `none`, means no faults.

    Raises:
        ValueError: It is something else; the message says what to write.
    """
    if text.strip() in {"", "none"}:
        return NONE
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
        raise ValueError(f"{name!r} is no fault; there are {known}")
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
        raise ValueError(f"delay={text} is not a time such as 2s or 0.1..2s")
    return least, most


@dataclass(frozen=True, slots=True)
class Fate:
    """What will happen to one delivery."""

    is_refused: bool
    is_doubled: bool
    at_once: bool
    second_counts: bool
    is_lost: bool
    is_held: bool
    delay: float

    def __str__(self) -> str:
        told = {
            f"delay={self.delay:.3f}s": self.delay,
            "reorder": self.is_held,
            "error": self.is_refused,
            "duplicate": self.is_doubled and not self.is_refused,
            "lost-answer": self.is_lost and not self.is_refused,
        }
        return " ".join(word for word, is_so in told.items() if is_so)


class Dice:
    """Decides the fates of deliveries, one after the other."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        # Reproducible, not secret.
        self._random = random.Random(faults.seed)  # noqa: S311

    def throw(self) -> Fate:
        """Return the fate of the next delivery; each takes as many random numbers."""
        faults, (least, most) = self.faults, self.faults.delay
        error, double, together, second, lost, held, late = (
            self._random.random() for _ in range(7)
        )
        return Fate(
            is_refused=error < faults.errors,
            is_doubled=double < faults.duplicates,
            at_once=together < _HALF,
            second_counts=second < _HALF,
            is_lost=lost < faults.lost_answers,
            is_held=held < faults.reorder,
            delay=least + late * (most - least),
        )

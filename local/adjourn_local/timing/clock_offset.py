"""How far a clock is from the machine's, in a form that other processes can read."""

import datetime as dt
from dataclasses import dataclass

SIZE = 8

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Shift:
    """What makes the machine's time another.

    Attributes:
        ahead: How far ahead of the machine's time it is.
        frozen_at: Where it stands still, whatever the machine's time; None while it goes on.
    """

    ahead: dt.timedelta = dt.timedelta()
    frozen_at: dt.datetime | None = None

    def of(self, machine: dt.datetime) -> dt.datetime:
        """Return the time that it is when the machine's is `machine`."""
        return machine + self.ahead if self.frozen_at is None else self.frozen_at

    def to(self, time: dt.datetime, machine: dt.datetime) -> "Shift":
        """Return what makes it `time`, standing still or not as before."""
        return Shift(time - machine) if self.frozen_at is None else Shift(frozen_at=time)

    def encode(self) -> bytes:
        """Return it as one machine word, which is never seen half written; zeros mean no shift."""
        since = self.ahead if self.frozen_at is None else self.frozen_at - _EPOCH
        number = since // _MICROSECOND << 1 | (self.frozen_at is not None)
        return number.to_bytes(SIZE, "little", signed=True)

    @classmethod
    def decode(cls, word: bytes) -> "Shift":
        """Return what `encode` has made a word of."""
        number = int.from_bytes(word, "little", signed=True)
        since = (number >> 1) * _MICROSECOND
        return cls(frozen_at=_EPOCH + since) if number & 1 else cls(since)

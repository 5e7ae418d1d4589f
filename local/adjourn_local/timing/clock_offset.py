"""The offset of the stack's clock from the machine's, which other processes can read."""

import datetime as dt
from dataclasses import dataclass

SIZE = 8

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """The difference between a clock and the machine's time.

    Attributes:
        ahead: How far the clock is ahead of the machine's time.
        frozen_at: The time at which the clock is frozen; None while it runs.
    """

    ahead: dt.timedelta = dt.timedelta()
    frozen_at: dt.datetime | None = None

    def apply(self, machine: dt.datetime) -> dt.datetime:
        """Return the clock's time when the machine's time is `machine`."""
        return machine + self.ahead if self.frozen_at is None else self.frozen_at

    def moved_to(self, time: dt.datetime, machine: dt.datetime) -> "ClockOffset":
        """Return the offset of a clock that shows `time` now; a frozen clock stays frozen."""
        if self.frozen_at is None:
            return ClockOffset(time - machine)
        return ClockOffset(frozen_at=time)

    def encode(self) -> bytes:
        """Return the offset as 8 bytes, which are written at once; zeros mean no offset."""
        since = self.ahead if self.frozen_at is None else self.frozen_at - _EPOCH
        number = since // _MICROSECOND << 1 | (self.frozen_at is not None)
        return number.to_bytes(SIZE, "little", signed=True)

    @classmethod
    def decode(cls, word: bytes) -> "ClockOffset":
        """Return the offset that `encode` has written."""
        number = int.from_bytes(word, "little", signed=True)
        since = (number >> 1) * _MICROSECOND
        return cls(frozen_at=_EPOCH + since) if number & 1 else cls(since)

"""The `custom_data` of runs: in the entity itself, or beside it where they are large."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass

from adjourn.clock import Clock
from adjourn.errors import EncodeError
from adjourn.serialization.envelope import PayloadReference
from adjourn.state.large_payloads import LargePayloads

# Many shards are read at once, and a gRPC client takes answers of 4 MiB unless told otherwise.
MOST_INSIDE = 200_000
_MOST = 32 << 20
# Longer than anybody pauses a run; what is left behind by a crash is removed by a TTL then.
_KEPT = dt.timedelta(days=400)
_ELSEWHERE = b"@"  # no JSON begins with it


@dataclass(kw_only=True, eq=False, repr=False)
class Baggage:
    """Packs encoded data into what an entity keeps, and unpacks it."""

    payloads: LargePayloads
    clock: Clock

    def pack(self, data: bytes, name: str) -> bytes:
        """Return what an entity keeps; what is large is written under this name first.

        Raises:
            EncodeError: There is too much of it.
            StoreError: It could not be written.
        """
        if len(data) > _MOST:
            raise EncodeError(
                f"custom_data takes {len(data):,} bytes and a run can keep {_MOST:,};"
                " store it in entities and keep their keys"
            )
        if len(data) <= MOST_INSIDE:
            return data
        stowed = self.payloads.write(name, data, self.clock.now() + _KEPT)
        return _ELSEWHERE + json.dumps({"name": name, **stowed._asdict()}).encode()

    def unpack(self, kept: bytes) -> bytes:
        """Return what was packed.

        Raises:
            DecodeError: It is gone or was changed.
            StoreError: It could not be read.
        """
        told = _reference(kept)
        return self.payloads.read(told[0], told[1]) if told else kept

    def discard(self, kept: bytes) -> None:
        """Remove what was written beside the entity, if anything was."""
        if told := _reference(kept):
            self.payloads.remove(*told)


def _reference(kept: bytes) -> tuple[str, PayloadReference] | None:
    if not kept.startswith(_ELSEWHERE):
        return None
    told = json.loads(kept[1:])
    name = told.pop("name")
    return name, PayloadReference(**told)

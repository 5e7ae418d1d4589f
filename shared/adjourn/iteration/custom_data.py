"""The `custom_data` of runs, stored in the run or shard itself, or as a large payload."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any

from adjourn.clock import Clock
from adjourn.errors import DecodeError, EncodeError
from adjourn.serialization.budget import OF_PAYLOAD
from adjourn.serialization.codec import Codec
from adjourn.serialization.payload_reference import PayloadReference
from adjourn.state.large_payloads import LargePayloads

# Many shards are read at once, and a gRPC client accepts responses of 4 MiB by default.
MOST_INSIDE = 200_000
_MOST = 32 << 20
# Longer than anybody pauses a run. A TTL policy removes what a crash left behind.
_KEPT = dt.timedelta(days=400)
_REFERENCE = b"@"  # no JSON begins with it


@dataclass(kw_only=True, eq=False, repr=False)
class CustomData:
    """Converts the user's data to the bytes that a run or shard stores, and back."""

    codec: Codec
    payloads: LargePayloads
    clock: Clock

    def encode(self, data: object) -> bytes:
        """Return the data as JSON.

        Raises:
            EncodeError: They cannot be carried.
        """
        return self.codec.dumps(data, "custom_data")

    def store(self, encoded: bytes, name: str, most_inside: int = MOST_INSIDE) -> bytes:
        """Return what the entity stores: the data, or a reference if they are large.

        Args:
            encoded: What `encode` returned.
            name: Name of the large payload, which is written first.
            most_inside: Largest size in bytes of data that the entity stores itself.

        Raises:
            EncodeError: They are larger than 32 MiB, or have too many values.
            StoreError: The payload could not be written.
        """
        if len(encoded) > _MOST:
            raise EncodeError(
                f"custom_data takes {len(encoded):,} bytes and a run can keep {_MOST:,};"
                " store it in entities and keep their keys"
            )
        if len(encoded) > OF_PAYLOAD.values and not OF_PAYLOAD.holds(encoded):
            raise EncodeError(
                f"custom_data has more than {OF_PAYLOAD.values:,} values;"
                " store it in entities and keep their keys"
            )
        if len(encoded) <= most_inside:
            return encoded
        stowed = self.payloads.write(name, encoded, self.clock.now() + _KEPT)
        return _REFERENCE + json.dumps({"name": name, **stowed._asdict()}).encode()

    def load(self, stored: bytes) -> Any:
        """Return the data that an entity stores.

        Raises:
            DecodeError: They cannot be decoded, or the payload is gone or was changed.
            StoreError: The payload could not be read.
        """
        encoded = self.load_encoded(stored)
        if len(encoded) > OF_PAYLOAD.values and not OF_PAYLOAD.holds(encoded):
            raise DecodeError("custom_data has more bytes or values than a run can keep")
        return self.codec.loads(encoded)

    def load_encoded(self, stored: bytes) -> bytes:
        """Return what was given to `store`; errors are those of `load`."""
        reference = _referenced(stored)
        return self.payloads.read(*reference) if reference else stored

    def discard(self, stored: bytes) -> None:
        """Remove the large payload of the data, if there is one."""
        if reference := _referenced(stored):
            self.payloads.remove(*reference)


def _referenced(stored: bytes) -> tuple[str, PayloadReference] | None:
    if not stored.startswith(_REFERENCE):
        return None
    reference = json.loads(stored[len(_REFERENCE) :])
    name = reference.pop("name")
    return name, PayloadReference(**reference)

"""A sealer whose seals show what depends on the place of a body."""

import adjourn


class PlaceSeal:
    """Seals with the place alone, which shows what depends on it."""

    is_required = is_sealing = is_encrypting = True

    def seal(self, body: bytes, queue: str, name: str) -> bytes:
        """Return a body that can be opened at its place alone."""
        place = f"{queue}/{name}\0".encode().hex().encode()
        return b"\xad\x02" + place + bytes(255 - b for b in body)

    def open(self, body: bytes, queue: str, name: str) -> bytes:
        """Return what was sealed; refuse what was sealed for another place."""
        seal = self.seal(b"", queue, name)
        if not body.startswith(seal):
            raise adjourn.DecodeError("of another place")
        return bytes(255 - b for b in body[len(seal) :])

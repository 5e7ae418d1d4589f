"""What a seal costs: time to make and to open it, and how much longer a body becomes.

    python -m bench.sealing

The best of several rounds counts, as noise only adds. The import is measured in new processes.
"""

import random
import subprocess
import sys

from adjourn.serialization.envelope import Envelope
from adjourn.serialization.seals import Key, KeySealer, Sort
from bench.codec import CODEC, ENVELOPE, microseconds

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
PLACE = ("default", "0b5d6a1c9f3e4b7a8d1e6a7b3c9f0e12")
STARTS = 7
IMPORT = """
import hashlib, hmac, time
start = time.perf_counter()
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
AESGCM(bytes(32)).encrypt(bytes(12), b"", b"")
print(time.perf_counter() - start)
"""


def bodies() -> dict[str, bytes]:
    """Return the bodies to seal: of a typical call, and of calls with more in them."""
    calls: dict[str, Envelope] = {"a typical call": ENVELOPE}
    for size in (20_000, 700_000):
        data = random.Random(1).randbytes(size)
        calls[f"{size // 1000} KB"] = ENVELOPE._replace(args=(data,))
    return {name: call.encode(CODEC) for name, call in calls.items()}


def import_milliseconds() -> float:
    """Return how long the first encryption of a process takes to import what it needs."""
    seconds = []
    for _ in range(STARTS):
        done = subprocess.run(
            [sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True
        )
        seconds.append(float(done.stdout))
    return min(seconds) * 1000


def main() -> None:
    """Print the table."""
    for name, body in bodies().items():
        print(f"{name}, {len(body):,} bytes")
        decoding = microseconds(lambda body=body: Envelope.decode(body, CODEC))  # type: ignore[misc]
        print(f"  decoding alone  {decoding:9.1f} us")
        for sort in Sort:
            sealer = KeySealer(keys=[Key(KEY)], sort=sort, is_required=True)
            sealed = sealer.seal(body, *PLACE)
            making = microseconds(lambda body=body, s=sealer: s.seal(body, *PLACE))  # type: ignore[misc]
            opening = microseconds(lambda sealed=sealed, s=sealer: s.open(sealed, *PLACE))  # type: ignore[misc]
            more = len(sealed) - len(body)
            print(
                f"  {sort.name.lower():<14}  sealing {making:9.1f} us, opening {opening:9.1f} us,"
                f" {more} bytes more"
            )
    print(f"the first encryption of a process imports for {import_milliseconds():.0f} ms")


if __name__ == "__main__":
    main()

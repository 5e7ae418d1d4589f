"""What the heaviest bodies cost that a caller who is let in can send.

    python -m bench.bodies [part of a name]

Each is decoded in a process of its own: as the deferred function does, and as `adjourn dead` does.
"""

import sys

from adjourn.requests.gate import LONGEST_BODY
from tests.hostile.heavy_bodies import BODIES, decoders, measured


def main(wanted: str = "") -> None:
    """Print CPU time and memory for each body."""
    for name, make in BODIES.items():
        if wanted not in name:
            continue
        body = make()
        if len(body) > LONGEST_BODY:
            raise SystemExit(f"{name} has {len(body):,} bytes, and no request can")
        for way, decode in decoders().items():
            found = measured(body, decode)
            print(
                f"{name:<48}{way:<9}{len(body):>9,} B{found.seconds:>7.2f} s"
                f"{found.mb:>7.0f} MB  {found.outcome}",
                flush=True,
            )


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Run the demo, and end it in one line if it fails or is stopped."""

import sys
from importlib import import_module

from adjourn_local.errors import StackError


def main() -> int:
    """Run the demo and return its exit status."""
    try:
        # Imported here because that takes long enough for somebody to press Ctrl-C.
        status: int = import_module("examples.packages.demo").main(sys.argv[1:])
    except KeyboardInterrupt:
        print("\rThe demo is stopped.")
        return 0  # so that make adds nothing
    except (StackError, TimeoutError) as error:
        print(f"The demo did not come to its end: {error}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())

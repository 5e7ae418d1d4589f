"""A helper process that stops the functions when the stack has ended, even if it was killed.

The stack writes the process groups of its children to this program's input. When the input ends,
each group that is still running is stopped. So not even a killed stack leaves a function running on
its port.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

GRACE_SECONDS = 10.0


def keep(lines: Iterable[str]) -> None:
    """Wait until `lines` ends, then stop the process groups that are still running.

    A line is the number of a process group, or its negative once the group has ended.
    """
    groups: set[int] = set()
    for line in lines:
        group = int(line)
        if group > 0:
            groups.add(group)
        else:
            groups.discard(-group)
    for stop in (signal.SIGTERM, signal.SIGKILL):
        end = time.monotonic() + GRACE_SECONDS
        for group in groups:
            with suppress(ProcessLookupError):
                os.killpg(group, stop)
        while groups and time.monotonic() < end:
            groups = {group for group in groups if _is_running(group)}
            time.sleep(0.05)


def _is_running(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    # Ctrl-C in a terminal reaches this process, too; it must outlive the stack.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep(sys.stdin)
